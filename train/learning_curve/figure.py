"""The learning curve as a figure: what was measured, its interval, and how the law goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from fieldlens.train.fitting.plots import BLUE, GREY, ORANGE, png
from fieldlens.train.learning_curve.forecast import Forecast
from fieldlens.train.metrics import Interval


@dataclass(frozen=True)
class Panel:
    """One figure of merit. ``draws``: size → each network's value; ``means``: size → mean and interval, or None."""

    name: str
    draws: Mapping[int, Sequence[float]]
    means: Mapping[int, Interval | None]
    law: Forecast


def curve_png(panels: Sequence[Panel], title: str, subtitle: str) -> bytes:
    """PNG with a panel for each."""
    figure = Figure(figsize=(5.2 * len(panels), 4.4))
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axis, panel)
    figure.suptitle(f"{title}\n{subtitle}", fontsize=11)
    figure.tight_layout()
    return png(figure)


def _draw(axis: Axes, panel: Panel) -> None:
    sizes = sorted(panel.draws)
    for size in sizes:
        axis.plot([size] * len(panel.draws[size]), panel.draws[size], ".", color=GREY, alpha=0.6, markersize=7)
    means = [float(np.mean(panel.draws[size])) for size in sizes]
    axis.plot(sizes, means, "-o", color=BLUE, label="mean of the draws")
    known = [(size, interval) for size in sizes if (interval := panel.means[size]) is not None]
    if known:
        at = [size for size, _ in known]
        low, high = ([getattr(each, side) for _, each in known] for side in ("low", "high"))
        axis.fill_between(at, low, high, color=BLUE, alpha=0.15, label="95% interval of the mean")
    ticks = list(sizes)
    if panel.law.gain is not None:
        ticks.append(_ahead(axis, panel.law, means[-1], sizes[0]))
    axis.set_xscale("log")
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("images to learn from, validation among them")
    axis.set_title(panel.name)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")


def _ahead(axis: Axes, law: Forecast, last: float, smallest: int) -> int:
    """The law as a dashed line, and what it expects with its interval; the size that this is for."""
    assert law.gain is not None
    ahead = law.size + law.more
    along = np.geomspace(smallest, ahead, 60)
    axis.plot(along, [law.at(size) for size in along], "--", color=ORANGE, linewidth=1, label="power law")
    middle, low, high = (last + each for each in (law.gain.value, law.gain.low, law.gain.high))
    reach = [[middle - low], [high - middle]]
    axis.errorbar([ahead], [middle], yerr=reach, fmt="o", color=ORANGE, capsize=4, label=f"expected with {ahead}")
    return ahead
