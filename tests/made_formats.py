"""What the kit writes, kept as text: ``tests/fixtures/formats`` holds one folder for each generation.

``python -m tests.made_formats NAME`` writes a new one with the code of today; what is there is never written again.
Weights are random, images are made here.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "fixtures" / "formats"
_ENCODED = ".b64"
"""Ends the name of a file that is not text."""
_IMAGES = 4


def packed(source: Path, target: Path) -> None:
    """Copy a folder as text files."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            _pack(path.read_bytes(), target / path.relative_to(source))


def _pack(data: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        target.with_name(target.name + _ENCODED).write_bytes(base64.encodebytes(data))
    else:
        target.write_bytes(data)


def unpacked(source: Path, target: Path) -> Path:
    """The inverse of :func:`packed`; files 0600 and folders 0700, as a state folder has them. The new folder."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            if path.name.endswith(_ENCODED):
                place, data = place.with_name(place.name.removesuffix(_ENCODED)), base64.decodebytes(data)
            place.write_bytes(data)
            place.chmod(0o600)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o700)
    return target


def outline(value: Any) -> Any:
    """A checkpoint without its numbers: a tensor becomes ``{"tensor": dtype, "shape": […]}``."""
    if isinstance(value, torch.Tensor):
        return {"tensor": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
    if isinstance(value, dict):
        return {"dict": [[outline(key), outline(item)] for key, item in value.items()]}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [outline(item) for item in value]}
    return value


def filled(value: Any) -> Any:
    """The inverse of :func:`outline`, with zeros: one for each tensor, so that a network takes no space."""
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return torch.zeros((), dtype=getattr(torch, value["tensor"])).expand(value["shape"])
    if "dict" in value:
        return {filled(key): filled(item) for key, item in value["dict"]}
    ((kind, items),) = value.items()
    made = [filled(item) for item in items]
    return tuple(made) if kind == "tuple" else made


def small_bundle(folder: Path) -> Path:
    """The tiny bundle with a quality gate and a distribution, one precision and four small golden images."""
    from tests.runtime.bundle_damage import LIST, OOD, REFERENCE, whole_bundle
    from tests.runtime.conftest import seal, tiny_manifest

    made = json.loads((whole_bundle(folder) / "manifest.json").read_text())
    images = json.loads((folder / LIST).read_text())["images"]
    for image in images[_IMAGES:]:
        (folder / image["file"]).unlink()
    (folder / "model.int8-cpu.onnx").unlink()
    (folder / LIST).write_text(json.dumps({"images": images[:_IMAGES]}))
    with np.load(folder / REFERENCE) as arrays:
        logits = arrays["logits"][:_IMAGES]
    np.savez(folder / REFERENCE, logits=logits)
    manifest = tiny_manifest()
    tolerances = {"fp32": manifest.tolerances["fp32"]}
    seal(
        folder,
        dataclasses.replace(
            manifest, tolerances=tolerances, quality=made["quality"], ood=made["ood"], evaluation=made["evaluation"]
        ),
    )
    assert (folder / OOD).is_file()
    return folder


def small_state(folder: Path, bundle_folder: Path, images: Path) -> None:
    """What a run, a moved camera and an accepted engine leave in the state folder; and the lines of that run."""
    from fieldlens.runtime.backends.selftest import SelfTest
    from fieldlens.runtime.bundle.open import open_bundle
    from fieldlens.runtime.bundle.quality_limits import limits_from_json
    from fieldlens.runtime.cli import main
    from fieldlens.runtime.files import kept
    from fieldlens.runtime.quality.camera_limits import Moved, save

    lines = folder / "results"
    assert main([
        "classify", str(images), str(images / "none.jpg"), "--bundle", str(bundle_folder), "--backend", "onnxruntime",
        "--state", str(folder / "state"), "--json", str(lines / "results.jsonl"), "--csv", str(lines / "results.csv"),
    ]) in (0, 3)  # fmt: skip
    bundle = open_bundle(bundle_folder)
    limits = limits_from_json(bundle.manifest.quality)
    assert limits is not None
    after = {**limits.ranges, "brightness": (3.5, 252.0)}
    save(folder / "state", bundle, [Moved(check, (9.0, 240.0), limits.ranges[check], after[check]) for check in after])
    tested = SelfTest("openvino", "int8-cpu", 4, 0.01, 0.3, 0, 0, 4.5)
    place = folder / "state" / "selftest" / bundle.hash[:16] / "openvino.kept"
    kept.save(place, {"kind": "self-test", "bundle": bundle.hash}, json.dumps(dataclasses.asdict(tested)).encode())
    _small_engine(folder / "state", bundle.hash)


def _small_engine(state: Path, bundle_hash: str) -> None:
    from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
    from tests.runtime.backends.tensorrt.test_engine_store import choice, record

    store, plan = EngineStore(state, bundle_hash), b"not a plan\n"
    with store.lock():
        store.prepare()
        facts = {"gate": {"engines": []}, "conditions": {"gpu": {"name": "Orin"}}, "notes": ("a note",)}
        key = store.save(plan, dataclasses.replace(record(plan), **facts))  # type: ignore[arg-type]
        store.choose(choice({"fp16": key}, refused={"int8": "slower than FP16 here"}))


def small_run(folder: Path, scratch: Path) -> None:
    """A finished run's text files; of its checkpoints the outline."""
    from fieldlens.train.checkpoint import read_checkpoint
    from fieldlens.train.evaluation.evaluate import evaluate
    from fieldlens.train.fitting.fit import fit
    from tests.train.conftest import make_config, make_table_data

    data = make_table_data(scratch / "data", 12)
    config = make_config(data={"val_fraction": 0.3, "test_fraction": 0.2, "shareable": True})
    fit(config, data, scratch / "run")
    evaluate(scratch / "run")
    for path in sorted((scratch / "run").iterdir()):
        if path.suffix in (".json", ".csv") and path.name != "local.json" and not path.name.startswith("report"):
            _pack(path.read_bytes(), folder / path.name)
        elif path.suffix == ".pt":
            text = json.dumps(outline(read_checkpoint(path)), separators=(",", ":"))
            (folder / f"{path.name}.outline").write_text(text)
    with np.load(scratch / "run" / "ood.npz") as arrays:
        shapes = {name: torch.zeros(arrays[name].shape) for name in arrays.files}
    (folder / "ood.npz.outline").write_text(json.dumps(outline(shapes)))


def main() -> None:
    """One new generation."""
    from tests.runtime.conftest import jpeg, scene

    target = FOLDER / sys.argv[1]
    target.mkdir()  # never over an old one
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        bundle = small_bundle(scratch / "tiny.bundle")
        (scratch / "images").mkdir()
        (scratch / "images" / "clear.jpg").write_bytes(jpeg(scene(100, 120, 160)))
        with contextlib.chdir(scratch):
            small_state(scratch, bundle, Path("images"))
        packed(ROOT / "recipes", target / "recipes")
        packed(bundle, target / "tiny.bundle")
        packed(scratch / "state", target / "state")
        packed(scratch / "results", target / "results")
        (target / "run").mkdir()
        small_run(target / "run", scratch)


if __name__ == "__main__":
    main()
