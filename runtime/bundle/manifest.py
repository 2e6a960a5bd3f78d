"""Contract 1: the manifest of a bundle, read strictly and written back. A runtime never guesses any of it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from fieldlens.runtime.bundle.decision import TASKS, Decision, decision_from_json
from fieldlens.runtime.bundle.precision import MODEL_FILES
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.fields import Between, Count, Matching, OneOf, Unfit, shown
from fieldlens.runtime.files import bounds, records, strictjson
from fieldlens.runtime.pixels.steps import Resize, Steps, steps_to_json

MAJOR, MINOR = 1, 1
"""A new minor number adds keys that can be left out without changing an answer; all else needs a new major one."""
FORMAT = f"{MAJOR}.{MINOR}"
RENEW = "make the bundle again: `fieldlens convert bundle RUN --out NAME.bundle`"
_FORMAT = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")
_PATH = re.compile(r"[A-Za-z0-9_+.-]+(/[A-Za-z0-9_+.-]+){0,3}")
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""Characters that move the cursor, break the line or turn the direction of writing."""

_Line = Annotated[str, Matching(f"[^{_CONTROL}]{{1,{bounds.TEXT}}}", f"1 to {bounds.TEXT} characters of text")]
_SHOWN = 5
"""Unknown keys that are named in a note."""
_Loss = Annotated[float, Between(0, 1e6)]


@dataclass(frozen=True)
class ClassInfo:
    """``id`` is for programs and files, ``display`` for people."""

    id: _Line
    display: _Line


@dataclass(frozen=True)
class Version:
    """``number`` only grows; ``label`` is for people."""

    number: Annotated[int, Between(0, 2**53)]
    label: _Line


@dataclass(frozen=True)
class FileInfo:
    """SHA-256 (hex) and size in bytes."""

    sha256: Annotated[str, Matching("[0-9a-f]{64}", "a SHA-256 in hex")]
    size: Annotated[int, Between(0, bounds.ALL_FILES_BYTES)]


@dataclass(frozen=True)
class Tolerance:
    """What one precision may lose against FP32 before it is refused. Fractions; ``logit`` is absolute."""

    auc_loss: _Loss
    accuracy_loss: _Loss
    decisions_changed: _Loss
    logit: _Loss


def _check_classes(classes: tuple[ClassInfo, ...]) -> None:
    if len({info.id for info in classes}) != len(classes):
        raise Unfit("must have ids that are unique")


class _Paths:
    """A rule for the list of files: paths that stay in the bundle. Before the files themselves are looked at."""

    early = True

    def __call__(self, value: dict[str, Any]) -> None:
        for path in value:
            if len(path) > bounds.TEXT or not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
                raise Unfit(f"lists a forbidden path {shown(path)}")


def _check_sizes(files: dict[str, FileInfo]) -> None:
    for path, info in files.items():
        if info.size > bounds.file_bytes(path):
            raise Unfit(f"lists {path} with {info.size} bytes; {bounds.file_bytes(path)} are allowed")
    if sum(info.size for info in files.values()) > bounds.ALL_FILES_BYTES:
        raise Unfit(f"lists more than {bounds.ALL_FILES_BYTES} bytes", "make the bundle for fewer --targets")


@dataclass(frozen=True)
class Manifest:
    """All that a device needs to know about a model. JSON values that only people read stay dictionaries.

    ``format``: what the bundle was written in; ``unread``: places in it that this version does not know.
    """

    name: _Line
    version: Version
    task: Annotated[str, OneOf(TASKS)]
    classes: Annotated[tuple[ClassInfo, ...], Count(1, bounds.CLASSES), _check_classes]
    preprocess: Steps
    features: int
    cam_size: int
    temperature: Annotated[float, Between(1e-3, 1e3)]
    decision: Decision | None
    tolerances: dict[str, Tolerance]
    quality: dict[str, Any] | None
    ood: dict[str, Any] | None
    provenance: dict[str, Any]
    evaluation: dict[str, Any]
    files: Annotated[dict[str, FileInfo], Count(0, bounds.FILES), _Paths(), _check_sizes] = field(default_factory=dict)
    format: str = FORMAT
    unread: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be said of a bundle that knows more than this version of the kit."""
        if not self.unread:
            return ()
        more = f" and {len(self.unread) - _SHOWN} more" if len(self.unread) > _SHOWN else ""
        return (
            f"the bundle has format {self.format}, this version knows {FORMAT} and leaves out "
            f"{', '.join(self.unread[:_SHOWN])}{more}; update the device's software",
        )

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
    """Read ``manifest.json``. Raises BundleError for what is not JSON, of another format, incomplete or unknown.

    A key that is unknown is an error, but where a newer minor format says that there may be some: then it is noted.
    """
    try:
        value = strictjson.loads(data, bounds.MANIFEST_BYTES)
    except strictjson.JsonError as error:
        raise BundleError(
            f"manifest.json cannot be read: {error}", "copy the bundle again from where it was made"
        ) from error
    if not isinstance(value, dict):
        raise BundleError(f"manifest.json must be an object, not {type(value).__name__}", RENEW)
    minor = _minor(value.pop("format", None))
    for key in ("tensors", "decision", "files"):
        if key not in value:
            raise BundleError(f"manifest.json: {key!r} is missing", RENEW)
    tensors, decision, unread = value.pop("tensors"), value.pop("decision"), list[str]()
    given = {
        "features": _dimension(tensors, "features", 1, bounds.FEATURES),
        "cam_size": _dimension(tensors, "cam", 2, bounds.CAM_SIZE),
        "decision": None,
        "format": f"{MAJOR}.{minor}",
        "unread": (),
    }
    noted = unread if minor > MINOR else None
    manifest = records.read(
        Manifest, value, "manifest.json", BundleError, renew=RENEW, given=given, noted=noted,
    )  # fmt: skip
    if manifest.tensors() != tensors:
        raise BundleError(f"manifest.json: tensors {shown(tensors)} do not fit the classes and steps", RENEW)
    point = decision_from_json(decision, manifest.class_ids, BundleError, "manifest.json.decision", RENEW)
    return replace(manifest, decision=point, unread=tuple(unread))


def _minor(found: Any) -> int:
    """The minor number of a format that this version reads: ``1`` is 1.0. Raises BundleError."""
    match = _FORMAT.fullmatch(found) if isinstance(found, str) else None
    if match is None and (not isinstance(found, int) or isinstance(found, bool)):
        raise BundleError(f"manifest.json: 'format' must be as \"{FORMAT}\", not {shown(found)}", RENEW)
    major, minor = (int(match[1]), int(match[2])) if match else (found, 0)
    if major != MAJOR:
        newer = "update the device's software, or " if major > MAJOR else ""
        raise BundleError(
            f"manifest.json has format {shown(found)}; this version reads format {MAJOR}", f"{newer}{RENEW}"
        )
    return minor


def _dimension(tensors: Any, output: str, axis: int, most: int) -> int:
    """A dimension of an output that neither the classes nor the steps say."""
    try:
        value = tensors["outputs"][output]["shape"][axis]
    except (KeyError, IndexError, TypeError) as error:
        raise BundleError(f"manifest.json: tensors lack the shape of {output!r}", RENEW) from error
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BundleError(f"manifest.json: {output!r} has a bad shape", RENEW)
    return value
