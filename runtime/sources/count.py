"""How many images a run over files and folders will see, where that can be known before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fieldlens.runtime.sources.regular import FILE, FOLDER, kind_of
from fieldlens.runtime.sources.video import VIDEO_SUFFIXES
from fieldlens.runtime.sources.walk import walk


def images_ahead(names: Sequence[str]) -> int | None:
    """The number of images that ``names`` hold; None where one is neither an image file nor a folder (a camera, a
    video, a pattern, a list on standard input): nobody knows how many those are."""
    total = 0
    for name in names:
        kind = kind_of(name)
        if kind == FOLDER:
            total += len(walk(name).images)
        elif kind == FILE and Path(name).suffix.lower() not in VIDEO_SUFFIXES:
            total += 1
        else:
            return None
    return total
