"""Contract 1: the manifest of a bundle, read strictly and written back. A runtime never guesses any of it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from fieldlens.runtime.bundle.decision import TASKS, Decision, decision_from_json
from fieldlens.runtime.bundle.precision import MODEL_FILES
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.fields import Fields, shown
from fieldlens.runtime.files import bounds, strictjson
from fieldlens.runtime.pixels.steps import Resize, Step, steps_from_json, steps_to_json

FORMAT = 1
_PATH = re.compile(r"[A-Za-z0-9_+.-]+(/[A-Za-z0-9_+.-]+){0,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that move the cursor, break the line or turn the direction of writing."""


@dataclass(frozen=True)
class ClassInfo:
    """``id`` is for programs and files, ``display`` for people."""

    id: str
    display: str


@dataclass(frozen=True)
class Version:
    """``number`` only grows; ``label`` is for people."""

    number: int
    label: str


@dataclass(frozen=True)
class FileInfo:
    """SHA-256 (hex) and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Tolerance:
    """What one precision may lose against FP32 before it is refused. Fractions; ``logit`` is absolute."""

    auc_loss: float
    accuracy_loss: float
    decisions_changed: float
    logit: float


@dataclass(frozen=True)
class Manifest:
    """All that a device needs to know about a model. JSON values that only people read stay dictionaries."""

    name: str
    version: Version
    task: str
    classes: tuple[ClassInfo, ...]
    preprocess: tuple[Step, ...]
    features: int
    cam_size: int
    temperature: float
    decision: Decision | None
    tolerances: dict[str, Tolerance]
    quality: dict[str, Any] | None
    ood: dict[str, Any] | None
    provenance: dict[str, Any]
    evaluation: dict[str, Any]
    files: dict[str, FileInfo] = field(default_factory=dict)

    @property
    def class_ids(self) -> tuple[str, ...]:
        """Class ids in the order of the logits."""
        return tuple(info.id for info in self.classes)

    @property
    def size(self) -> int:
        """Side of the network's square input, in pixels."""
        return next(step.size for step in self.preprocess if isinstance(step, Resize))

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions for which the bundle has a model file."""
        return tuple(name for name in MODEL_FILES if f"model.{name}.onnx" in self.files)

    def tensors(self) -> dict[str, Any]:
        """Contract 2: names, shapes and dtypes of the graph's input and outputs."""
        count = len(self.classes)
        return {
            "inputs": {"image": {"shape": ["N", self.size, self.size, 3], "dtype": "uint8"}},
            "outputs": {
                "logits": {"shape": ["N", count], "dtype": "float32"},
                "cam": {"shape": ["N", count, self.cam_size, self.cam_size], "dtype": "float32"},
                "features": {"shape": ["N", self.features], "dtype": "float32"},
            },
        }

    def to_json(self) -> dict[str, Any]:
        """The object that ``manifest.json`` holds."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": asdict(self.version),
            "task": self.task,
            "classes": [asdict(info) for info in self.classes],
            "preprocess": steps_to_json(self.preprocess),
            "tensors": self.tensors(),
            "temperature": self.temperature,
            "decision": self.decision.to_json() if self.decision else None,
            "tolerances": {name: asdict(value) for name, value in self.tolerances.items()},
            "quality": self.quality,
            "ood": self.ood,
            "provenance": self.provenance,
            "evaluation": self.evaluation,
            "files": {path: asdict(info) for path, info in sorted(self.files.items())},
        }


def parse_manifest(data: bytes) -> Manifest:
    """Read ``manifest.json``. Raises BundleError for what is not JSON, of another format, incomplete or unknown."""
    try:
        value = strictjson.loads(data, bounds.MANIFEST_BYTES)
    except strictjson.JsonError as error:
        raise BundleError(
            f"manifest.json cannot be read: {error}", "copy the bundle again from where it was made"
        ) from error
    fields = Fields(value, "manifest.json", BundleError)
    found = fields.take("format", int)
    if found != FORMAT:
        raise BundleError(
            f"manifest.json has format {found}; this version reads format {FORMAT}",
            "update the device's software" if found > FORMAT else "make the bundle again",
        )
    classes = _classes(fields.take("classes", list))
    ids = [info.id for info in classes]
    tensors = fields.take("tensors", dict)
    manifest = Manifest(
        name=_name(fields, "name"),
        version=_version(fields.child("version")),
        task=fields.choice("task", TASKS),
        classes=classes,
        preprocess=steps_from_json(fields.take("preprocess", list), BundleError),
        features=_dimension(tensors, "features", 1, bounds.FEATURES),
        cam_size=_dimension(tensors, "cam", 2, bounds.CAM_SIZE),
        temperature=fields.number("temperature", 1e-3, 1e3),
        decision=decision_from_json(fields.take("decision", (dict, type(None))), ids, BundleError),
        tolerances={name: _tolerance(item, name) for name, item in fields.take("tolerances", dict).items()},
        quality=fields.take("quality", (dict, type(None))),
        ood=fields.take("ood", (dict, type(None))),
        provenance=fields.take("provenance", dict),
        evaluation=fields.take("evaluation", dict),
        files=_files(fields.take("files", dict)),
    )
    fields.done()
    if manifest.tensors() != tensors:
        raise BundleError(
            f"manifest.json: tensors {shown(tensors)} do not fit the classes and steps", "make the bundle again"
        )
    return manifest


def _name(fields: Fields, key: str) -> str:
    """A text that is shown in one line: not empty, not long, nothing in it that only a terminal understands."""
    text: str = fields.take(key, str)
    if not 1 <= len(text) <= bounds.TEXT or CONTROL.search(text):
        raise fields.fail(f"manifest.json: {key!r} must be 1 to {bounds.TEXT} characters of text, not {shown(text)}")
    return text


def _classes(items: list[Any]) -> tuple[ClassInfo, ...]:
    if len(items) > bounds.CLASSES:
        raise BundleError(f"manifest.json: {len(items)} classes; {bounds.CLASSES} are allowed", "make the bundle again")
    classes = []
    for index, item in enumerate(items):
        fields = Fields(item, f"manifest.json.classes[{index}]", BundleError)
        classes.append(ClassInfo(_name(fields, "id"), _name(fields, "display")))
        fields.done()
    if len({info.id for info in classes}) != len(classes) or not classes:
        raise BundleError("manifest.json: class ids must be unique, and at least one", "make the bundle again")
    return tuple(classes)


def _version(fields: Fields) -> Version:
    version = Version(fields.integer("number", 0, 2**53), _name(fields, "label"))
    fields.done()
    return version


def _tolerance(value: Any, name: str) -> Tolerance:
    fields = Fields(value, f"manifest.json.tolerances.{name}", BundleError)
    names = ("auc_loss", "accuracy_loss", "decisions_changed", "logit")
    tolerance = Tolerance(*(fields.number(key, 0.0, 1e6) for key in names))
    fields.done()
    return tolerance


def _files(items: dict[str, Any]) -> dict[str, FileInfo]:
    """What the bundle holds, within the limits of :mod:`fieldlens.runtime.files.bounds`."""
    if len(items) > bounds.FILES:
        raise BundleError(
            f"manifest.json lists {len(items)} files; {bounds.FILES} are allowed", "make the bundle again"
        )
    files = {path: _file(item, path) for path, item in items.items()}
    if sum(info.size for info in files.values()) > bounds.ALL_FILES_BYTES:
        raise BundleError(
            f"manifest.json lists more than {bounds.ALL_FILES_BYTES} bytes", "make the bundle for fewer --targets"
        )
    return files


def _file(value: Any, path: str) -> FileInfo:
    outside = len(path) > bounds.TEXT or not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/"))
    if outside:
        raise BundleError(
            f"the manifest lists a forbidden path {shown(path)}", "copy the bundle again from where it was made"
        )
    fields = Fields(value, f"manifest.json.files[{path!r}]", BundleError)
    info = FileInfo(fields.take("sha256", str), fields.integer("size", 0, bounds.file_bytes(path)))
    if not _SHA256.fullmatch(info.sha256):
        raise fields.fail(f"manifest.json: {path} has no SHA-256 but {shown(info.sha256)}")
    fields.done()
    return info


def _dimension(tensors: Any, output: str, axis: int, most: int) -> int:
    """A dimension of an output that neither the classes nor the steps tell."""
    try:
        value = tensors["outputs"][output]["shape"][axis]
    except (KeyError, IndexError, TypeError) as error:
        raise BundleError(f"manifest.json: tensors lack the shape of {output!r}", "make the bundle again") from error
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BundleError(f"manifest.json: {output!r} has a bad shape", "make the bundle again")
    return value
