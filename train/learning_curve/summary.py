"""The learning curve in figures: ``curve.json``, ``curve.png``, the table, and what more images would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.bundle.area_name import area_name
from fieldlens.runtime.files import atomic
from fieldlens.train.config import Config
from fieldlens.train.data.samples import DataSet
from fieldlens.train.learning_curve.against import Gain, lines, to_json
from fieldlens.train.learning_curve.draws import TEST, DrawPlan, groups_in
from fieldlens.train.learning_curve.figure import Panel, curve_png
from fieldlens.train.learning_curve.forecast import Forecast, forecast, over_draws
from fieldlens.train.learning_curve.kept import DRAWS, Judged
from fieldlens.train.provenance import commit, versions

RESULT, FIGURE = "curve.json", "curve.png"


@dataclass(frozen=True)
class CurveReport:
    """``value``: what ``curve.json`` holds. ``str()`` of it is the table for people, and the answer."""

    value: dict[str, Any]
    table: str

    def __str__(self) -> str:
        return self.table


def report(
    out: Path, config: Config, data: DataSet, planned: DrawPlan, more: int, judged: Sequence[Judged],
    weights: str, beside: tuple[Path, Sequence[Gain]] | None = None,
) -> CurveReport:  # fmt: skip
    """Write the figures and the figure, from every network's scores in the order of the draws."""
    area = area_name(config.data.task, len(data.classes))
    figures = {
        "auc": _by_size(judged, {(one.size, one.draw): np.nan if one.auc is None else one.auc for one in judged}),
        "accuracy": _by_size(judged, {(one.size, one.draw): one.accuracy for one in judged}),
    }
    sizes = sorted({one.size for one in judged})
    laws = {
        name: forecast(sizes, np.array([values[size] for size in sizes]).T, more) for name, values in figures.items()
    }
    draws = len(judged) // len(sizes)
    looks = len(list((out / DRAWS).glob("*.json"))) if planned.kind == TEST else 0
    value = {
        "format": 1,
        "recipe": config.recipe.name,
        "data": {"name": data.name, "hash": data.hash},
        "weights": weights if weights in ("none", "imagenet") else Path(weights).name,
        "judged_by": {
            "part": planned.kind, "images": len(planned.judged), "groups": groups_in(planned.judged),
            "test_looks": looks,
        },
        "draws": draws,
        "sizes": [
            {
                "size": size,
                "images": [one.images for one in judged if one.size == size],
                "seconds": round(float(np.mean([one.seconds for one in judged if one.size == size])), 1),
                **{name: _summary(values[size]) for name, values in figures.items()},
            }
            for size in sizes
        ],
        "more": {name: _forecast_json(law) for name, law in laws.items()},
        "against": None if beside is None else to_json(*beside),
        "versions": versions(),
        "commit": commit(),
    }  # fmt: skip
    atomic.write_json(out / RESULT, value)
    names = {"auc": area, "accuracy": "accuracy"}
    panels = [
        Panel(names[name], values, {size: over_draws(values[size]) for size in sizes}, laws[name])
        for name, values in figures.items() if not np.isnan(list(values.values())).any()
    ]  # fmt: skip
    by = f"{draws} draws a size, judged by {len(planned.judged)} images ({planned.kind})"
    atomic.write_bytes(out / FIGURE, curve_png(panels, f"{config.recipe.name} on {data.name}", by))
    compared = [] if beside is None else lines(*beside)
    return CurveReport(value, _table(out, config, planned, value, laws, names, compared))


def _by_size(judged: Sequence[Judged], values: Mapping[tuple[int, int], float]) -> dict[int, list[float]]:
    """Size → the draws' values, in the order of the draws."""
    found: dict[int, list[float]] = {}
    for one in sorted(judged, key=lambda one: (one.size, one.draw)):
        found.setdefault(one.size, []).append(values[one.size, one.draw])
    return found


def _summary(values: Sequence[float]) -> dict[str, Any]:
    if np.isnan(values).any():
        return {"mean": None, "interval": None, "draws": [None if np.isnan(each) else each for each in values]}
    interval = over_draws(values)
    limits = None if interval is None else [interval.low, interval.high]
    return {"mean": float(np.mean(values)), "interval": limits, "draws": list(values)}


def _forecast_json(law: Forecast) -> dict[str, Any]:
    gain = None if law.gain is None else asdict(law.gain)
    return {
        "from": law.size, "images": law.more, "gain": gain, "cannot_say": law.reason, "scale": law.scale,
        "exponent": law.exponent,
    }  # fmt: skip


def _table(
    out: Path, config: Config, planned: DrawPlan, value: Mapping[str, Any], laws: Mapping[str, Forecast],
    names: Mapping[str, str], compared: Sequence[str],
) -> str:  # fmt: skip
    by = value["judged_by"]
    said = [
        f"{config.recipe.name}: {value['draws']} draws a size, judged by {by['images']} images ({planned.kind})",
        f"{'images':>8}  {names['auc'] + ' [95%]':<22}  {'accuracy [95%]':<22}  fit",
    ]
    for row in value["sizes"]:
        cells = [f"{shown(row[key]['mean'])} {_limits(row[key]['interval'])}" for key in ("auc", "accuracy")]
        said.append(f"{row['size']:>8}  {cells[0]:<22}  {cells[1]:<22}  {row['seconds']:.0f} s")
    said += [*(_answer(names[name], law) for name, law in laws.items()), *compared]
    if by["test_looks"]:
        said.append(f"the test part has been looked at {by['test_looks']} times, once by each network")
    return "\n".join([*said, f"figure: {out / FIGURE}; figures: {out / RESULT}"])


def shown(value: float | None) -> str:
    """Three places."""
    return "unknown" if value is None else f"{value:.3f}"


def _limits(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"[{max(interval[0], 0.0):.3f}, {min(interval[1], 1.0):.3f}]"


def _answer(name: str, law: Forecast) -> str:
    """What more images would bring, or why that cannot be said."""
    if law.gain is None:
        return f"{law.more} more images, {name}: cannot say; {law.reason}"
    said = f"{law.more} more images, {name}: {law.gain.value:+.3f} [{law.gain.low:+.3f}, {law.gain.high:+.3f}]"
    return said + ("" if law.gain.low > 0 else "; a gain is not shown: the interval reaches zero")
