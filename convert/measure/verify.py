"""``convert verify``: every precision of a finished bundle, on labelled data or on its own golden images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldlens.convert.measure import tolerance
from fieldlens.convert.measure.answer import PrecisionAnswers, answer, judged_precisions
from fieldlens.convert.measure.evaluate import Figures, compare, probabilities
from fieldlens.convert.measure.labelled import Labelled, labelled
from fieldlens.convert.table import table
from fieldlens.runtime.backends.selftest import load_golden
from fieldlens.runtime.bundle.contents import golden_images
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.precision import REFERENCE, model_file
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.data.samples import label_name


class ToleranceError(KitError):
    """A precision lost more than its manifest allows."""


@dataclass(frozen=True)
class Verified:
    """What was found. ``names`` are the images behind ``answers``; ``source`` is None for golden images."""

    bundle: Bundle
    what: str
    figures: tuple[Figures, ...]
    broken: tuple[str, ...]
    answers: tuple[PrecisionAnswers, ...]
    names: tuple[str, ...]
    source: Labelled | None = None


def verify(
    path: Path,
    data: Path | None = None,
    split: str = "test",
    backend: str = "auto",
    reporter: Reporter = SILENT,
) -> Verified:
    """Run every precision, TensorRT's by emulation. Golden images are always checked, labelled data where given.

    Raises KitError: a bundle, data or backend that cannot be used. Broken tolerances are returned, not raised.
    """
    bundle = open_bundle(path)
    if data is not None and REFERENCE not in bundle.precisions:
        raise KitError(_no_reference(bundle), "leave --data out, or verify the whole bundle where it was made")
    golden = on_golden(bundle, backend, reporter)
    if data is None:
        return golden
    source = labelled(bundle.manifest, data, split, reporter)
    preprocess = Preprocess(bundle.manifest.preprocess)
    answers = answer(
        bundle, judged_precisions(bundle), (source.data.tensor(s, preprocess) for s in source.samples), backend
    )
    figures = compare(bundle.manifest, answers, source.labels)
    broken = [*golden.broken, *judge(bundle.manifest, [row for row in figures if row.precision != REFERENCE])]
    what = f"{source.data.name}, {source.what}, n = {len(source.samples)}"
    names = tuple(sample.id for sample in source.samples)
    return Verified(bundle, what, tuple(figures), tuple(broken), tuple(answers), names, source)


def on_golden(bundle: Bundle, backend: str, reporter: Reporter = SILENT) -> Verified:
    """The golden images against the stored reference, judged as a device's self-test does: by logits and by decisions
    turned into their opposite. They were picked, so shares of them mean nothing."""
    golden = load_golden(bundle)
    if bundle.absent:
        reporter.say(f"note: {bundle.partial}: these are not measured")
    answers = answer(bundle, judged_precisions(bundle), golden.tensors, backend)
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
        broken += tolerance.overflow(row)
    if golden.preprocess_differs:
        reported = f"{golden.preprocess_differs} golden images give another tensor here than where they were made"
        reporter.say(f"note: {reported}")
    what = f"{len(golden.logits)} golden images against the stored reference"
    return Verified(bundle, what, tuple(figures), tuple(broken), tuple(answers), golden_names(bundle))


def golden_names(bundle: Bundle) -> tuple[str, ...]:
    """File names of the golden images, in order."""
    return tuple(image.file for image in golden_images(bundle))


def judge(manifest: Manifest, figures: Sequence[Figures]) -> list[str]:
    """Which of the manifest's tolerances are broken. A precision without one is broken by that."""
    found = []
    for row in figures:
        allowed = manifest.tolerances.get(row.precision)
        lacking = f"{row.precision}: the manifest has no tolerance for it"
        found += [lacking] if allowed is None else tolerance.broken(row, allowed)
    return found


def _no_reference(bundle: Bundle) -> str:
    """Why labelled images cannot be compared: every precision is measured against FP32."""
    file = model_file(REFERENCE)
    return bundle.left_out(file) if file in bundle.absent else f"the bundle has no {file} to compare with"


def to_table(figures: Sequence[Figures], names: Sequence[str] = (), area: str = "AUC") -> str:
    """One row per precision, with labels' columns only where there are labels; ``names`` of the images, to name the
    one whose logits moved most; ``area``: what the AUC is called."""
    judged = any(row.accuracy is not None for row in figures)
    header = ["precision", "runs on", "MB", "agree", "max |Δlogit|"]
    header += [area, "ΔAUC [95%]", "accuracy", "Δ [95%]", "ECE"] if judged else []
    header += ["changed", "ms p50"]
    header += ["worst image"] if names else []
    return table(header, [_row(row, judged, names) for row in figures])


def _row(row: Figures, judged: bool, names: Sequence[str]) -> list[str]:
    cells = [
        row.precision,
        f"{row.backend} ({row.runs})",
        f"{row.size_bytes / 1e6:.1f}",
        f"{row.agreement:.2%}",
        f"{row.max_logit_difference:.2g}",
    ]
    if judged:
        cells += [_number(row.auc), _delta(row.auc_delta, row.auc_delta_interval), _number(row.accuracy)]
        cells += [_delta(row.accuracy_delta, row.accuracy_delta_interval), _number(row.ece)]
    cells += [f"{row.decisions_changed:.2%}", "–" if row.latency_p50_ms is None else f"{row.latency_p50_ms:.1f}"]
    if names:
        cells.append("–" if row.precision == REFERENCE else names[row.worst_index])
    return cells


def _delta(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "–" if value is None else f"{value:+.4f}"
    return f"{value:+.4f} [{interval[0]:+.4f}, {interval[1]:+.4f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def write_predictions(path: Path, verified: Verified) -> None:
    """A CSV row per image and precision, FP32 first, images in the data's order; probabilities to the last bit."""
    manifest = verified.bundle.manifest
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "precision", *manifest.class_ids])
    samples = verified.source.samples if verified.source else ()
    for item in sorted(verified.answers, key=lambda item: item.precision != REFERENCE):
        rows: np.ndarray = probabilities(manifest, item.logits)
        for sample, row in zip(samples, rows.tolist(), strict=True):
            label = label_name(sample.label, manifest.class_ids)
            writer.writerow([sample.id, label, item.precision, *(repr(value) for value in row)])
    atomic.write_text(path, text.getvalue())


def write_json(path: Path, verified: Verified) -> None:
    """``{"fp32": {…}, "int8-cpu": {…}}``, each with the name of its worst image."""
    rows = {
        row.precision: {**row.to_json(), "worst_image": verified.names[row.worst_index]} for row in verified.figures
    }
    atomic.write_json(path, rows)
