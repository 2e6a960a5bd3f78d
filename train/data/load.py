"""One door to the three forms of data: a CSV table, a folder per class, a MedMNIST-style ``.npz``."""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.files.private_names import PrivateNames, kept_in, of_run
from fieldlens.runtime.machine.host import own_state_folder
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize, Window
from fieldlens.runtime.tables.private_texts import PrivateTexts
from fieldlens.train.config import DataConfig
from fieldlens.train.data.forms.arrays import read_npz
from fieldlens.train.data.forms.dicom import take_dicom
from fieldlens.train.data.forms.folders import read_folders
from fieldlens.train.data.forms.recipe_table import TABLE_SUFFIXES, refuse_without_table
from fieldlens.train.data.forms.tables import read_table
from fieldlens.train.data.labels import LabelReader
from fieldlens.train.data.samples import ArrayDataSet, DataSet, FileDataSet, Sample
from fieldlens.train.data.splits import Split, split, split_problems
from fieldlens.train.errors import DataError, Problem, all_at_once

__all__ = ["DataSet", "Sample", "load_data", "load_split"]

_FORMS = "give a folder with labels.csv, a CSV, a folder with one folder per class, or an .npz"


def load_data(path: Path, config: DataConfig, run: Path | None = None) -> DataSet:
    """Read the samples of ``path`` (labels and names; pixels are read later, but for arrays).

    ``run``: the folder whose key hides the names of DICOM files; without one, the key of this machine's state folder.

    Raises DataError: nothing there, missing columns, and, all at once, everything else that is wrong with the data.
    """
    data, problems = _read(path, config, run)
    _refuse(path, run, data, problems, config)
    return data


def load_split(path: Path, config: DataConfig, run: Path | None = None) -> tuple[DataSet, Split]:
    """The data and its split, for training; ``run``: as for :func:`load_data`. Raises DataError as that does, and for
    what hinders a split."""
    data, problems = _read(path, config, run)
    problems += split_problems(data, config)
    _refuse(path, run, data, problems, config)
    return data, split(data, config)


def _refuse(path: Path, run: Path | None, data: DataSet, problems: Sequence[Problem], config: DataConfig) -> None:
    """Raises DataError where there are problems, with the images that cannot be read; it names no patient."""
    if problems:
        hidden = _hidden_in(path, run).problems(problems)
        raise all_at_once(data.name, [*hidden, *unreadable(data, data.samples, config.skip_bad)])


def _hidden_in(path: Path, run: Path | None) -> PrivateTexts:
    return PrivateTexts(path if path.is_dir() else path.parent, lambda: _private(run))


def _read(path: Path, config: DataConfig, run: Path | None) -> tuple[DataSet, list[Problem]]:
    """The data as far as it can be read, and what is wrong with it."""
    if not path.exists():
        raise DataError(f"there is no data at {path}", _FORMS)
    if path.is_file() and path.suffix.lower() == ".npz":
        reading, images = read_npz(path, config)
        data: DataSet = ArrayDataSet(path.name, *reading.samples(config), images)
    else:
        try:
            root, reading = _files(path, config)
        except DataError as error:
            raise _hidden_in(path, run).error(error) from None
        private = functools.cache(lambda: _private(run))
        files = take_dicom(root, reading, config, private)
        data = FileDataSet(root, *reading.samples(config), files)
        data.private = private() if files else None
        if odd := [sample.id for sample in data.samples if not _fits_into_a_table(sample.id)]:
            why, hint = "its name has a line break or is not UTF-8", "rename these files, and name them so in the table"
            raise all_at_once(data.name, [Problem(f"{printable(name)}: {why}", hint) for name in odd])
    if config.skip_bad:
        bad = dict(_bad(data, data.samples))
        data.skipped = tuple(bad.values())
        data.samples = tuple(sample for sample in data.samples if sample.id not in bad)
    data.notes = tuple(reading.notes)
    return data, reading.problems


def _private(run: Path | None) -> PrivateNames:
    """The run's key, where it has one, else this machine's."""
    return (of_run(run) if run else None) or kept_in(own_state_folder(None))


def _fits_into_a_table(name: str) -> bool:
    """Whether the name can be written into a run's tables and be read again."""
    return not re.search(r"[\r\n\ud800-\udfff]", name)


def _files(path: Path, config: DataConfig) -> tuple[Path, LabelReader]:
    """The root of the images' paths, and what is said of them."""
    if path.is_file():
        if path.suffix.lower() not in TABLE_SUFFIXES:
            raise DataError(f"{path.name} is not a form of data that the trainer reads", _FORMS)
        return path.parent, read_table(path, path.parent, config)
    table = path / config.table
    if table.is_file():
        return path, read_table(table, path, config)
    refuse_without_table(path, config)
    return path, read_folders(path, config)


def unreadable(data: DataSet, samples: Sequence[Sample], skipped: bool = False) -> list[Problem]:
    """Images that cannot be decoded; none where they were left out already."""
    if skipped:
        return []
    hint = "replace the unreadable files, or leave them out with --skip-bad"
    return [Problem(message, hint) for _, message in _bad(data, samples)]


def _bad(data: DataSet, samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """Sample id and reason of every image that cannot be decoded, whatever the recipe's preprocess."""
    if isinstance(data, ArrayDataSet):
        return []
    local = threading.local()

    def reason(sample: Sample) -> str | None:
        if not hasattr(local, "preprocess"):  # it reuses its buffers, so each thread has its own
            local.preprocess = Preprocess((Orient(), Window(128, 256), Resize(32, "squash")))
        try:
            data.tensor(sample, local.preprocess)
        except ImageError as error:
            return error.message
        return None

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = zip(samples, pool.map(reason, samples), strict=True)
        return [(sample.id, message) for sample, message in found if message is not None]
