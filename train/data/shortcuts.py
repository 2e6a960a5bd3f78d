"""What tells the classes apart without looking at the finding: the form of the file, its compression, its light.

Where the images of one class come from another machine, another export or another year, a network learns that instead
of the finding, and validation images from the same files cannot show it (Zech et al., PLOS Medicine 2018; DeGrave et
al., Nature Machine Intelligence 2021; Geirhos et al., Nature Machine Intelligence 2020). Each measure alone is turned
into a score by the share of the class among training images of about the same value, learnt on other groups; the score
is judged by its AUC. No test image is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.train.data.cache import Tensors
from fieldlens.train.data.samples import DataSet, Image, Sample, marks
from fieldlens.train.metrics import MOST_CLASSES, binary_auc, score_auc_interval

FORM, LOOK = 0.7, 0.85
"""AUC from which a measure is reported, at the lower end of its 95% interval: of the file's form, which is never the
finding; and of what the image's content moves as well, so that it may be the finding."""
FEWEST = 20
"""Groups of a class and of the others: with fewer nothing is said."""
_BINS, _FOLDS, _ROUNDS = 16, 5, 200
_MOST = 5000
"""Images that are looked at, evenly taken."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """``measure`` alone tells ``name`` (a class) from the others with this ``auc``; ``low``: of its 95% interval."""

    measure: str
    name: str
    auc: float
    low: float


def shortcuts(data: DataSet, train: Tensors) -> list[Shortcut]:
    """Those of the training images, the plainest first; of each measure the class that it tells best."""
    chosen = slice(None, None, max(1, -(-len(train) // _MOST)))
    samples, images = train.samples[chosen], train.images[chosen]
    groups = [sample.id if sample.group is None else f"={sample.group}" for sample in samples]
    truth = marks(samples, data.classes).astype(bool)
    sides = [(len(set(_of(groups, side))), len(set(_of(groups, ~side)))) for side in truth.T]
    told = [column for column, counts in enumerate(sides) if min(counts) >= FEWEST]
    found = []
    for measure, values, least in _measures(data, samples, images) if 0 < len(told) <= MOST_CLASSES else ():
        scores = [(_score(values, truth[:, column], groups), column) for column in told]
        area, column, score = max((binary_auc(each, truth[:, column]), column, each) for each, column in scores)
        if area >= least:
            low = score_auc_interval(score, truth[:, column], groups, _ROUNDS).low
            found += [Shortcut(measure, data.classes[column], round(area, 3), round(low, 3))] if low >= least else []
    return sorted(found, key=lambda one: -one.auc)


def lines(found: Sequence[Shortcut]) -> list[str]:
    """One for each, for people."""
    return [f"{each.measure} tells {printable(each.name)} from the rest with AUC {each.auc:.2f}" for each in found]


def _of(groups: Sequence[str], side: npt.NDArray[np.bool_]) -> list[str]:
    return [group for group, here in zip(groups, side, strict=True) if here]


def _measures(data: DataSet, samples: Sequence[Sample], images: Image) -> Iterator[tuple[str, Floats, float]]:
    """Name, value of each image ``[n]``, and the AUC that is reported; not those that are the same for all."""
    forms = [_form(data, sample) for sample in samples]
    kinds = {name: float(code) for code, name in enumerate(sorted({form[0] for form in forms}))}
    yield from _varied("the kind of file", [kinds[form[0]] for form in forms], FORM)
    yield from _varied("width over height", [form[1] / form[2] for form in forms], FORM)
    yield from _varied("the number of pixels", [form[1] * form[2] for form in forms], FORM)
    yield from _varied("the file's bytes per pixel", [form[3] / (form[1] * form[2]) for form in forms], LOOK)
    looks = np.array([_look(each) for each in images])
    yield from _varied("brightness", looks[:, 0], LOOK)
    yield from _varied("sharpness", looks[:, 1], LOOK)


def _varied(name: str, values: npt.ArrayLike, least: float) -> Iterator[tuple[str, Floats, float]]:
    found = np.asarray(values, np.float64)
    if np.ptp(found) > 1e-9 * abs(found).max():
        yield name, found, least


def _form(data: DataSet, sample: Sample) -> tuple[str, int, int, int]:
    """Kind, width, height and bytes of an image as it is stored; of an array nothing tells but its sides."""
    content = data.read(sample)
    if not isinstance(content, bytes):
        return "array", content.shape[1], content.shape[0], 0
    header = read_header(content, sample.id)
    return header.format, header.width, header.height, len(content)


def _look(image: Image) -> tuple[float, float]:
    """Mean grey level, and the share of the detail finer than two pixels in all that varies, of ``[S,S,3]``."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (3, 3), 0)
    return float(grey.mean()), float(fine.std() / (grey.std() + 1))


def _score(values: Floats, positive: npt.NDArray[np.bool_], groups: Sequence[str]) -> Floats:
    """The share of the class among images of about the same value, of other groups: ``[n]`` → ``[n]``."""
    bins = np.searchsorted(np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS)), values)
    number = np.unique(groups, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(number.max() + 1)[number] % _FOLDS
    score = np.empty(len(values))
    for one in range(_FOLDS):
        here, others = fold == one, fold != one
        counts = np.bincount(bins[others], minlength=_BINS)
        sick = np.bincount(bins[others], positive[others], minlength=_BINS)
        score[here] = ((sick + positive[others].mean()) / (counts + 1))[bins[here]]
    return score
