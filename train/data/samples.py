"""What every form of data becomes: samples with a label, and perhaps a group, a site and a split of their own."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.files.private_names import PrivateNames
from fieldlens.runtime.pixels.formats.dicom.address import is_dicom, lacks_header
from fieldlens.runtime.pixels.preprocess import Preprocess

PARTS = ("train", "val", "test")

Image = npt.NDArray[np.uint8]
Label = int | tuple[int, ...]
"""Index into the classes; or, where an image may have several findings, 0 or 1 for each class."""


@dataclass(frozen=True)
class Sample:
    """``id``: path relative to the data's root, or ``train/00017`` for arrays. ``subgroups``: (column, value)."""

    id: str
    label: Label
    group: str | None = None
    site: str | None = None
    split: str | None = None
    subgroups: tuple[tuple[str, str], ...] = ()


def label_name(label: Label, classes: Sequence[str]) -> str:
    """``pneumonia``; of several findings ``effusion|mass``, and the empty word for none."""
    if isinstance(label, tuple):
        return "|".join(name for name, mark in zip(classes, label, strict=True) if mark)
    return classes[label]


def marks(samples: Sequence[Sample], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """0 or 1 for each sample and class, ``[n,C]``: one-hot, or the findings."""
    table = np.zeros((len(samples), len(classes)), np.int64)
    for row, sample in zip(table, samples, strict=True):
        if isinstance(sample.label, tuple):
            row[:] = sample.label
        else:
            row[sample.label] = 1
    return table


def class_counts(samples: Sequence[Sample], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """How many samples have each class, or each finding: ``[C]``."""
    return np.asarray(marks(samples, classes).sum(axis=0), np.int64)


class DataSet(ABC):
    """Samples of known classes, in a fixed order. ``name`` is the path's last part and no more: it travels.

    ``notes``: what was odd and is no error. ``skipped``: images left out by ``data.skip_bad``, with the reason.
    ``private``: what made the ids and groups of DICOM files; None without any.
    """

    def __init__(self, name: str, classes: tuple[str, ...], samples: tuple[Sample, ...]) -> None:
        self.name = name
        self.classes = classes
        self.samples = samples
        self.notes: tuple[str, ...] = ()
        self.skipped: tuple[str, ...] = ()
        self.private: PrivateNames | None = None

    @abstractmethod
    def read(self, sample: Sample) -> bytes | Image:
        """The file's bytes, or uint8 pixels ``[H,W]`` or ``[H,W,3]`` (RGB). Raises ImageError if it cannot be read."""

    def tensor(self, sample: Sample, preprocess: Preprocess) -> Image:
        """The device's tensor uint8 ``[size,size,3]`` RGB of one sample. Raises ImageError."""
        content = self.read(sample)
        if isinstance(content, bytes):
            return preprocess.from_bytes(content, sample.id)
        # Grey arrays become RGB first: that is what a grey PNG of the same image becomes on the device.
        return preprocess(np.repeat(content[..., None], 3, axis=2) if content.ndim == 2 else content)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over every sample's id, class, group, site, own split and content."""
        digest = hashlib.sha256()
        for sample in sorted(self.samples, key=lambda s: s.id):
            content = self.read(sample)
            what = [sample.id, label_name(sample.label, self.classes), sample.group, sample.site, sample.split]
            if sample.subgroups:
                what.append(json.dumps(sample.subgroups))
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
    """Samples whose ids are paths below ``root``; ``files``: the paths of those whose ids are not (DICOM)."""

    def __init__(
        self, root: Path, classes: tuple[str, ...], samples: tuple[Sample, ...], files: Mapping[str, str] | None = None
    ) -> None:
        self.root = root
        self._files = files or {}
        super().__init__(root.resolve().name, classes, samples)

    def read(self, sample: Sample) -> bytes:
        try:
            data = (self.root / self._files.get(sample.id, sample.id)).read_bytes()
        except OSError as error:
            raise ImageError(f"{sample.id}: {error.strerror or error}", "check the disk and the permissions") from error
        if (is_dicom(data) or lacks_header(data)) and sample.id not in self._files:  # its name stays unsaid
            kind = Path(sample.id).suffix
            raise ImageError(f"a DICOM file by the name of another format ({kind})", "rename such files to end in .dcm")
        return data


class ArrayDataSet(DataSet):
    """Samples whose pixels are at hand: ``part/index`` → uint8 ``[H,W]`` or ``[H,W,3]``."""

    def __init__(
        self, name: str, classes: tuple[str, ...], samples: tuple[Sample, ...], images: Mapping[str, Image]
    ) -> None:
        self._images = images
        super().__init__(name, classes, samples)

    def read(self, sample: Sample) -> Image:
        return self._images[sample.id]
