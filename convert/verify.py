"""``convert verify``: every precision of a finished bundle, on labelled data or on its own golden images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert import tolerance
from convert.evaluate import REFERENCE, RUNS_AS, Answers, Figures, answer, compare, probabilities
from convert.labelled import labelled
from convert.table import table
from runtime import atomic
from runtime.bundle import Bundle, open_bundle
from runtime.errors import KitError
from runtime.manifest import Manifest
from runtime.preprocess import Preprocess
from runtime.selftest import load_golden
from train.samples import Sample


class ToleranceError(KitError):
    """A precision lost more than its manifest allows."""


@dataclass(frozen=True)
class Verified:
    """What was found. ``images`` names the rows of ``answers`` (empty for golden images)."""

    bundle: Bundle
    what: str
    figures: tuple[Figures, ...]
    broken: tuple[str, ...]
    answers: tuple[Answers, ...]
    samples: tuple[Sample, ...]


def verify(path: Path, data: Path | None, split: str, backend: str) -> Verified:
    """Run every precision that runs here. Golden images are always checked, labelled data where given.

    Raises KitError: a bundle, data or backend that cannot be used. Broken tolerances are returned, not raised.
    """
    bundle = open_bundle(path)
    golden = on_golden(bundle, backend)
    if data is None:
        return golden
    source = labelled(bundle.manifest, data, split)
    preprocess = Preprocess(bundle.manifest.preprocess)
    answers = answer(
        bundle, runnable(bundle.manifest), (source.data.tensor(s, preprocess) for s in source.samples), backend
    )
    figures = compare(bundle.manifest, answers, source.labels)
    broken = [*golden.broken, *judge(bundle.manifest, [row for row in figures if row.precision != REFERENCE])]
    what = f"{source.data.name}, {source.what}, n = {len(source.samples)}"
    return Verified(bundle, what, tuple(figures), tuple(broken), tuple(answers), source.samples)


def on_golden(bundle: Bundle, backend: str) -> Verified:
    """The golden images against the stored reference, judged as a device's self-test does: by logits and by decisions
    turned into their opposite. They were picked, so shares of them mean nothing."""
    golden = load_golden(bundle)
    answers = answer(bundle, runnable(bundle.manifest), golden.tensors, backend)
    figures = compare(bundle.manifest, answers, None, golden.logits)
    broken = []
    for row in figures:
        allowed = bundle.manifest.tolerances.get(row.precision, tolerance.FP32)
        if not row.max_logit_difference <= allowed.logit:
            broken.append(
                f"{row.precision}: golden images differ by a logit of {row.max_logit_difference:.4f}, "
                f"allowed {allowed.logit:.4f}"
            )
        if row.flips:
            broken.append(f"{row.precision}: {row.flips} golden images turned to the opposite decision, allowed 0")
    if golden.preprocess_differs:
        print(f"note: {golden.preprocess_differs} golden images give another tensor here than where they were made")
    what = f"{len(golden.logits)} golden images against the stored reference"
    return Verified(bundle, what, tuple(figures), tuple(broken), tuple(answers), ())


def judge(manifest: Manifest, figures: Sequence[Figures]) -> list[str]:
    """Which of the manifest's tolerances are broken. A precision without one is broken by that."""
    found = []
    for row in figures:
        allowed = manifest.tolerances.get(row.precision)
        lacking = f"{row.precision}: the manifest has no tolerance for it"
        found += [lacking] if allowed is None else tolerance.broken(row, allowed)
    return found


def runnable(manifest: Manifest) -> list[str]:
    """The precisions that a CPU library can run, FP32 first. Raises KitError where FP32 is not among them."""
    if REFERENCE not in manifest.precisions:
        raise KitError(f"the bundle has no model.{REFERENCE}.onnx to compare with", "make the bundle anew")
    return [name for name in manifest.precisions if name in RUNS_AS]


def to_table(figures: Sequence[Figures]) -> str:
    """One row per precision, with labels' columns only where there are labels."""
    judged = any(row.accuracy is not None for row in figures)
    header = ["precision", "runs on", "MB", "agree", "max |Δlogit|"]
    header += ["AUC", "ΔAUC [95%]", "accuracy", "Δ", "ECE"] if judged else []
    header += ["changed", "ms p50"]
    return table(header, [_row(row, judged) for row in figures])


def _row(row: Figures, judged: bool) -> list[str]:
    cells = [
        row.precision,
        f"{row.backend} ({row.runs})",
        f"{row.size_bytes / 1e6:.1f}",
        f"{row.agreement:.2%}",
        f"{row.max_logit_difference:.2g}",
    ]
    if judged:
        cells += [_number(row.auc), _delta(row), _number(row.accuracy), _signed(row.accuracy_delta), _number(row.ece)]
    return [*cells, f"{row.decisions_changed:.2%}", f"{row.latency_p50_ms:.1f}"]


def _delta(row: Figures) -> str:
    if row.auc_delta_interval is None:
        return _signed(row.auc_delta)
    low, high = row.auc_delta_interval
    return f"{_signed(row.auc_delta)} [{low:+.4f}, {high:+.4f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"


def write_predictions(path: Path, verified: Verified) -> None:
    """A CSV row per image and precision, FP32 first, images in the data's order; probabilities to the last bit."""
    manifest = verified.bundle.manifest
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "precision", *manifest.class_ids])
    for item in sorted(verified.answers, key=lambda item: item.precision != REFERENCE):
        rows: np.ndarray = probabilities(manifest, item.logits)
        for sample, row in zip(verified.samples, rows.tolist(), strict=True):
            label = manifest.class_ids[sample.label]
            writer.writerow([sample.id, label, item.precision, *(repr(value) for value in row)])
    atomic.write_text(path, text.getvalue())


def write_json(path: Path, verified: Verified) -> None:
    """``{"fp32": {…}, "int8-cpu": {…}}``."""
    atomic.write_json(path, {row.precision: row.to_json() for row in verified.figures})
