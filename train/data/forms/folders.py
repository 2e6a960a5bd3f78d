"""A folder per class, with or without train/val/test folders (or folders of patients) above."""

from __future__ import annotations

from pathlib import Path

from fieldlens.train.config import DataConfig
from fieldlens.train.data.forms.image_index import is_image
from fieldlens.train.data.labels import Found, LabelReader
from fieldlens.train.data.samples import part_named
from fieldlens.train.errors import DataError, Problem


def read_folders(root: Path, config: DataConfig) -> LabelReader:
    """``root/CLASS/…/image`` or ``root/{train,val,test}/CLASS/…/image``.

    Where the recipe names the labels, the first folder of a path that is one of them is the class, so that folders of
    patients or sites may lie above. Raises DataError: no folder per class.
    """
    if config.task == "multilabel":
        raise DataError(f"{root.name}: folders give an image one class", "multi-label data needs a table")
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
    known = {*config.labels, *config.classes}
    reading = LabelReader()
    for folder, part in by_class:
        images = [path for path in sorted(folder.rglob("*")) if is_image(path.name) and path.is_file()]
        if not images:
            reported = f"no images in {folder.relative_to(root).as_posix()}"
            reading.problems.append(Problem(reported, "remove the empty folders, or fill them"))
        for path in images:
            above = path.relative_to(folder.parent).parts[:-1]
            word = next((name for name in above if name in known), folder.name)
            reading.found[path.relative_to(root).as_posix()] = Found((word,), split=part)
    loose = [path.name for path in sorted(root.glob("*")) if is_image(path.name)]
    if loose:
        reading.notes.append(f"{len(loose)} images lie in no class folder (for example {loose[0]}): left out")
    return reading


def _subfolders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
