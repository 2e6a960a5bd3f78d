"""What every form of data becomes: samples with a label, and perhaps a group, a site and a split of their own."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.errors import ImageError
from runtime.fields import nearest
from runtime.preprocess import Preprocess
from train.config import DataConfig
from train.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
PARTS = ("train", "val", "test")
_SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

Image = npt.NDArray[np.uint8]


def part_named(word: str) -> str | None:
    """``Validation`` → ``val``; None for a word that names no part."""
    return _SPLIT_WORDS.get(word.strip().lower())


@dataclass(frozen=True)
class Sample:
    """``id``: path relative to the data's root, or ``train/00017`` for arrays. ``label``: index into the classes."""

    id: str
    label: int
    group: str | None = None
    site: str | None = None
    split: str | None = None


class DataSet(ABC):
    """Samples of known classes, in a fixed order. ``name`` is the path's last part and no more: it travels."""

    def __init__(self, name: str, classes: tuple[str, ...], samples: tuple[Sample, ...]) -> None:
        self.name = name
        self.classes = classes
        self.samples = samples
        self._check()

    def _check(self) -> None:
        if not self.samples:
            raise DataError(f"{self.name}: there are no images in it", "see docs/training.md for the forms of data")
        present = {sample.label for sample in self.samples}
        if len(present) < 2:
            only = ", ".join(self.classes[label] for label in present)
            raise DataError(
                f"{self.name}: all {len(self.samples)} images have one class ({only}): nothing to learn",
                "add images of the other class, or check the label column",
            )

    @abstractmethod
    def read(self, sample: Sample) -> bytes | Image:
        """The file's bytes, or uint8 pixels ``[H,W]`` or ``[H,W,3]`` (RGB). Raises ImageError if it cannot be read."""

    def tensor(self, sample: Sample, preprocess: Preprocess) -> Image:
        """The device's tensor uint8 ``[size,size,3]`` RGB of one sample. Raises ImageError."""
        content = self.read(sample)
        if isinstance(content, bytes):
            return preprocess.from_bytes(content, sample.id)
        # Grey arrays become RGB first: that is what a grey PNG of the same picture becomes on the device.
        return preprocess(np.repeat(content[..., None], 3, axis=2) if content.ndim == 2 else content)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over every sample's id, class, group, site, own split and content."""
        digest = hashlib.sha256()
        for sample in sorted(self.samples, key=lambda s: s.id):
            content = self.read(sample)
            what = [sample.id, self.classes[sample.label], sample.group, sample.site, sample.split]
            if not isinstance(content, bytes):
                what.append(str(content.shape))
                content = content.tobytes()
            digest.update(json.dumps(what).encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()

    @property
    def grouped(self) -> bool:
        """Does the data say which samples belong together?"""
        return any(sample.group is not None for sample in self.samples)


class FileDataSet(DataSet):
    """Samples whose ids are paths below ``root``."""

    def __init__(self, root: Path, classes: tuple[str, ...], samples: tuple[Sample, ...]) -> None:
        self.root = root
        super().__init__(root.resolve().name, classes, samples)

    def read(self, sample: Sample) -> bytes:
        try:
            return (self.root / sample.id).read_bytes()
        except OSError as error:
            raise ImageError(f"{sample.id}: {error.strerror or error}", "check the disk and the permissions") from error


class ArrayDataSet(DataSet):
    """Samples whose pixels are at hand: ``part/index`` → uint8 ``[H,W]`` or ``[H,W,3]``."""

    def __init__(
        self, name: str, classes: tuple[str, ...], samples: tuple[Sample, ...], images: Mapping[str, Image]
    ) -> None:
        self._images = images
        super().__init__(name, classes, samples)

    def read(self, sample: Sample) -> Image:
        return self._images[sample.id]


def class_order(found: Iterable[str], config: DataConfig) -> tuple[str, ...]:
    """The classes in the order of the logits: as the recipe says, else sorted (numbers by value)."""
    classes = config.classes or tuple(dict.fromkeys(config.labels.values()))
    if classes:
        return classes
    return tuple(sorted(set(found), key=_natural))


def _natural(word: str) -> tuple[int, float, str]:
    try:
        return (0, float(word), word)
    except ValueError:
        return (1, 0.0, word)


def indexed(labels: Mapping[str, str], config: DataConfig, name: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """Sample id → label as written becomes the classes, and sample id → index.

    Raises DataError for labels that the recipe's ``classes`` or ``labels`` do not know, all of them at once.
    """
    named = {sample: config.labels.get(label, label) for sample, label in labels.items()}
    classes = class_order(named.values(), config)
    unknown = sorted(set(named.values()) - set(classes))
    if unknown:
        example = next(sample for sample, label in named.items() if label == unknown[0])
        raise DataError(
            f"{name}: unknown labels {', '.join(map(repr, unknown))} (for example {example})",
            nearest(unknown[0], classes),
        )
    return classes, {sample: classes.index(label) for sample, label in named.items()}


def shares(samples: Iterable[Sample], attribute: str) -> dict[Any, int]:
    """How many samples have each value of ``label``, ``group``, ``site`` or ``split``."""
    counts: dict[Any, int] = {}
    for sample in samples:
        value = getattr(sample, attribute)
        counts[value] = counts.get(value, 0) + 1
    return counts
