"""The annotated image, with its heat map: arrays in, arrays out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.pixels.heat import SIDE, in_field
from fieldlens.runtime.pixels.preprocess import Pixels

UNSIGNED = "nobody vouches for this bundle: its maker was not checked"
NOTE = "where the model looked, not where the disease is"
_BAR = 98
_CHARACTER_PX = 8.2
"""Of OpenCV's letters at a scale of 0.45, the widest that are usual in names."""
_STRIP = 32
_GREY = (70, 70, 78)
_COLOURS = {  # RGB; dark enough for white letters (contrast at least 4.5:1)
    "refer": (176, 0, 32),
    "uncertain": (140, 80, 0),
    "no-sign-found": (0, 98, 60),
    "retake": _GREY,
    "classified": (20, 70, 140),
}


def blend(view_rgb: Pixels, heat_map: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour laid over the image, the stronger the hotter; cold parts, and what is outside of the field of view, stay
    as they were."""
    heat_map = in_field(heat_map, view_rgb)
    colours = cv2.cvtColor(
        cv2.applyColorMap((heat_map * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
    )
    weight = (0.65 * heat_map)[..., None]
    return np.asarray(np.rint(view_rgb * (1 - weight) + colours * weight), np.uint8)


def small(view_rgb: Pixels) -> npt.NDArray[np.uint8]:
    """The image as it is drawn, uint8 RGB ``[SIDE,SIDE,3]``: always a copy."""
    return np.asarray(cv2.resize(np.ascontiguousarray(view_rgb), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def annotated(
    view_rgb: Pixels,
    heat_map: npt.NDArray[np.float32] | None,
    outcome: str,
    lines: Sequence[str],
    *,
    source: str = "",
    moment: str = "",
    status: str = "",
    footer: str = "",
) -> npt.NDArray[np.uint8]:
    """Image, heat map beside it where there is one, and a bar with outcome, two lines, ``source`` and ``moment`` (of
    which image, and when), ``status`` and ``footer``: uint8 RGB ``[578,480,3]``, or ``[578,960,3]`` with a heat map."""
    image = small(view_rgb)
    body = image if heat_map is None else np.hstack([image, blend(image, heat_map)])
    bar = np.full((_BAR, body.shape[1], 3), _COLOURS[outcome], np.uint8)
    _write(bar, outcome, 24, 0.7)
    for row, line in enumerate(lines[:2]):
        _write(bar, line, 43 + 17 * row, 0.45)
    _write(bar, _fitted(source, moment, body.shape[1]), 77, 0.45)
    if status:
        _write(bar, status, 22, 0.42, left=150)
    if footer:
        _write(bar, footer, 93, 0.42)
    return np.vstack([body, bar])


def banner(image_rgb: npt.NDArray[np.uint8], words: str) -> npt.NDArray[np.uint8]:
    """The image below a grey strip with a few words: uint8 RGB, 32 px higher."""
    strip = np.full((_STRIP, image_rgb.shape[1], 3), _GREY, np.uint8)
    _write(strip, words, 22, 0.6)
    return np.vstack([strip, image_rgb])


def card(title: str, lines: Sequence[str] = ()) -> npt.NDArray[np.uint8]:
    """A grey panel with a title and sentences, where there is no image to show: uint8 RGB ``[578,480,3]``."""
    panel = np.full((SIDE + _BAR, SIDE, 3), _GREY, np.uint8)
    baseline = 200
    for line in textwrap.wrap(printable(title), 26)[:3]:
        _write(panel, line, baseline, 0.9)
        baseline += 36
    wrapped = [part for line in lines for part in textwrap.wrap(printable(line), 52)]
    for row, line in enumerate(wrapped[:10]):
        _write(panel, line, baseline + 4 + 24 * row, 0.5)
    return panel


def _fitted(source: str, moment: str, width_px: int) -> str:
    """Both in one line, the source cut at its beginning: its end tells files and frames apart."""
    room = int((width_px - 20) / _CHARACTER_PX) - len(moment) - 2
    name = printable(source)
    name = name if len(name) <= room else "..." + name[-max(room - 3, 1) :]
    return "  ".join(part for part in (name, moment) if part)


def _write(bar: npt.NDArray[np.uint8], text: str, baseline: int, scale: float, left: int = 10) -> None:
    """White letters. OpenCV's own font has ASCII only: other signs become a question mark."""
    plain = printable(text).encode("ascii", "replace").decode()
    cv2.putText(bar, plain, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
