"""A folder per class, with or without train/val/test folders (or folders of patients) above."""

from __future__ import annotations

import os
from pathlib import Path

from fieldlens.runtime.sources.walk import walk
from fieldlens.runtime.tables.cells import said
from fieldlens.train.config import DataConfig
from fieldlens.train.data.forms.layout import class_folders, tree_of
from fieldlens.train.data.forms.recipe_table import tables_in
from fieldlens.train.data.labels import Found, LabelReader
from fieldlens.train.errors import DataError, Problem


def read_folders(root: Path, config: DataConfig) -> LabelReader:
    """``root/CLASS/…/image``, ``root/{train,val,test}/CLASS/…/image`` or ``root/CLASS/{train,val,test}/image``.

    Where the recipe names the labels, the first folder of a path that is one of them is the class, so that folders of
    patients or sites may lie above. Raises DataError: no folder per class, or folders that can be read in two ways.
    """
    if config.task == "multilabel":
        raise DataError(f"{root.name}: folders give an image one class", "multi-label data needs a table")
    found = walk(root)
    images, folders = found.relative(), [os.path.relpath(folder, root) for folder in found.folders]
    if masks := config.mask_folder.strip("/"):
        images = [path for path in images if not path.startswith(f"{masks}/")]
        folders = [path for path in folders if path != masks and not path.startswith(f"{masks}/")]
    tree = tree_of(images, folders)
    if not tree.folders:
        others = tables_in(root)
        hint = f"it has {', '.join(others[:3])}: --set data.table={others[0]!r}" if others else _FORMS
        raise DataError(f"{root}: neither {config.table} nor a folder per class is in it", hint)
    known = frozenset(map(said, (*config.labels, *config.classes)))
    reading = LabelReader(notes=found.notes(), problems=[_closed(error) for error in found.failed])
    for one in class_folders(root.name, tree, known, reading.notes):
        if not one.tree.count:
            reading.problems.append(Problem(f"no images in {one.path}", "remove the empty folders, or fill them"))
        last = one.path.rpartition("/")[2]
        for path in one.tree.below():
            above = (last, *path.split("/")[:-1])
            word = next((name for name in above if said(name) in known), one.word)
            reading.found[f"{one.path}/{path}"] = Found((word,), split=one.part)
    if tree.images:
        text = f"{len(tree.images)} images lie in no class folder (for example {tree.images[0]}): left out"
        reading.notes.append(text)
    if others := tables_in(root):
        text = f"{', '.join(others[:3])} beside the folders: not read, because data.table is {config.table}"
        reading.notes.append(text)
    return reading


_FORMS = "see docs/training.md for the forms of data"


def _closed(error: OSError) -> Problem:
    return Problem(f"{error.filename}: cannot be looked into ({error.strerror})", f"check: ls -ld '{error.filename}'")
