"""The precisions beside FP32: made, measured on images kept aside, kept only if they lose no more than they may."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import onnx

from fieldlens.convert.graph.contract import ConversionError, check_graph
from fieldlens.convert.graph.export import OPSET, to_bytes
from fieldlens.convert.graph.half import QDQ_OPSET, scaled_input, to_half
from fieldlens.convert.measure import tolerance
from fieldlens.convert.measure.answer import PrecisionAnswers, Tensor, answer
from fieldlens.convert.measure.evaluate import Figures, compare
from fieldlens.convert.measure.verify import to_table
from fieldlens.convert.origin.origin import Judging
from fieldlens.convert.quantization.calibrate import check_images
from fieldlens.convert.quantization.quantize import CPU, TENSORRT, QuantRecipe, with_ranges
from fieldlens.convert.quantization.ranges import METHODS, Ranges, observe, ranges
from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.runtime.bundle.manifest import Manifest, Tolerance
from fieldlens.runtime.bundle.open import MANIFEST, describe_file, describe_files, manifest_bytes, open_bundle
from fieldlens.runtime.bundle.precision import REFERENCE, measured_for, model_file
from fieldlens.runtime.files import atomic
from fieldlens.runtime.terminal.pace import Pace
from fieldlens.runtime.terminal.reporter import SILENT, Reporter


@dataclass(frozen=True)
class Attempt:
    """One way to make a file. ``build`` None: there is no file to write."""

    recipe: str
    method: str
    build: Callable[[], onnx.ModelProto] | None

    @property
    def title(self) -> str:
        """For people."""
        return ", ".join(filter(None, (self.recipe, self.method)))


@dataclass(frozen=True)
class AttemptResult:
    """An attempt and what came of it. ``faults`` empty: it may stay. No figures: it could not be made at all."""

    attempt: Attempt
    faults: tuple[str, ...]
    figures: Figures | None = None
    allowed: Tolerance | None = None
    data: bytes = b""

    @property
    def order(self) -> tuple[float, float]:
        """The better, the smaller: AUC lost, to a thousandth (below that it is chance), then how far logits moved."""
        if self.figures is None:
            return math.inf, math.inf
        return round(max(0.0, -(self.figures.auc_delta or 0.0)), 3), self.figures.rms_logit_difference

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        made = {"recipe": self.attempt.recipe, "refused": list(self.faults)}
        made |= {"calibration": self.attempt.method} if self.attempt.method else {}
        return made | ({"val": for_manifest(self.figures)} if self.figures else {})


class Bench:
    """A bundle in the making, with FP32's answers on the images that judge."""

    def __init__(self, folder: Path, draft: Manifest, judging: Judging, reporter: Reporter) -> None:
        self._folder, self._draft, self._judging, self.reporter = folder, draft, judging, reporter
        self._files = describe_files(folder)
        self.pace = Pace(0)
        with reporter.step("evaluate", f"{REFERENCE} on {judging.what}"):
            self._answers = self._run(REFERENCE)
        self.reference = compare(draft, [self._answers], judging.labels)[0]

    def judge(self, precision: str, attempt: Attempt) -> AttemptResult:
        """Make the file of one attempt, leave it in the folder, and measure it."""
        data = b""
        try:
            if attempt.build is not None:
                with self.reporter.step("make", f"{model_file(precision)}, {attempt.title}"):
                    data = to_bytes(attempt.build())
                    self.put(precision, data)
            with self.reporter.step("evaluate", f"{precision} on {self._judging.what}"):
                found = self._run(precision)
        except ConversionError as error:
            return AttemptResult(attempt, (f"{precision}: {error.message}",))
        figures = compare(self._draft, [found], self._judging.labels, self._answers.logits)[0]
        allowed = tolerance.allowed(precision, self._answers.logits, figures.max_logit_difference)
        return AttemptResult(attempt, tuple(tolerance.broken(figures, allowed)), figures, allowed, data)

    def put(self, precision: str, data: bytes) -> None:
        """Let the file of a precision be ``data``, or, where that is empty, not be there."""
        path = self._folder / model_file(precision)
        if data:
            path.write_bytes(data)
            self._files[path.name] = describe_file(path)
        else:
            path.unlink(missing_ok=True)
            self._files.pop(path.name, None)

    def _run(self, precision: str) -> PrecisionAnswers:
        _write_manifest(self._folder, replace(self._draft, files=dict(sorted(self._files.items()))))
        return answer(open_bundle(self._folder, check_files=False), (precision,), self._judging.tensors, "auto")[0]


def make_precisions(
    folder: Path,
    draft: Manifest,
    reference: onnx.ModelProto,
    calibration: Sequence[Tensor],
    judging: Judging,
    targets: Sequence[str],
    reporter: Reporter = SILENT,
) -> Manifest:
    """Write the model files of ``targets`` that keep to the tolerances; returns ``draft`` with tolerances and
    evaluation, the figures of every attempt among them. Without ``calibration`` there is no INT8.

    Raises ConversionError for calibration images that are too few or noise.
    """
    bench = Bench(folder, draft, judging, reporter)
    bench.pace = Pace(_tries(calibration, targets))
    kept = [bench.reference]
    evaluation: dict[str, Any] = {REFERENCE: {"val": for_manifest(bench.reference)}}
    tolerances = {REFERENCE: tolerance.FP32}
    for precision, groups in _plan(reference, calibration, targets, reporter):
        outcomes, best = _try(bench, precision, groups)
        evaluation[precision] = {**best.to_json(), "attempts": [o.to_json() for o in outcomes if o is not best]}
        if best.faults or best.figures is None or best.allowed is None:
            bench.put(precision, b"")
            reporter.say(f"left out: {precision}")
            continue
        bench.put(precision, best.data)
        tolerances[precision] = best.allowed
        kept.append(best.figures)
    reporter.say(to_table(kept, area=area_name(draft.task, len(draft.classes))))
    _tell_target(draft, kept, reporter)
    return replace(draft, tolerances=tolerances, evaluation=evaluation)


Plan = Iterator[tuple[str, list[list[Attempt]]]]


def _plan(
    reference: onnx.ModelProto, calibration: Sequence[Tensor], targets: Sequence[str], reporter: Reporter
) -> Plan:
    """For each precision, groups of attempts: the best of the first group in which one may stay is taken."""
    scaled = scaled_input(reference)
    wanted = {name for target in targets for name in measured_for(target)}
    if "fp16" in wanted:
        build = partial(_half, scaled, OPSET) if "tensorrt10" in targets else None
        yield "fp16", [[Attempt("FP16" if build else "FP16 from model.fp32.onnx, by TensorRT 8.6", "", build)]]
    if wanted <= {"fp16"} or not len(calibration):
        return
    check_images(calibration)
    with reporter.step("calibrate", f"ranges by {' and '.join(METHODS)} from {len(calibration)} images"):
        seen = observe(scaled, calibration)
        found = {method: ranges(seen, method) for method in METHODS}

    @cache
    def tensorrt(method: str) -> onnx.ModelProto:
        return with_ranges(scaled, found[method], TENSORRT)

    def attempts(recipe: QuantRecipe, build: Callable[[str], onnx.ModelProto]) -> list[Attempt]:
        return [Attempt(recipe.name, method, partial(build, method)) for method in METHODS]

    if "int8" in wanted:
        yield "int8", [attempts(TENSORRT, lambda method: _half(tensorrt(method), QDQ_OPSET))]
    if "int8-trt8" in wanted:
        yield "int8-trt8", [attempts(TENSORRT, tensorrt)]
    if "int8-cpu" in wanted:
        yield "int8-cpu", [attempts(recipe, partial(_with, reference, recipe, found)) for recipe in CPU]


def _with(reference: onnx.ModelProto, recipe: QuantRecipe, found: dict[str, Ranges], method: str) -> onnx.ModelProto:
    return with_ranges(reference, found[method], recipe)


def _tries(calibration: Sequence[Tensor], targets: Sequence[str]) -> int:
    """How many attempts :func:`_plan` has at most: the second group of a precision is for where the first fails."""
    wanted = {name for target in targets for name in measured_for(target)}
    groups = {"fp16": 1 / len(METHODS), "int8-cpu": len(CPU)}
    return sum(round(len(METHODS) * groups.get(name, 1)) for name in wanted if name == "fp16" or len(calibration))


def _half(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    made = to_half(model)
    check_graph(made, opset)
    return made


def _try(
    bench: Bench, precision: str, groups: Sequence[Sequence[Attempt]]
) -> tuple[list[AttemptResult], AttemptResult]:
    """All outcomes, and the one to keep: without faults if there is such a one."""
    outcomes: list[AttemptResult] = []
    for group in groups:
        fresh = []
        for attempt in group:
            fresh.append(bench.judge(precision, attempt))
            bench.pace.done += 1
            bench.reporter.say(f"{bench.pace.done} of at most {bench.pace.total} tries, {bench.pace.left}")
        for outcome in fresh:
            if outcome.faults:
                bench.reporter.say(f"refused: {'; '.join(outcome.faults)} ({outcome.attempt.title})")
        outcomes += fresh
        good = [outcome for outcome in fresh if not outcome.faults]
        if good:
            best = min(good, key=lambda outcome: outcome.order)
            if len(fresh) > 1:
                bench.reporter.say(f"kept: {precision}, {best.attempt.title}")
            return outcomes, best
    return outcomes, min(outcomes, key=lambda outcome: outcome.order)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """``manifest.json`` for the files that are in ``folder`` now."""
    _write_manifest(folder, replace(manifest, files=describe_files(folder)))


def _write_manifest(folder: Path, whole: Manifest) -> None:
    atomic.write_bytes(folder / MANIFEST, manifest_bytes(whole), atomic.PUBLIC)


def for_manifest(row: Figures) -> dict[str, Any]:
    """The row without the worst image's index, which means something only beside the data."""
    value = row.to_json()
    del value["worst_index"]
    return value


def _tell_target(manifest: Manifest, rows: Sequence[Figures], reporter: Reporter) -> None:
    """The threshold was chosen with torch: does each precision still reach what it was chosen for?"""
    if manifest.decision is None:
        return
    name, _, least = (part.strip() for part in manifest.decision.target.partition(">="))
    for row in rows:
        reached = (row.decision or {}).get(name)
        if reached is not None and reached < float(least):
            reporter.say(f"note: {row.precision} reaches {name} {reached:.4f} on validation, the target is {least}")
