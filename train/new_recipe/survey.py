"""What somebody's images are: classes, groups, sizes, colour, bits. Looked at, not asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.imageheader import read_header
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize, Window
from fieldlens.runtime.tables.csv_rows import read_csv
from fieldlens.train.config import DataConfig
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import ArrayDataSet, DataSet, Sample
from fieldlens.train.errors import DataError
from fieldlens.train.new_recipe.columns import columns_of

_LOOKED_AT = 120
"""Images that are decoded, spread over the set."""
_COLOUR_LEVELS = 4.0
"""Mean difference of the channels, in levels of 255, from which an image is in colour."""
_SMALL = 64
_LEAST_GROUPS = 6
_FOLDER = r"^(?:[^/]+/)*[^/]+/([^/]+)/[^/]+$"
_PREFIX = r"([^/]*\d[^/]*)[_-][^/_-]+\.\w+$"


@dataclass(frozen=True)
class Look:
    """One image: sides in pixels as stored, bits a channel, colour or grey, and the grey values of 16 bits."""

    width: int
    height: int
    bits: int
    colour: bool
    low: float
    high: float


@dataclass(frozen=True)
class Survey:
    """A data set and how to read it. ``looks``: at some of its images; ``unreadable``: of those, with the reason."""

    data: DataSet
    config: DataConfig
    form: str
    looks: tuple[Look, ...]
    unreadable: tuple[str, ...]

    @property
    def groups(self) -> int:
        """How many patients, subjects or lesions; 0 where nothing says."""
        return len({sample.group for sample in self.data.samples if sample.group is not None})

    @property
    def sites(self) -> list[str]:
        """Names of clinics or cameras."""
        return sorted({sample.site for sample in self.data.samples if sample.site})

    @property
    def sides(self) -> list[int]:
        """The shorter sides, sorted."""
        return sorted(min(look.width, look.height) for look in self.looks)

    @property
    def colour(self) -> bool:
        """Is any image that was looked at in colour?"""
        return any(look.colour for look in self.looks)

    @property
    def deep(self) -> list[Look]:
        """The images of more than 8 bits."""
        return [look for look in self.looks if look.bits > 8]


def survey(path: Path, positive: Sequence[str]) -> Survey:
    """Read the data as it comes and look at its images. Raises DataError for what cannot be read so."""
    if not path.exists():
        raise DataError(f"there is no data at {path}", "give the folder, the table or the .npz with your images")
    settings, form = _form(path, positive)
    config = DataConfig(**settings)
    data = load_data(path, config)
    if not isinstance(data, ArrayDataSet) and not data.grouped and (pattern := _pattern(data.samples)):
        config = replace(config, group_pattern=pattern)
        data = load_data(path, config)
    looks, unreadable = _looks(data)
    if not looks:
        raise DataError(f"{data.name}: none of its images can be read", "; ".join(unreadable[:3]))
    return Survey(data, config, form, looks, unreadable)


def _form(path: Path, positive: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Settings of ``[data]``, and the form in words."""
    if path.is_file() and path.suffix.lower() == ".npz":
        return _npz(path), "an .npz"
    if path.is_file():
        return columns_of(read_csv(path), path.parent, positive), f"the table {path.name}"
    tables = sorted(each for each in path.iterdir() if each.suffix.lower() in (".csv", ".tsv") and each.is_file())
    own = [each for each in tables if each.name == DataConfig().table]
    if len(tables) == 1 or own:
        table = (own or tables)[0]
        settings = columns_of(read_csv(table), path, positive)
        return settings | ({} if own else {"table": table.name}), f"the table {table.name}"
    if tables:
        names = ", ".join(each.name for each in tables)
        raise DataError(
            f"{path}: which of its tables has the classes? ({names})", "give that table instead of the folder"
        )
    return {}, "a folder per class"


def _npz(path: Path) -> dict[str, Any]:
    """Several findings an image where the labels are ``[n,L]`` with L > 1."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            shape: tuple[int, ...] = file["train_labels"].shape if "train_labels" in file.files else ()
    except (OSError, ValueError, EOFError, KeyError):
        return {}  # reading it says what is wrong
    return {"task": "multilabel"} if len(shape) == 2 and shape[1] > 1 else {}


def _pattern(samples: Sequence[Sample]) -> str:
    """Where a path names the patient: a folder below the class, or what stands before the last _ of a name."""
    for pattern in (_FOLDER, _PREFIX):
        found = [re.search(pattern, sample.id) for sample in samples]
        groups = Counter(match.group(1) for match in found if match)
        # A name before the number (img_001) gives one group, a number of one's own (P1_a) as many as images.
        if all(found) and _LEAST_GROUPS <= len(groups) < len(samples):
            classes: dict[str, set[str]] = {}
            for match, sample in zip(found, samples, strict=True):
                if match:
                    classes.setdefault(str(sample.label), set()).add(match.group(1))
            if all(len(names) > 2 for names in classes.values()):
                return pattern
    return ""


def _looks(data: DataSet) -> tuple[tuple[Look, ...], tuple[str, ...]]:
    chosen = data.samples[:: max(1, len(data.samples) // _LOOKED_AT)]

    def one(sample: Sample) -> Look | str:
        try:
            return look_at(data, sample)
        except ImageError as error:
            return error.message

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(one, chosen))
    good = tuple(each for each in found if isinstance(each, Look))
    return good, tuple(each for each in found if isinstance(each, str))


def look_at(data: DataSet, sample: Sample) -> Look:
    """One image. Raises ImageError."""
    content = data.read(sample)
    if not isinstance(content, bytes):
        height, width = content.shape[:2]
        return Look(width, height, 8, content.ndim == 3 and _in_colour(content), 0.0, 255.0)
    header = read_header(content, sample.id)
    low, high, colour = 0.0, 255.0, False
    if header.bits > 8:
        decoder = Preprocess((Orient(), Window(32768, 65535), Resize(_SMALL)))
        low, high = np.percentile(decoder.decode(content, sample.id).pixels, (0.5, 99.5)).tolist()
    else:
        colour = _in_colour(Preprocess((Orient(), Resize(_SMALL, "squash"))).from_bytes(content, sample.id))
    width, height = (header.width, header.height) if header.orientation < 5 else (header.height, header.width)
    return Look(width, height, header.bits, colour, float(low), float(high))


def _in_colour(pixels: Any) -> bool:
    channels = np.asarray(pixels, np.int16)
    return bool((channels.max(axis=2) - channels.min(axis=2)).mean() > _COLOUR_LEVELS)
