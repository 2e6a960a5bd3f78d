"""Which training images INT8 is calibrated with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from convert.contract import ConversionError
from convert.quantize import MIN_IMAGES
from runtime.preprocess import Preprocess
from train.samples import DataSet, Sample


def choose(samples: Sequence[Sample], parts: Mapping[str, str], count: int) -> list[Sample]:
    """``count`` samples of the training part, spread over classes and sites; the same every time.

    Classes and sites take turns until each runs out: the range of an activation is set by the pictures that reach it,
    so a rare class or a lone clinic's camera must be among them. Within one, the order is by hash of the id.
    Raises ConversionError if fewer than 32 can be had.
    """
    strata: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        if parts[sample.id] == "train":
            strata.setdefault((sample.label, sample.site or ""), []).append(sample)
    queues = [sorted(strata[key], key=lambda sample: _shuffled(sample.id)) for key in sorted(strata)]
    longest = max((len(queue) for queue in queues), default=0)
    turns = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    if min(len(turns), count) < MIN_IMAGES:
        raise ConversionError(
            f"{min(len(turns), count)} training images to calibrate with; INT8 needs at least {MIN_IMAGES}",
            f"give more training data, or --calibration-images {MIN_IMAGES} or more",
        )
    return turns[:count]


def tensors(data: DataSet, chosen: Sequence[Sample], preprocess: Preprocess) -> list[npt.NDArray[np.uint8]]:
    """Through the device's own preprocess: uint8 ``[S,S,3]`` each. Raises ImageError."""
    return [data.tensor(sample, preprocess) for sample in chosen]


def ids_hash(chosen: Sequence[Sample]) -> str:
    """SHA-256 (hex) of the ids, for the bundle's provenance: which images, without their names."""
    return hashlib.sha256("\n".join(sample.id for sample in chosen).encode()).hexdigest()


def _shuffled(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
