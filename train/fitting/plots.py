"""Figures of a run as PNG bytes. No pyplot: it keeps global state and looks for a display."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fieldlens.train.epoch.history import EpochRow

BLUE, ORANGE, GREY = "#1f77b4", "#d95f02", "#888888"


def png(figure: Figure) -> bytes:
    """Rendered at 120 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight")
    return buffer.getvalue()


def whole_epochs(axis: Axes) -> None:
    """Ticks at whole numbers: there is no epoch 2.5."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def curves(rows: Sequence[EpochRow], best_epoch: int, title: str) -> bytes:
    """Loss and accuracy by epoch, training (augmented images) and validation, with the chosen epoch marked."""
    figure = Figure(figsize=(9, 3.6))
    epochs = [row.epoch for row in rows]
    axes = figure.subplots(1, 2)
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot(epochs, [getattr(row, f"train_{name}") for row in rows], color=GREY, marker=".", label="training")
        axis.plot(epochs, [getattr(row, f"val_{name}") for row in rows], color=BLUE, marker=".", label="validation")
        axis.axvline(best_epoch, color=ORANGE, linestyle=":", label=f"kept: epoch {best_epoch}")
        axis.set_xlabel("epoch")
        whole_epochs(axis)
        axis.set_title(name)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("cross-entropy (nats)")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    figure.suptitle(title)
    figure.tight_layout()
    return png(figure)


def confusion_matrix(counts: npt.NDArray[np.int64], names: Sequence[str], title: str) -> bytes:
    """Counts ``[C,C]`` (true by row) with each row's share as colour, blue for hits and orange for errors, and as
    percentage."""
    size = 2.2 + 0.9 * len(names)
    figure = Figure(figsize=(size + 0.8, size))
    axis = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    hits = np.eye(len(counts), dtype=bool)
    axis.imshow(np.ma.masked_array(share, ~hits), cmap="Blues", vmin=0, vmax=1)
    axis.imshow(np.ma.masked_array(share, hits | (counts == 0)), cmap="Oranges", vmin=-0.15, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        axis.text(
            column, row, f"{counts[row, column]}\n{share[row, column]:.0%}", ha="center", va="center",
            color="white" if share[row, column] > 0.5 else "black",
        )  # fmt: skip
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("said")
    axis.set_ylabel("true")
    axis.set_title(title)
    figure.tight_layout()
    return png(figure)


def fold_curves(curves: Sequence[tuple[str, list[dict[str, float]]]], metric: str, title: str) -> bytes:
    """Validation loss and ``metric`` by epoch, a line per fold."""
    figure = Figure(figsize=(9, 3.6))
    axes = figure.subplots(1, 2)
    for name, rows in curves:
        for axis, value in zip(axes, ("val_loss", metric), strict=True):
            axis.plot(
                [row["epoch"] for row in rows], [row.get(value, math.nan) for row in rows], marker=".", label=name
            )
            axis.set_xlabel("epoch")
            whole_epochs(axis)
            axis.set_title(value)
            axis.grid(alpha=0.3)
    axes[1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    figure.suptitle(title)
    figure.tight_layout()
    return png(figure)
