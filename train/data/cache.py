"""Every image decoded and preprocessed once, through the device's own preprocess, into one array of uint8.

Training then never waits for a decoder, and the trainer's evaluation transform *is* the device's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.files.atomic import PRIVATE
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Step
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.data.samples import DataSet, Image, Sample
from fieldlens.train.errors import DataError, listing

MEMORY_SHARE = 0.5
"""Of the memory that is free when fitting starts; the rest is for the network and the operating system."""


@dataclass(frozen=True)
class Tensors:
    """``images``: uint8 ``[n,size,size,3]`` RGB (in memory, or mapped from a file); ``labels``: int64 ``[n]``,
    or 0/1 ``[n,L]`` where an image may have several findings."""

    samples: tuple[Sample, ...]
    images: Image
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def groups(self) -> tuple[str, ...]:
        """What belongs together in a bootstrap: the group, or the sample itself."""
        return tuple(s.id if s.group is None else f"={s.group}" for s in self.samples)


def free_memory_bytes() -> int:
    """What the system can still give without swapping; half of all memory where it does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def where_to_cache(samples: int, size: int, file: Path | None, free_bytes: int | None = None) -> Path | None:
    """None: in memory. ``file``: there is too little of it, so map this file instead."""
    free = free_memory_bytes() if free_bytes is None else free_bytes
    return file if samples * size * size * 3 > MEMORY_SHARE * free else None


def load_tensors(
    data: DataSet,
    samples: Sequence[Sample],
    steps: tuple[Step, ...],
    title: str,
    file: Path | None = None,
    reporter: Reporter = SILENT,
) -> Tensors:
    """Decode and preprocess ``samples`` in threads, into memory or (if given) into ``file``.

    Raises DataError that lists every image that cannot be read, with the reason.
    """
    images = _room_for(len(samples), steps, file)
    _refuse(data, _fill(images, data, samples, steps, title, reporter))
    return tensors_of(samples, images)


def load_parts(
    data: DataSet,
    parts: Mapping[str, Sequence[Sample]],
    steps: tuple[Step, ...],
    keep: Mapping[str, Path | None],
    reporter: Reporter = SILENT,
) -> dict[str, Tensors]:
    """Decode all parts; those named in ``keep`` are returned (in memory, or in the file given there).

    The others are decoded and forgotten: a broken test image must be known before hours of training, not after.
    Raises DataError that lists every image of any part that cannot be read.
    """
    kept = {part: _room_for(len(parts[part]), steps, file) for part, file in keep.items()}
    problems: list[str] = []
    for part, samples in parts.items():
        problems += _fill(kept.get(part), data, samples, steps, f"decoding {part}", reporter)
    _refuse(data, problems)
    return {part: tensors_of(parts[part], images) for part, images in kept.items()}


def _room_for(count: int, steps: tuple[Step, ...], file: Path | None) -> Image:
    size = Preprocess(steps).size
    shape = (count, size, size, 3)
    if file is None:
        return np.empty(shape, np.uint8)
    with file.open("wb"):  # the patients' pixels: closed to others before the first one is in it
        file.chmod(PRIVATE)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)


def tensors_of(samples: Sequence[Sample], images: Image) -> Tensors:
    """Samples with their decoded pixels."""
    return Tensors(tuple(samples), images, np.array([sample.label for sample in samples], np.int64))


def _refuse(data: DataSet, problems: Sequence[str]) -> None:
    if problems:
        title = f"{data.name}: images that cannot be read"
        raise DataError(listing(title, problems), "replace these files, or leave them out with --skip-bad")


def _fill(
    images: Image | None,
    data: DataSet,
    samples: Sequence[Sample],
    steps: tuple[Step, ...],
    title: str,
    reporter: Reporter,
) -> list[str]:
    """Fill ``images`` (if any) and return what could not be read. Decoders release the GIL, so threads suffice."""
    local = threading.local()

    def one(index: int) -> str | None:
        if not hasattr(local, "preprocess"):
            local.preprocess = Preprocess(steps)  # reuses its buffers, so each thread has its own
        try:
            tensor = data.tensor(samples[index], local.preprocess)
        except ImageError as error:
            return error.message
        if images is not None:
            images[index] = tensor
        return None

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        results = reporter.each(pool.map(one, range(len(samples))), title, len(samples), "img")
        return [problem for problem in results if problem is not None]
