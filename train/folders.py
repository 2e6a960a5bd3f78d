"""A folder per class, with or without train/val/test folders above."""

from __future__ import annotations

from pathlib import Path

from train.config import DataConfig
from train.errors import DataError
from train.samples import IMAGE_SUFFIXES, DataSet, FileDataSet, Sample, indexed, part_named


def load_folders(root: Path, config: DataConfig) -> DataSet:
    """``root/CLASS/…/image`` or ``root/{train,val,test}/CLASS/…/image``. Raises DataError."""
    folders = _subfolders(root)
    parts = {folder: part_named(folder.name) for folder in folders}
    if folders and all(parts.values()):
        by_class = [(inner, part) for folder, part in parts.items() for inner in _subfolders(folder)]
    else:
        by_class = [(folder, None) for folder in folders]
    if not by_class:
        raise DataError(
            f"{root}: neither {config.table} nor a folder per class is in it",
            "see docs/training.md for the forms of data",
        )
    labels: dict[str, str] = {}
    splits: dict[str, str | None] = {}
    empty: list[str] = []
    for folder, part in by_class:
        images = [path for path in sorted(folder.rglob("*")) if _is_image(path)]
        if not images:
            empty.append(folder.relative_to(root).as_posix())
        for path in images:
            sample = path.relative_to(root).as_posix()
            labels[sample], splits[sample] = folder.name, part
    if empty:
        raise DataError(f"{root}: no images in {', '.join(empty)}", "remove the empty folders, or fill them")
    classes, index = indexed(labels, config, root.name)
    samples = tuple(Sample(sample, index[sample], split=splits[sample]) for sample in labels)
    return FileDataSet(root, classes, samples)


def _subfolders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
