"""What the columns of somebody's table mean: by their names, and by what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fieldlens.runtime.tables.csv_rows import Table
from fieldlens.runtime.tables.image_index import ImageIndex
from fieldlens.train.config import DataConfig
from fieldlens.train.data.part_names import part_named
from fieldlens.train.errors import DataError

_IMAGE = ("image", "file", "filename", "file_name", "image_path", "path", "image_id", "image_name", "image_index", "id")
_LABEL = ("label", "class", "diagnosis", "dx", "target", "category", "finding", "findings", "finding_labels", "grade")
_GROUP = (
    "group", "patient", "patient_id", "patientid", "subject", "subject_id", "person", "person_id", "participant",
    "participant_id", "pid", "mrn", "case", "case_id", "lesion", "lesion_id",
)  # fmt: skip
_SITE = ("site", "site_id", "clinic", "hospital", "center", "centre", "facility")
_SPLIT = ("split", "set", "partition", "subset")
_SUBGROUPS = ("sex", "gender", "age_group", "ethnicity", "race", "skin_type", "device", "camera", "view", "laterality")
_MOST_VALUES = 40
"""Of a class or subgroup column: more are names or numbers of something."""
_LOOKED_AT = 50
_SEPARATOR = "|"


def columns_of(table: Table, root: Path, positive: Sequence[str]) -> dict[str, Any]:
    """Settings of ``[data]`` for this table. Raises DataError: no column names images, none can be the class."""
    image = _image(table, root)
    rest = [name for name in table.columns if name and name != image]
    found: dict[str, Any] = {"image_column": image}
    for key, names in (("group_column", _GROUP), ("site_column", _SITE)):
        column = _named(rest, names)
        if column:
            found[key] = column
            rest.remove(column)
    split = _named(rest, _SPLIT)
    if split and all(part_named(value) for value in values(table, split)):
        found["split_column"] = split
        rest.remove(split)
    found |= _labels(table, rest, positive)
    taken = {found.get("label_column"), *found.get("label_columns", ())}
    named = [_named([name], _SUBGROUPS) for name in rest if name not in taken]
    subgroups = tuple(name for name in named if name and len(values(table, name)) <= _MOST_VALUES)
    return found | ({"subgroup_columns": subgroups} if subgroups else {})


def values(table: Table, column: str) -> list[str]:
    """What stands in a column, each once, empty cells left out."""
    return list(dict.fromkeys(row[column] for _, row in table.rows if row.get(column)))


def _named(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """The first of ``names`` that is a column's, whatever its case and its spaces."""
    plain = {re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_"): column for column in columns}
    return next((plain[name] for name in names if name in plain), None)


def _image(table: Table, root: Path) -> str:
    """The column whose cells are images here; of several the one that is called so."""
    files = ImageIndex(root, DataConfig().image_folders)
    rows = table.rows[:: max(1, len(table.rows) // _LOOKED_AT)]
    shares = {
        name: sum(isinstance(files.find(row.get(name, "")), str) for _, row in rows if row.get(name))
        for name in table.columns
    }
    best = max(shares.values(), default=0)
    if not best:
        raise DataError(
            f"{table.name}: no column names image files beside it (it has: {', '.join(table.columns) or 'nothing'})",
            "put the table beside the images, or in the folder above, with a column of their names",
        )
    good = [name for name, count in shares.items() if count == best]
    return _named(good, _IMAGE) or good[0]


def _labels(table: Table, rest: Sequence[str], positive: Sequence[str]) -> dict[str, Any]:
    """One column of classes, or of several findings with a separator; or a column of 0 and 1 for each finding."""
    marks = [name for name in rest if set(values(table, name)) <= {"0", "1", "0.0", "1.0"}]
    if len(marks) > 1 and set(positive) <= set(marks):
        return {"task": "multilabel", "label_columns": tuple(marks)}
    known = {name: _words(table, name) for name in rest if len(_words(table, name)) <= _MOST_VALUES}
    good = [name for name, words in known.items() if len(words) > 1 and set(positive) <= words]
    column = _named(good, _LABEL) or (good[0] if len(good) == 1 else None)
    if column is None:
        raise DataError(
            f"{table.name}: {_which(good, positive)} (it has: {', '.join(table.columns)})",
            "call the column of the classes 'label', and give --positive as they are written there",
        )
    several = any(_SEPARATOR in value for value in values(table, column))
    return {"label_column": column} | ({"task": "multilabel"} if several else {})


def _words(table: Table, column: str) -> set[str]:
    return {word.strip() for value in values(table, column) for word in value.split(_SEPARATOR)}


def _which(good: Sequence[str], positive: Sequence[str]) -> str:
    if good:
        return f"the classes may be in {' or '.join(map(repr, good))}"
    return f"no column has classes{f', {chr(39)}{positive[0]}{chr(39)} among them' if positive else ''}"
