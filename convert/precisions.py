"""The precisions beside FP32: made, measured on validation, kept only if they lose no more than they may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from convert import tolerance
from convert.evaluate import REFERENCE, Figures, answer, compare
from convert.export import to_bytes
from convert.labelled import labels_of
from convert.quantize import CPU, quantize
from convert.source import Source
from convert.table import step
from convert.verify import to_table
from runtime import atomic
from runtime.bundle import MANIFEST, describe_files, manifest_bytes, open_bundle
from runtime.manifest import Manifest, Tolerance
from runtime.preprocess import Preprocess


@dataclass(frozen=True)
class Measured:
    """FP32 and one precision on validation, the precision's tolerance, and what of it is broken."""

    reference: Figures
    figures: Figures
    tolerance: Tolerance
    faults: tuple[str, ...]


def make_int8(
    folder: Path, source: Source, draft: Manifest, reference: onnx.ModelProto, tensors: Sequence[npt.NDArray[np.uint8]]
) -> Manifest:
    """Write ``model.int8-cpu.onnx`` by the first recipe that keeps to the tolerances; none is written if none does.

    Returns ``draft`` with tolerances and evaluation, every attempt's figures among them.
    """
    name = "int8-cpu"
    attempts: list[dict[str, Any]] = []
    for recipe in CPU:
        with step("quantise", f"model.{name}.onnx, {recipe.name}"):
            (folder / f"model.{name}.onnx").write_bytes(to_bytes(quantize(reference, tensors, recipe)))
        measured = measure(folder, source, draft, name)
        attempts.append({"recipe": recipe.name, "val": _for_manifest(measured.figures), "refused": measured.faults})
        if not measured.faults:
            break
        print(f"refused: {'; '.join(measured.faults)}")
    evaluation = {
        REFERENCE: {"val": _for_manifest(measured.reference)},
        name: {**attempts[-1], "attempts": attempts[:-1]},
    }
    tolerances = {REFERENCE: tolerance.FP32, name: measured.tolerance}
    if measured.faults:
        print(f"left out: model.{name}.onnx")
        (folder / f"model.{name}.onnx").unlink()
        del tolerances[name]
    _tell_target(draft, measured)
    return replace(draft, tolerances=tolerances, evaluation=evaluation)


def measure(folder: Path, source: Source, draft: Manifest, precision: str) -> Measured:
    """Run FP32 and ``precision`` on the validation images, and print the table."""
    write_manifest(folder, draft)
    bundle = open_bundle(folder)
    samples = source.part("val")
    preprocess = Preprocess(draft.preprocess)
    with step("evaluate", f"{REFERENCE} and {precision} on {len(samples)} validation images"):
        tensors = (source.data.tensor(sample, preprocess) for sample in samples)
        answers = answer(bundle, (REFERENCE, precision), tensors, "auto")
        reference, figures = compare(draft, answers, labels_of(samples))
    print(to_table([reference, figures]))
    allowed = tolerance.allowed(precision, answers[0].logits, figures.max_logit_difference)
    return Measured(reference, figures, allowed, tuple(tolerance.broken(figures, allowed)))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """``manifest.json`` for the files that are in ``folder`` now."""
    atomic.write_bytes(folder / MANIFEST, manifest_bytes(replace(manifest, files=describe_files(folder))))


def _for_manifest(row: Figures) -> dict[str, Any]:
    """The row without the worst picture's index, which means something only beside the data."""
    value = row.to_json()
    del value["worst_index"]
    return value


def _tell_target(manifest: Manifest, measured: Measured) -> None:
    """The threshold was chosen with torch: does each precision still reach what it was chosen for?"""
    if manifest.decision is None:
        return
    name, _, least = (part.strip() for part in manifest.decision.target.partition(">="))
    for row in (measured.reference, measured.figures):
        reached = (row.decision or {}).get(name)
        if reached is not None and reached < float(least):
            print(f"note: {row.precision} reaches {name} {reached:.4f} on validation, the target is {least}")
