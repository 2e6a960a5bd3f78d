"""Images on two sides of a split that are nearly the same, whatever the table says of their groups.

HAM10000 has such pairs that its ``lesion_id`` does not tell (Abhishek et al., arXiv 2401.14497). A perceptual hash
(signs of the 8 × 8 lowest frequencies of the cosine transform but the mean: Zauner 2010) finds candidates; the
correlation of their details decides, since the hashes of two chests, or of two heads in a scanner, are close as well.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Grey, Orient, Resize, Window
from fieldlens.train.data.samples import PARTS, ArrayDataSet, DataSet, Sample

MAX_DISTANCE = 10
"""Bits of 63 in which the hashes of candidates may differ."""
MIN_CORRELATION = 0.95
"""Of the details (a Laplacian) of two 32 × 32 images. Re-encoding and resizing leave more; another person less."""
SHOWN = 50
"""Pairs that `run.json` lists; all are counted."""
_SIDE = 32
_ROWS = 2048

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """Two sample ids, their parts, and the correlation of their details (1: the same image)."""

    first: str
    second: str
    parts: tuple[str, str]
    correlation: float


def near_duplicates(data: DataSet, parts: Mapping[str, str]) -> list[Pair]:
    """Pairs across the sides of a split, the most alike first. Images that cannot be read are passed over.

    Every image is decoded once, at 32 × 32; 10,000 images then take about a second to compare.
    """
    chosen = {part: [sample for sample in data.samples if parts[sample.id] == part] for part in PARTS}
    prints = {part: _prints(data, samples) for part, samples in chosen.items() if samples}
    found = [
        Pair(chosen[one][i].id, chosen[other][j].id, (one, other), round(correlation, 4))
        for place, one in enumerate(prints)
        for other in list(prints)[place + 1 :]
        for i, j, correlation in _matches(*prints[one], *prints[other])
    ]
    return sorted(found, key=lambda pair: (-pair.correlation, pair.first, pair.second))


def near_copies(first: DataSet, second: DataSet) -> list[Pair]:
    """Pairs of an image of ``first`` and one of ``second``, the most alike first. Unreadable images are passed over."""
    prints = [_prints(data, data.samples) for data in (first, second)]
    found = [
        Pair(first.samples[i].id, second.samples[j].id, ("first", "second"), round(correlation, 4))
        for i, j, correlation in _matches(*prints[0], *prints[1])
    ]
    return sorted(found, key=lambda pair: (-pair.correlation, pair.first, pair.second))


def _prints(data: DataSet, samples: Sequence[Sample]) -> tuple[Floats, Floats]:
    """Hash bits as ±1 ``[n,63]``, and details of length 1 ``[n,1024]`` (zero: unreadable or blank)."""
    local = threading.local()
    steps = (Resize(_SIDE, "squash"),)

    def one(sample: Sample) -> Floats:
        if not hasattr(local, "preprocess"):
            files = not isinstance(data, ArrayDataSet)
            local.preprocess = Preprocess((Orient(), Window(128, 256), *steps) if files else (*steps, Grey()))
        try:
            return data.tensor(sample, local.preprocess)[..., 1].astype(np.float32)
        except ImageError:
            return np.zeros((_SIDE, _SIDE), np.float32)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pictures = list(pool.map(one, samples))
    frequencies = np.stack([cv2.dct(picture)[:8, :8].ravel()[1:] for picture in pictures])
    bits = np.where(frequencies > np.median(frequencies, axis=1, keepdims=True), 1, -1).astype(np.float32)
    details = np.stack([cv2.Laplacian(picture, cv2.CV_32F, ksize=3).ravel() for picture in pictures])
    details -= details.mean(axis=1, keepdims=True)
    length = np.linalg.norm(details, axis=1, keepdims=True)
    return bits, np.asarray(details / np.where(length > 1e-3, length, np.inf), np.float32)


def _matches(bits: Floats, details: Floats, other_bits: Floats, other_details: Floats) -> list[tuple[int, int, float]]:
    """Index pairs whose hashes and details agree. The product of two rows of ±1 counts the bits that agree."""
    least = bits.shape[1] - 2 * MAX_DISTANCE
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(bits), _ROWS):
        rows, columns = np.nonzero(bits[start : start + _ROWS] @ other_bits.T >= least)
        for at in range(0, len(rows), _ROWS):
            i, j = rows[at : at + _ROWS] + start, columns[at : at + _ROWS]
            alike = np.einsum("ij,ij->i", details[i], other_details[j])
            found += [(int(i[k]), int(j[k]), float(alike[k])) for k in np.flatnonzero(alike >= MIN_CORRELATION)]
    return found
