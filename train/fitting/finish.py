"""The last part of a fit: quality gate, temperature and decision, and what they promise, said to people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from fieldlens.runtime.bundle.band import band_promise_of
from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.runtime.files.atomic import write_json
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import Config
from fieldlens.train.data.splits import Split
from fieldlens.train.decide.operating_point import OperatingPoint, fit_operating_point
from fieldlens.train.decide.pooled import carried_over, pooled_point, said, with_carried
from fieldlens.train.decide.quality_gate import fit_gate, shorter_sides, write_gate
from fieldlens.train.epoch.history import History
from fieldlens.train.epoch.loop import predict
from fieldlens.train.fitting.inner_folds import OutOfFold, out_of_fold
from fieldlens.train.fitting.refit import FirstNetwork, first_network, logits_of, refitted, refitted_gate, swept
from fieldlens.train.fitting.run_data import RunData
from fieldlens.train.metrics import Floats


def finish(
    config: Config, model: nn.Module, material: RunData, history: History, splits: Sequence[Split], run: Path,
    weights: str, reporter: Reporter = SILENT,
) -> None:  # fmt: skip
    """``model`` is the network that validation has chosen; ``splits``: of inner folds. What is left to be fitted, then
    ``operating-point.json``, whose presence says that the run is whole."""
    first = first_network(run, model, material) if config.train.refit else None
    own = logits_of(first) if first else predict(model, material.val.images)
    inner = out_of_fold(config, material, splits, run, weights, reporter) if splits else None
    point, value = _point(config, material, own, inner, kept=first is None)
    if first:
        model = refitted(config, material, history, run, weights, reporter)
    _write_gate(first, model, material, run)
    swept(run)
    write_json(run / "operating-point.json", value)
    reporter.say(
        f"temperature {point.temperature:.3f}; ECE {value['ece_before']:.3f} → {value['ece_after']:.3f} "
        f"on {value['fitted_on']['split']}"
    )
    _say_decision(point, value, run, reporter)


def _point(
    config: Config, material: RunData, own: Floats, inner: OutOfFold | None, *, kept: bool
) -> tuple[OperatingPoint, dict[str, Any]]:
    """Temperature and decision by the validation logits ``own`` ``[n,C]``, or by ``inner`` scores at their scale.
    ``kept``: is the network of ``own`` the one that is kept?"""
    val, classes = material.val, material.data.classes
    if inner is None:
        networks = 0 if kept else 1
        return fit_operating_point(own, val.labels, classes, val.groups, config.decision, networks)
    inner = inner.on_scale_of(own)
    point, value = pooled_point(inner.logits, inner.labels, classes, inner.groups, config.decision, inner.networks)
    if kept:
        value = with_carried(value, carried_over(own, inner.of(val.samples), val.labels, classes, point))
    return point, value


def _write_gate(first: FirstNetwork | None, model: nn.Module, material: RunData, run: Path) -> None:
    if first:
        gate = refitted_gate(first, model, material)
    else:
        gate = fit_gate(model, material.train, material.val, shorter_sides(material.data, material.train.samples))
    write_gate(run, gate)


def _say_decision(point: OperatingPoint, value: dict[str, Any], run: Path, reporter: Reporter) -> None:
    """What was chosen, on what, and what it promises."""
    if point.decision:
        reached = point.decision.reached
        where = "validation" if value["fitted_on"]["split"] == "val" else "out-of-fold images"
        reporter.say(
            f"refer when {_rule(point.decision)}, "
            f"uncertain within {point.decision.band[0]:.3f}–{point.decision.band[1]:.3f}; on {where} "
            f"sensitivity {_told(reached['sensitivity'])}, specificity {_told(reached['specificity'])} "
            f"(n={reached['n']}), uncertain {reached['uncertain']:.1%}"
        )
        if promise := promise_of(reached):
            reporter.say(f"{'promise' if promise.kept else 'too few to promise the target'}: {promise.words()}")
        ends = band_promise_of(reached)
        if ends and point.decision.band[0] < point.decision.band[1]:
            reporter.say(f"the band: {ends.words()}")
        if "carried_over" in value:
            reporter.say(said(value["carried_over"], run.name, value["fitted_on"]["networks"]))


def _told(figure: float | None) -> str:
    """None where validation has nobody to count."""
    return "unknown" if figure is None else f"{figure:.3f}"


def _rule(decision: Decision) -> str:
    """``P(a + b) >= 0.300``, or ``any of P(a) >= 0.300, P(b) >= 0.120``."""
    if decision.rule == "sum":
        return f"P({' + '.join(decision.positive)}) >= {decision.threshold:.3f}"
    return "any of " + ", ".join(f"P({name}) >= {border:.3f}" for name, border in decision.thresholds.items())
