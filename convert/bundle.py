"""``convert bundle``: a training run becomes a folder that a device can run and check by itself."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convert import calibrate, card, golden
from convert.contract import GraphShape, check_graph
from convert.evaluate import REFERENCE, RUNS_AS
from convert.export import OPSET, export_fp32, to_bytes
from convert.graph import DeploymentGraph
from convert.precisions import make_int8, write_manifest
from convert.source import Source, data_provenance, load_source
from convert.table import step
from convert.verify import on_golden
from runtime import atomic, ood
from runtime.backends import onnxruntime
from runtime.backends.base import LoadOptions
from runtime.backends.select import cpu_backend, load_backend
from runtime.bundle import describe_files, open_bundle
from runtime.errors import KitError
from runtime.manifest import Manifest, Version
from runtime.preprocess import Preprocess
from train.gate import read_gate
from train.model import MEAN, STD
from train.provenance import commit

_PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "numpy", "opencv-python-headless", "simplejpeg")


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    data: Path | None = None
    name: str | None = None
    version: int = 1
    label: str = "1.0"
    golden_from_data: bool = False
    images: Path | None = None
    calibration_images: int = 512


def make(run: Path, out: Path, options: Options) -> Path:
    """Make the bundle ``out`` from the training run ``run``; it appears whole or not at all.

    A precision that loses more on validation than it may is left out, said so here and in the manifest. Raises
    KitError: a run or data that is broken or changed, too few images, an ``out`` that is in use.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise KitError(f"{out} exists and is not empty", "bundles are never edited in place: choose another --out")
    with step("read", f"{run} and its data"):
        source = load_source(run, options.data)
    with atomic.folder(out) as folder:
        _make_in(folder, source, options)
    files = describe_files(out)
    print(f"{out}: {len(files)} files, {sum(info.size for info in files.values()) / 1e6:.1f} MB")
    return out


def _make_in(folder: Path, source: Source, options: Options) -> None:
    """All steps, in order, inside the temporary folder."""
    preprocess = Preprocess(source.run.preprocess)
    with step("export", f"{source.run.arch} at {preprocess.size} px to model.fp32.onnx"):
        reference = export_fp32(DeploymentGraph(source.run.model, MEAN, STD), preprocess.size)
        (folder / "model.fp32.onnx").write_bytes(to_bytes(reference))
    if gate := read_gate(source.run.path):
        (folder / ood.FILE).write_bytes(gate.npz())
    chosen = calibrate.choose(source.data.samples, source.parts, options.calibration_images)
    with step("calibrate", f"{len(chosen)} training images through the device's preprocess"):
        tensors = calibrate.tensors(source.data, chosen, preprocess)
    measured = make_int8(folder, source, _draft(source, check_graph(reference, OPSET), options), reference, tensors)
    calibration = {"images": len(chosen), "split": "train", "ids_sha256": calibrate.ids_hash(chosen)}
    manifest = replace(measured, provenance={**measured.provenance, "calibration": calibration})
    manifest = _with_golden(folder, manifest, *golden_candidates(source, tensors, options))
    atomic.write_text(folder / "card.md", card.text(manifest, source.run.path))
    write_manifest(folder, manifest)
    with step("check", "the finished bundle by its golden images"):
        verified = on_golden(open_bundle(folder), "auto")
    if verified.broken:
        raise KitError("; ".join(verified.broken), "report this: what was made differs from what was measured")


def _draft(source: Source, shape: GraphShape, options: Options) -> Manifest:
    """The manifest without evaluation, tolerances and files."""
    run = source.run
    gate = read_gate(run.path)
    return Manifest(
        name=options.name or run.name,
        version=Version(options.version, options.label),
        task=run.task,
        classes=run.classes,
        preprocess=run.preprocess,
        features=shape.features,
        cam_size=shape.cam_size,
        temperature=run.operating_point.temperature,
        decision=run.operating_point.decision,
        tolerances={},
        quality=gate.quality if gate else None,
        ood=gate.ood if gate else None,
        provenance={
            "data": data_provenance(run),
            "recipe": {key: value for key, value in run.config.to_json().items() if key != "data"},
            "arch": run.arch,
            "weights": run.weights,
            "seed": run.seed,
            "trained_with": run.versions,
            "trained_at_commit": run.commit,
            "converted_with": _versions(),
            "converted_at_commit": commit(),
            "checkpoint_sha256": hashlib.sha256((run.path / "best.pt").read_bytes()).hexdigest(),
        },
        evaluation={},
    )


def _with_golden(folder: Path, manifest: Manifest, candidates: Sequence[golden.Candidate], origin: str) -> Manifest:
    """Write ``golden/``. The reference is ONNX Runtime on the FP32 file, whatever library a device has."""
    write_manifest(folder, manifest)
    bundle = open_bundle(folder)
    with step("golden", f"{golden.COUNT} images, {origin}"), ExitStack() as stack:
        first = stack.enter_context(onnxruntime.load(bundle.model(REFERENCE), REFERENCE, LoadOptions()))
        lanes = [
            golden.Lane(stack.enter_context(load_backend(bundle, cpu_backend(), RUNS_AS[name], LoadOptions())), allowed)
            for name, allowed in ((name, value.logit) for name, value in manifest.tolerances.items())
            if name != REFERENCE
        ]
        count = golden.write(folder, candidates, manifest, [golden.Lane(first, 0.0), *lanes])
    return replace(manifest, provenance={**manifest.provenance, "golden": {"images": count, "from": origin}})


def golden_candidates(
    source: Source, tensors: Sequence[npt.NDArray[np.uint8]], options: Options
) -> tuple[list[golden.Candidate], str]:
    """Patients' pictures only where the data is public or synthetic, or somebody consented with a flag."""
    if options.images is not None:
        return golden.from_folder(options.images), "from a folder that was given"
    if options.golden_from_data or source.run.data.shareable:
        why = "by explicit consent" if options.golden_from_data else "which may be shared"
        return golden.from_data(source.data, source.part("val")), f"from the validation data, {why}"
    return golden.from_statistics(tensors), "synthetic, because the data is not marked as shareable"


def _versions() -> dict[str, str]:
    """What the files were made with; absent packages are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
