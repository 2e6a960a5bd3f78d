"""The run and the data that a bundle is made from, checked before anything is built on them."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fieldlens.convert.card import report_files
from fieldlens.convert.measure.answer import Tensor
from fieldlens.convert.measure.labelled import OriginError, labels_of, pinned
from fieldlens.convert.origin.origin import BundleOptions, Judging, Origin
from fieldlens.convert.origin.sharing import check_consent, golden_candidates
from fieldlens.convert.quantization import calibrate
from fieldlens.runtime.bundle.contents import OOD
from fieldlens.runtime.bundle.manifest import Manifest, Version
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import TrainingRun, data_of, load_run, read_split
from fieldlens.train.data.folds import split_of
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.data.splits import Split, split_hash
from fieldlens.train.decide.quality_gate import Gate, read_gate
from fieldlens.train.provenance import commit

_PACKAGES = ("torch", "onnx", "onnxruntime", "openvino", "numpy", "opencv-python-headless", "simplejpeg")


@dataclass(frozen=True)
class Source:
    """A run with the very data it was trained on, and that data's split."""

    run: TrainingRun
    data: DataSet
    parts: Split

    def part(self, name: str) -> tuple[Sample, ...]:
        """The samples of ``train``, ``val`` or ``test``, in the data's order."""
        return tuple(sample for sample in self.data.samples if self.parts[sample.id] == name)


def from_run(run_folder: Path, options: BundleOptions, reporter: Reporter = SILENT) -> Origin:
    """A training run and its images, as the converter wants them. Raises KitError."""
    with reporter.step("read", f"{run_folder} and its data"):
        source = load_source(run_folder, options.data)
    run, val = source.run, source.part("val")
    for note in run.notes:
        reporter.say(f"note: {run_folder}: {note}")
    check_consent(source.data, val, options, reporter)
    chosen = calibrate.choose(source.data.samples, source.parts, options.calibration_images)
    preprocess = Preprocess(run.preprocess)
    with reporter.step(
        "images", f"{len(chosen)} of training, {len(val)} of validation through the device's preprocess"
    ):
        tensors = calibrate.tensors(source.data, chosen, preprocess)
        learnt = ", which it has learnt from" if run.config.train.refit else ""
        what = f"{len(val)} validation images{learnt}"
        judging = Judging(calibrate.tensors(source.data, val, preprocess), labels_of(val), what)
    gate = read_gate(run.path)
    calibration: dict[str, Any] = {"images": len(chosen), "split": "train", "ids_sha256": calibrate.ids_hash(chosen)}
    if few := calibrate.too_few(chosen, tensors):
        reporter.say(f"note: no INT8: {few}")
        calibration = {"images": 0, "why": few}
    typical = one_of_each(chosen, tensors)
    candidates, origin = golden_candidates(source.data, val, typical[:1] if few else typical, options, reporter)
    files = {OOD: gate.npz()} if gate else {}
    files |= report_files(run.path)
    draft = _draft(run, gate, calibration, options)
    return Origin(run.model, draft, [] if few else tensors, judging, candidates, origin, run.path, files)


def one_of_each(samples: Sequence[Sample], tensors: Sequence[Tensor]) -> list[Tensor]:
    """The first image of each group (patient, lesion), so that none of them weighs more in a mean than another."""
    first: dict[str, Tensor] = {}
    for sample, tensor in zip(samples, tensors, strict=True):
        first.setdefault(f"#{sample.id}" if sample.group is None else f"={sample.group}", tensor)
    return list(first.values())


def _draft(run: TrainingRun, gate: Gate | None, calibration: dict[str, Any], options: BundleOptions) -> Manifest:
    """The manifest without shapes, evaluation, tolerances and files."""
    return Manifest(
        name=options.name or run.name,
        version=Version(options.version, options.label),
        task=run.task,
        classes=run.classes,
        preprocess=run.preprocess,
        features=0,
        cam_size=0,
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
            **converted_with(),
            "checkpoint_sha256": hashlib.sha256((run.path / "best.pt").read_bytes()).hexdigest(),
            "calibration": calibration,
        },
        evaluation={},
    )


def load_source(run_folder: Path, data_path: Path | None) -> Source:
    """Read a run and its data. Raises KitError: a broken run, data that is missing, or that has changed since."""
    run = load_run(run_folder)
    path = data_path or _where_it_was(run)
    data = load_data(path, pinned(run.config.data, run.class_ids), run_folder)
    if data.hash != run.data.hash:
        raise OriginError(
            f"{path} is not the data that {run_folder.name} was trained on: its hash is {data.hash[:12]}…, the run's "
            f"{run.data.hash[:12]}…",
            "give the unchanged data with --data, or train again on the new data",
        )
    parts = split_of(data, run.config)
    for found, where in ((parts, "the data now"), (read_split(run_folder), f"{run_folder.name}/split.csv")):
        if split_hash(found) != run.data.split_hash:
            raise OriginError(
                f"the split of {where} is not the one of the training: test images could be calibrated or tuned on",
                "restore the run's own split.csv and config.json, or train again",
            )
    return Source(run, data, parts)


def _where_it_was(run: TrainingRun) -> Path:
    """The path that training left in ``local.json`` for this machine."""
    path = data_of(run.path)
    if path is None:
        raise OriginError(f"{run.path.name} does not say where its data ({run.data.path}) lies", "give it with --data")
    if not path.exists():
        raise OriginError(f"the run's data is no longer at {path}", "give its present place with --data")
    return path


def data_provenance(run: TrainingRun) -> dict[str, Any]:
    """What a bundle keeps of the data: hashes, counts and how to read it, but no path and no image's name."""
    info = asdict(run.data)
    return {"name": info.pop("path"), **info, "config": run.config.to_json()["data"]}


def converted_with() -> dict[str, Any]:
    """What the files were made with; absent packages are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"converted_with": found, "converted_at_commit": commit()}
