"""The golden images: 64 images with the reference's answers, by which a device tests itself.

Pixels are decoded and encoded again, so that no name, place, date or camera of the original travels; file names are
numbers. What a device must reproduce is the answer for *these* files, so the reference is computed from them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.convert import synthetic
from fieldlens.convert.measure.answer import BATCH, logits_of
from fieldlens.runtime.backends.base import Backend
from fieldlens.runtime.bundle.decision import Decision, Outcome, calibrated, logit
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.errors import ImageError, KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.pixels.preprocess import Pixels, Preprocess
from fieldlens.runtime.sources.dicom_peek import name_for_messages
from fieldlens.runtime.sources.walk import image_files
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.data.samples import DataSet, Sample, label_name

COUNT = 64
MIN_COUNT = 8
CANDIDATES = 256
SYNTHETIC = 128
LONGEST_SIDE = 1024
_PNG_UP_TO = 128
_QUALITY = 92


@dataclass(frozen=True)
class GoldenCandidate:
    """An image that may become golden. ``name`` is for error messages and does not travel; ``load`` gives a file's
    bytes or its pixels; ``stratum`` is class and site."""

    name: str
    load: Callable[[], bytes | Pixels]
    stratum: tuple[str, ...] = ()


@dataclass(frozen=True)
class GoldenLane:
    """A loaded precision, and how far its logits may be from the reference's."""

    backend: Backend
    allowed: float


@dataclass(frozen=True, eq=False)
class _Scored:
    """One candidate after the reference has seen it."""

    stratum: tuple[str, ...]
    suffix: str
    data: bytes
    tensor: npt.NDArray[np.uint8]
    outputs: tuple[npt.NDArray[np.float32], ...]
    score: float
    margin: float


def from_data(data: DataSet, samples: Sequence[Sample]) -> list[GoldenCandidate]:
    """Candidates from labelled samples, classes and sites taking turns."""
    strata: dict[tuple[str, ...], list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: hashlib.sha256(sample.id.encode()).digest()):
        strata.setdefault((label_name(sample.label, data.classes), sample.site or ""), []).append(sample)
    return [
        GoldenCandidate(sample.id, partial(data.read, sample), key) for key, sample in _in_turns(strata, CANDIDATES)
    ]


def from_folder(folder: Path) -> list[GoldenCandidate]:
    """Candidates from a folder of image files, sub-folders included. Raises KitError: too few of them."""
    files = files_for_golden(folder)[:CANDIDATES]
    return [GoldenCandidate(name_for_messages(path, n), path.read_bytes) for n, path in enumerate(files, 1)]


def files_for_golden(folder: Path) -> list[Path]:
    """The image files of ``folder`` and its sub-folders. Raises KitError: too few for golden images."""
    paths = sorted(image_files(folder))
    if len(paths) < MIN_COUNT:
        raise KitError(
            f"{folder} holds {len(paths)} image files; golden images need at least {MIN_COUNT}",
            f"put {COUNT} images into it, or leave --images out for synthetic ones",
        )
    return paths


def from_statistics(tensors: Sequence[npt.NDArray[np.uint8]], reporter: Reporter = SILENT) -> list[GoldenCandidate]:
    """Synthetic candidates of nobody, from what 32 or more training images have in common."""
    with reporter.step("draw", f"{SYNTHETIC} images of nobody, to choose golden images from"):
        return [GoldenCandidate("synthetic", partial(np.copy, made)) for made in synthetic.pictures(tensors, SYNTHETIC)]


def from_nothing(size: int, reporter: Reporter = SILENT) -> list[GoldenCandidate]:
    """Synthetic candidates that know no image at all, for a network of ``size`` pixels a side."""
    with reporter.step("draw", f"{SYNTHETIC} images of noise, to choose golden images from"):
        made = synthetic.natural(SYNTHETIC, 2 * size)
        return [GoldenCandidate("synthetic", partial(np.copy, one)) for one in made]


def write(folder: Path, candidates: Sequence[GoldenCandidate], manifest: Manifest, lanes: Sequence[GoldenLane]) -> int:
    """Choose golden images and write ``golden/`` into ``folder``; returns how many.

    ``lanes``: the reference, then every other precision, those first that are quick or refuse most. Images on which a
    precision differs from the reference by more than half of its tolerance already here are left out: they would test
    the calibration, which validation does better, and not the device. The rest is spread over classes, sites and
    scores. Preferred are those whose score lies further from the decision's border than the tolerances let it move:
    then a flipped decision on a device means a fault, and not rounding. Raises ImageError for an image that cannot be
    read, KitError for too few images.
    """
    # A difference of two logits moves by at most twice what one may, and the temperature divides it.
    border_logits = 2.0 * max(lane.allowed for lane in lanes) / manifest.temperature
    preprocess = Preprocess(manifest.preprocess)
    chosen = _chosen([_score(item, manifest, preprocess, lanes[0]) for item in candidates], lanes, border_logits)
    if len(chosen) < MIN_COUNT:
        raise KitError(
            f"only {len(chosen)} of {len(candidates)} images are enough like the training's for golden images: on "
            "the others INT8 leaves its calibrated range, on any machine",
            "give images like the training's with --images, or leave it out",
        )
    entries = []
    (folder / "golden").mkdir()
    for index, item in enumerate(chosen):
        name = f"golden/{index:03d}{item.suffix}"
        (folder / name).write_bytes(item.data)
        entries.append({"file": name, "sha256": hashlib.sha256(item.tensor.tobytes()).hexdigest()})
    atomic.write_json(folder / "golden" / "golden.json", {"format": 1, "images": entries}, atomic.PUBLIC)
    arrays = io.BytesIO()
    logits, cam, features = (np.stack(rows) for rows in zip(*(item.outputs for item in chosen), strict=True))
    np.savez(arrays, logits=logits, cam=cam, features=features)
    (folder / "golden" / "golden.npz").write_bytes(arrays.getvalue())
    return len(chosen)


def _score(candidate: GoldenCandidate, manifest: Manifest, preprocess: Preprocess, reference: GoldenLane) -> _Scored:
    """Encode again, preprocess what was encoded, and ask the reference."""
    content = candidate.load()
    pixels = preprocess.decode(content, candidate.name).pixels if isinstance(content, bytes) else content
    suffix, data = encode(pixels)
    tensor = preprocess.empty()
    preprocess.from_bytes(data, candidate.name, tensor[0])
    outputs = tuple(np.array(value[0]) for value in reference.backend.infer(tensor))
    probabilities = calibrated(outputs[0], manifest.temperature, manifest.task)
    score, margin = float(probabilities.max()), float("inf")
    if manifest.decision is not None:
        score = float(manifest.decision.score(probabilities, manifest.class_ids))
        margin = _room_to_flip(score, manifest.decision)
    return _Scored(candidate.stratum, suffix, data, tensor[0], outputs, score, margin)


def _chosen(scored: Sequence[_Scored], lanes: Sequence[GoldenLane], border_logits: float) -> list[_Scored]:
    """COUNT images that every precision answers faithfully, spread, by class and site and then by score. Emulations
    take long, so they are asked only of what would be chosen, and then of what would fill the gaps."""
    left, chosen = list(scored), list[_Scored]()
    while asked := _spread(left, COUNT - len(chosen), border_logits):
        chosen += _faithful(asked, lanes)
        left = [item for item in left if item not in asked]
    return sorted(chosen, key=lambda item: (item.stratum, item.score))


def _faithful(scored: Sequence[_Scored], lanes: Sequence[GoldenLane]) -> Sequence[_Scored]:
    """Those that every precision answers within half of its tolerance; the next is asked of what the last has left."""
    left = scored
    for lane in lanes[1:]:
        batches = [left[start : start + BATCH] for start in range(0, len(left), BATCH)]
        left = [item for batch in batches for item in _near(batch, lane)]
    return left


def _near(batch: Sequence[_Scored], lane: GoldenLane) -> list[_Scored]:
    images = np.stack([item.tensor for item in batch])
    reference = np.stack([item.outputs[0] for item in batch])
    moved = np.abs(logits_of(lane.backend, images) - reference).max(axis=1)
    return [item for item, distance in zip(batch, moved, strict=True) if distance <= 0.5 * lane.allowed]


def _room_to_flip(score: float, decision: Decision) -> float:
    """How far the score's logit may move before refer becomes no-sign-found or the other way round.

    From inside the band that is not possible in one image's answer: ``uncertain`` is neither.
    """
    outcome = decision.outcome(score)
    if outcome is Outcome.UNCERTAIN:
        return float("inf")
    low, high = min(decision.band[0], decision.threshold), max(decision.band[1], decision.threshold)
    far = low if outcome is Outcome.REFER else high
    return abs(float(logit(score) - logit(far)))


def _spread(scored: Sequence[_Scored], count: int, border_logits: float) -> list[_Scored]:
    """``count`` of them: far enough from the border first, classes and sites in turns, scores evenly within each."""
    clear = [item for item in scored if item.margin > border_logits]
    if len(clear) < count:
        clear = sorted(scored, key=lambda item: -item.margin)[:count]
    strata: dict[tuple[str, ...], list[_Scored]] = {}
    for item in sorted(clear, key=lambda item: item.score):
        strata.setdefault(item.stratum, []).append(item)
    quota = dict.fromkeys(strata, 0)
    for key, _ in _in_turns(strata, count):
        quota[key] += 1
    return [
        strata[key][round(place)]
        for key in sorted(strata)
        for place in np.linspace(0, len(strata[key]) - 1, quota[key])
    ]


def _in_turns(strata: dict[tuple[str, ...], list[Any]], count: int) -> Iterator[tuple[tuple[str, ...], Any]]:
    """At most ``count`` items, one of each stratum in turn until each runs out."""
    longest = max((len(items) for items in strata.values()), default=0)
    turns = ((key, strata[key][turn]) for turn in range(longest) for key in sorted(strata) if turn < len(strata[key]))
    for _, item in zip(range(count), turns, strict=False):
        yield item


def encode(pixels: Pixels) -> tuple[str, bytes]:
    """Pixels (RGB or grey) → suffix and bytes of a file that says nothing but its pixels.

    PNG where the image is small or has 16 bits: nothing is lost. Else JPEG, without chroma subsampling. Raises
    ImageError: DICOM in its own units.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        raise ImageError(
            "a DICOM image in its own units cannot become a golden image: no image file holds such values",
            "leave out --share-images and --images; golden images are synthetic then",
        )
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST_SIDE:
        scale = LONGEST_SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if max(pixels.shape[:2]) <= _PNG_UP_TO or pixels.dtype != np.uint8:
        bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
        done, data = cv2.imencode(".png", bgr)
        if not done:
            raise ImageError("a golden image could not be encoded as PNG", "give images with 8 or 16 bits")
        return ".png", data.tobytes()
    grey = pixels.ndim == 2
    return ".jpg", simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels[..., None] if grey else pixels),
        quality=_QUALITY,
        colorspace="GRAY" if grey else "RGB",
        colorsubsampling="Gray" if grey else "444",
    )
