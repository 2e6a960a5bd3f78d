"""Which training images INT8 is calibrated with, and whether they can be what they are said to be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.convert.graph.contract import ConversionError
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.train.data.samples import DataSet, Label, Sample

MIN_IMAGES = 32
_BLOCKS = 8
_LEAST_SHARE = 0.1


def choose(samples: Sequence[Sample], parts: Mapping[str, str], count: int) -> list[Sample]:
    """``count`` samples of the training part, spread over classes and sites; the same every time.

    Classes and sites take turns until each runs out: the range of an activation is set by the images that reach it,
    so a rare class or a lone clinic's camera must be among them. Within one, the order is by hash of the id.
    Fewer where there are fewer (:func:`too_few`). Raises ConversionError if ``count`` is below 32.
    """
    strata: dict[tuple[Label, str], list[Sample]] = {}
    for sample in samples:
        if parts[sample.id] == "train":
            strata.setdefault((sample.label, sample.site or ""), []).append(sample)
    queues = [sorted(strata[key], key=lambda sample: shuffled(sample.id)) for key in sorted(strata)]
    longest = max((len(queue) for queue in queues), default=0)
    turns = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    if count < MIN_IMAGES:
        raise ConversionError(
            f"--calibration-images {count}: INT8 needs at least {MIN_IMAGES}", f"give {MIN_IMAGES} or more"
        )
    return turns[:count]


def too_few(chosen: Sequence[Sample], tensors: Sequence[npt.NDArray[np.uint8]]) -> str:
    """Why these images, uint8 ``[S,S,3]``, are too few to calibrate INT8 with; empty if they are enough.

    Counted are groups: a range seen on a few people is theirs, however many images each of them has.
    """
    grouped = any(sample.group is not None for sample in chosen)
    people = len({f"#{sample.id}" if sample.group is None else f"={sample.group}" for sample in chosen})
    different = len({tensor.tobytes() for tensor in tensors})
    if min(people, different) >= MIN_IMAGES:
        return ""
    counted = f"{people} {'groups (patients)' if grouped else 'images'}"
    counted = counted if people <= different else f"{different} different images"
    return f"the training part has {counted} to calibrate with; INT8 needs at least {MIN_IMAGES}"


def tensors(data: DataSet, chosen: Sequence[Sample], preprocess: Preprocess) -> list[npt.NDArray[np.uint8]]:
    """Through the device's own preprocess: uint8 ``[S,S,3]`` each. Raises ImageError."""
    return [data.tensor(sample, preprocess) for sample in chosen]


def check_images(tensors: Sequence[npt.NDArray[np.uint8]]) -> None:
    """Raises ConversionError for preprocessed images uint8 ``[S,S,3]`` that give no useful ranges.

    Fewer than 32 different ones, or random numbers: a peer calibrated with those silently, and its users lost half of
    the accuracy. Noise shows from afar: averaged over an 8 × 8 grid nearly nothing of it is left, while
    images of things keep most of their variance.
    """
    different = len({tensor.tobytes() for tensor in tensors})
    if different < MIN_IMAGES:
        raise ConversionError(
            f"{different} different calibration images; INT8 needs at least {MIN_IMAGES}",
            f"give more training data, or --calibration-images {MIN_IMAGES} or more",
        )
    shares = [_coarse_share(tensor) for tensor in tensors]
    # White noise keeps 1/pixels of a block; twice that is still noise.
    least = max(_LEAST_SHARE, 2.0 * (_BLOCKS / tensors[0].shape[0]) ** 2)
    if float(np.median(shares)) < least:
        raise ConversionError(
            "the calibration images are noise or blank, not images: from afar nothing is left of them "
            f"(share of variance on an 8 × 8 grid: median {np.median(shares):.3f}, at least {least:.3f} is asked)",
            "calibrate with images like those the device will see",
        )


def _coarse_share(tensor: npt.NDArray[np.uint8]) -> float:
    """Share of an image's variance that is left on an 8 × 8 grid of means; 0 for one colour."""
    total = float(np.square(cv2.meanStdDev(tensor)[1]).sum())
    whole = tensor.astype(np.float32)
    coarse = np.asarray(cv2.resize(whole, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA))
    return float(coarse.var(axis=(0, 1)).sum()) / total if total > 0 else 0.0


def ids_hash(chosen: Sequence[Sample]) -> str:
    """SHA-256 (hex) of the ids, for the bundle's provenance: which images, without their names."""
    return hashlib.sha256("\n".join(sample.id for sample in chosen).encode()).hexdigest()


def shuffled(name: str) -> bytes:
    """A key that sorts names in an order without meaning, the same everywhere."""
    return hashlib.sha256(name.encode()).digest()
