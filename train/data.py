"""One door to the three forms of data: a CSV table, a folder per class, a MedMNIST-style ``.npz``."""

from __future__ import annotations

from pathlib import Path

from train.arrays import load_npz
from train.config import DataConfig
from train.errors import DataError
from train.folders import load_folders
from train.samples import DataSet, Sample
from train.tables import load_table

__all__ = ["DataSet", "Sample", "load_data"]

_FORMS = "give a folder with labels.csv, a CSV, a folder with one folder per class, or an .npz"


def load_data(path: Path, config: DataConfig) -> DataSet:
    """Read the samples of ``path`` (labels and names; pixels are read later, but for arrays).

    Raises DataError: nothing there, no images, a table whose columns or files are missing, only one class.
    """
    if not path.exists():
        raise DataError(f"there is no data at {path}", _FORMS)
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return load_npz(path, config)
        if path.suffix.lower() in (".csv", ".tsv"):
            return load_table(path, config)
        raise DataError(f"{path.name} is not a form of data that the trainer reads", _FORMS)
    if (path / config.table).is_file():
        return load_table(path / config.table, config)
    return load_folders(path, config)
