"""The report's drawings as SVG: small, sharp on a phone and on paper, letters left as letters."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fieldlens.train.fitting.plots import whole_epochs

# Colour-blind safe (Okabe & Ito, 2008), darkened so that thin lines keep a contrast of 3:1 on white.
COLOURS = ("#0b5fa5", "#b34700", "#00734f", "#8a3f78", "#6b6b00", "#2f6f8f", "#a3123f", "#444444")
GREY = "#666666"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "fieldlens", "font.family": "sans-serif", "font.size": 10,
    "font.sans-serif": ["DejaVu Sans"], "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": GREY, "axes.grid": True, "grid.color": "#dddddd", "legend.frameon": False,
    "legend.fontsize": 9,
}  # fmt: skip
_SIZE = (4.2, 3.5)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    drawing = text.getvalue().replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")
    return drawing[drawing.index("<svg") :]


def _axes(size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size)
    return figure, figure.subplots()


def roc(curves: Mapping[str, Mapping[str, Any]], at: Mapping[str, Any] | None, names: Mapping[str, str]) -> str:
    """ROC curves with the operating point (``at``: sensitivity, specificity and their intervals)."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for index, (name, curve) in enumerate(curves.items()):
            axes.plot(
                curve["fpr"], curve["tpr"], color=_colour(index), label=_plain(names.get(name, name)), linewidth=1.8
            )
        if at and at["sensitivity"] is not None and at["specificity"] is not None:
            _cross(axes, 1 - at["specificity"], at["sensitivity"],
                   [1 - each for each in reversed(at["specificity_interval"])], at["sensitivity_interval"])  # fmt: skip
        _unit(axes, "1 − specificity (false alarms)", "sensitivity (found)")
        _legend(axes, len(curves), "lower right")
        return _svg(figure)


def precision_recall(
    curves: Mapping[str, Mapping[str, Any]], at: Mapping[str, Any] | None, names: Mapping[str, str]
) -> str:
    """Precision-recall curves with the operating point; the dotted line is chance."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        for index, (name, curve) in enumerate(curves.items()):
            label = f"{_plain(names.get(name, name))}, AP {curve['average_precision']:.3f}"
            axes.plot(curve["recall"], curve["precision"], label=label, **_line(index, len(curves)))
            if len(curves) == 1:
                axes.axhline(curve["prevalence"], color=GREY, linestyle=":", linewidth=1)
        if at and at["sensitivity"] is not None and at["ppv"] is not None:
            _cross(axes, at["sensitivity"], at["ppv"], at["sensitivity_interval"], at["ppv_interval"])
        _unit(axes, "recall (sensitivity)", "precision (PPV)")
        _legend(axes, len(curves), "lower left")
        return _svg(figure)


def _cross(axes: Axes, x: float, y: float, x_range: Sequence[float], y_range: Sequence[float]) -> None:
    """A point with the interval in each direction."""
    axes.plot(x_range, [y, y], color="black", linewidth=1.2)
    axes.plot([x, x], y_range, color="black", linewidth=1.2)
    axes.plot([x], [y], "o", color="black", markersize=5, label="operating point, 95%")


def _unit(axes: Axes, x: str, y: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _legend(axes: Axes, curves: int, where: Literal["lower right", "lower left"]) -> None:
    """Inside while it is short, below where it would cover the curves."""
    if curves <= 4:
        axes.legend(loc=where)
    else:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2, fontsize=8)


def _plain(name: str) -> str:
    """A name as it is: no formula between dollars, and no legend entry hidden by a leading underscore."""
    return " " * name.startswith("_") + name.replace("$", r"\$")


def _line(index: int, curves: int) -> dict[str, Any]:
    """Colour, and where colours come round again another pattern; thinner where there are many."""
    return {
        "color": _colour(index),
        "linestyle": ("-", "--", ":")[index // len(COLOURS) % 3],
        "linewidth": 1.8 if curves <= 4 else 1.2,
    }


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def reliability(calibration: Mapping[str, Any]) -> str:
    """Said against true, before and after temperature; a marker's area grows with the answers behind it."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for name, colour, marker in (("before", COLOURS[1], "s"), ("after", COLOURS[0], "o")):
            bins = calibration[name]["bins"]
            total = sum(bar["count"] for bar in bins)
            said, true = [bar["said"] for bar in bins], [bar["true"] for bar in bins]
            label = f"{name} temperature, ECE {calibration[name]['ece']:.3f}"
            axes.plot(said, true, color=colour, linewidth=1.2)
            axes.scatter(
                said, true, [20 + 160 * bar["count"] / total for bar in bins], color=colour, marker=marker, label=label
            )
        _unit(axes, "probability said", "share that was true")
        for handle in axes.legend(loc="upper left").legend_handles:
            if handle is not None and hasattr(handle, "set_sizes"):
                handle.set_sizes([30])
        return _svg(figure)


def epochs(curves: Sequence[Mapping[str, Any]], metric: str, area: str = "AUC") -> str:
    """Validation by epoch; for a single fit training loss and validation loss, too. ``area``: the AUC's name."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_SIZE[0], 5.4))
        above, below = figure.subplots(2, 1, sharex=True)
        single = len(curves) == 1
        for index, curve in enumerate(curves):
            rows = [row for row in curve["epochs"] if "epoch" in row]
            steps, colour = [row["epoch"] for row in rows], _colour(index)
            label = "validation" if single else _plain(curve["title"])
            above.plot(steps, [row.get("val_loss") for row in rows], color=colour, marker=".", label=label)
            below.plot(steps, [row.get(metric) for row in rows], color=colour, marker=".")
            if single:
                above.plot(
                    steps, [row.get("train_loss") for row in rows], color=GREY, marker=".", linestyle="--",
                    label="training",
                )  # fmt: skip
        above.set_ylabel("loss (nats)")
        shown = f"validation {area}" if metric == "val_auc" else metric.replace("val_", "validation ").replace("_", " ")
        below.set_ylabel(shown)
        below.set_xlabel("epoch")
        whole_epochs(below)
        above.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1.0))
        return _svg(figure)
