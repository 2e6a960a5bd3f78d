"""The pointing game: does the heat map that a person sees point at the finding?

Two questions of each map over an image whose finding is marked. Is its brightest point inside the mark (Zhang et al.,
Top-down neural attention by excitation backprop, IJCV 2018; without their margin of 15 pixels around the mark)? How
much of its colour is inside (the energy-based game of Wang et al., Score-CAM, CVPR workshops 2020)? Chance is the share
of the image that the mark covers: what a point, or a colour, that knows nothing would get. The image's middle is the
better rival, because people aim cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.pixels.heat import heat_of, in_field, too_coarse
from fieldlens.train import metrics
from fieldlens.train.data.marked_areas import Area

SIDE = 240
"""Of the maps that are judged, in px: half of what is drawn, and a fraction of any cell."""

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pointing:
    """``n`` maps of ``cells`` × ``cells``, each over an image with a marked finding. ``hit``: share whose brightest
    point is inside; ``inside``: mean share of a map's colour that is; ``chance``: mean share of the image that is
    marked; ``middle``: share of images whose middle is inside. Intervals are 95%: Wilson's, and a bootstrap by group.
    ``not_drawn``: why nobody sees these maps, empty where they are drawn."""

    n: int
    cells: int
    hit: float
    hit_interval: tuple[float, float]
    inside: float
    inside_interval: tuple[float, float]
    chance: float
    middle: float
    not_drawn: str = ""

    def to_json(self) -> dict[str, Any]:
        """As in ``report.json``."""
        value = asdict(self)
        return value | {"hit_interval": list(self.hit_interval), "inside_interval": list(self.inside_interval)}


def pointing(
    cams: Maps, areas: Sequence[Area | None], groups: Sequence[str], images: npt.NDArray[np.uint8] | None = None
) -> Pointing | None:
    """Judge the maps ``cams`` ``[n,h,w]`` as they are drawn over ``images`` (uint8 RGB ``[n,S,S,3]``; None: nothing of
    the image is outside of its field). ``areas``: ``[SIDE,SIDE]``, None where nothing is marked; such images are left
    out. None where none is left. A map that is too coarse to be drawn is judged all the same, as it would look."""
    chosen = [index for index, area in enumerate(areas) if area is not None]
    if not chosen:
        return None
    hits, inside, marked, middle = [], [], [], []
    for index in chosen:
        area = areas[index]
        assert area is not None
        heat = heat_of(cams[index], SIDE, coarse=True)
        heat = heat if images is None else in_field(heat, images[index])
        hits.append(bool(area[brightest(heat)]) and heat.max() > 0)
        inside.append(float(heat[area].sum() / max(float(heat.sum()), 1e-12)))
        marked.append(float(area.mean()))
        middle.append(bool(area[SIDE // 2, SIDE // 2]))
    shares = np.array(inside)
    drawn = metrics.bootstrap(lambda rows: float(shares[rows].mean()), [groups[index] for index in chosen])
    return Pointing(
        n=len(chosen),
        cells=cams.shape[-1],
        hit=float(np.mean(hits)),
        hit_interval=metrics.wilson(int(sum(hits)), len(hits)),
        inside=drawn.value,
        inside_interval=(drawn.low, drawn.high),
        chance=float(np.mean(marked)),
        middle=float(np.mean(middle)),
        not_drawn=too_coarse(cams[0]),
    )


def brightest(heat: Maps) -> tuple[int, int]:
    """Row and column of the maximum; of a plateau its point nearest to the plateau's middle, as an eye takes it."""
    rows, columns = np.nonzero(heat >= heat.max() * 0.999)
    nearest = ((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin()
    return int(rows[nearest]), int(columns[nearest])


def line(name: str, found: Pointing) -> str:
    """For people, in a terminal."""
    low, high = found.hit_interval
    return (
        f"  heat maps of {found.n} images with a marked finding ({name}, {found.cells}×{found.cells} cells): brightest "
        f"point inside {found.hit:.1%} [{low:.1%}, {high:.1%}] (chance {found.chance:.1%}, the image's middle "
        f"{found.middle:.1%}), {found.inside:.1%} of the colour inside"
    )
