"""The split that a public set brings: a column, lists of images, or the folders in which its images lie.

One that is there is used, or the data is refused: dividing a set again that has a test part of its own makes figures
that nobody can compare.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fieldlens.runtime.tables.cells import is_missing, said
from fieldlens.runtime.tables.csv_rows import Table
from fieldlens.runtime.tables.encodings import decoded, not_text
from fieldlens.train.config import DataConfig
from fieldlens.train.data.labels import LabelReader
from fieldlens.train.data.part_names import looks_like_part, part_named
from fieldlens.train.errors import Problem

_DIVIDE = "--set data.split_column='' divides the images again, and drops that split"
_PART = "(train|training|trn|test|testing|val|valid|validation|dev)"
_IS_PART = re.compile(
    rf"(is|in|for)[_ -]?{_PART}([_ -]?(image|set|sample|data|split))*"
    r"|(data|dataset|train_test)?[_ -]?split|(data_)?partition|usage",
    re.IGNORECASE,
)
"""Names of columns that hold parts in code: ``is_train``, ``partition``."""
_CODE = re.compile(r"-?\d(\.0+)?|true|false|yes|no|t|f|y|n", re.IGNORECASE)
_MOST_WORDS = 12
"""Different words in a column of parts (``train``, ``Train``, ``training``, …)."""


def listed(folder: Path, files: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    """Image name → part, from the lists of a public set that lie beside its table.

    Adds to the problems: a list that is not there or no text, an unknown part, an image in two lists.
    """
    parts: dict[str, str] = {}
    twice: list[str] = []
    for name, word in files.items():
        part = part_named(word)
        if part is None:
            problems.append(Problem(f"data.split_files: {name!r} is {word!r}", "a part is train, val or test"))
            continue
        for image in _lines(folder / name, problems):
            path = PurePosixPath(image.replace("\\", "/"))
            if parts.get(path.name, part) != part:
                twice.append(path.name)
            parts[path.name] = part
    if twice:
        hint = "an image in training and test makes the test meaningless: leave it in one"
        problems.append(Problem(f"{len(twice)} images are in two of {', '.join(files)} (for example {twice[0]})", hint))
    return parts


def _lines(path: Path, problems: list[Problem]) -> list[str]:
    """The images of one list, one a line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "is not here" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        hint = f"put it beside the table: it is the set's own split. {_DIVIDE.replace('split_column', 'split_files')}"
        problems.append(Problem(f"the recipe's list {path.name} {reason}", hint.replace("=''", "={}")))
        return []
    if what := not_text(data):
        problems.append(Problem(f"{path.name} is {what}, not a list of images", "one image a line"))
        return []
    return [line for row in decoded(data)[0].splitlines() if (line := said(row).strip("\"',;"))]


def other_split_column(table: Table, config: DataConfig) -> list[Problem]:
    """A column of parts under a name that the recipe does not know."""
    for column in table.columns:
        if not column or column in (config.image_column, config.label_column, *config.label_columns):
            continue
        words: set[str] = set()
        for _, row in table.rows:
            words.add(said(row.get(column, "")))
            if len(words) > _MOST_WORDS:
                break
        words = {word for word in words if not is_missing(word)}
        if 1 < len(words) <= _MOST_WORDS and (found := _parts_in(column, words)):
            text = f"{table.name}: the column {column!r} names parts ({found}), and the recipe does not say what it is"
            known = all(map(part_named, words))
            read = "reads it" if known else "reads it, once it says train, val or test"
            return [Problem(text, f"--set data.split_column={column!r} {read}; {_DIVIDE}")]
    return []


def _parts_in(column: str, words: Collection[str]) -> str:
    """The parts that a column's words name, or its own name with numbers or yes and no below it; empty for none."""
    parts = set(map(part_named, words))
    if None not in parts:
        return ", ".join(sorted(filter(None, parts))) if len(parts) > 1 else ""
    coded = _IS_PART.fullmatch(column.strip()) if all(map(_CODE.fullmatch, words)) else None
    return ", ".join(sorted(words)) if coded or all(map(looks_like_part, words)) else ""


def folders_split(reading: LabelReader) -> None:
    """Where the images of a table lie in folders named train, val or test, these are its split, and that is noted."""
    parts = {sample: _part_of(sample) for sample in reading.found}
    named = set(parts.values()) - {None}
    if len(named) < 2:
        return
    without = [sample for sample, part in parts.items() if part is None]
    if without:
        text = f"its images lie in folders of {', '.join(sorted(filter(None, named)))}, but {without[0]} in none"
        hint = f"move the others into one of them, or fill a split column; {_DIVIDE}"
        reading.problems.append(Problem(f"{text} ({len(without)})", hint))
        return
    reading.found.update({sample: replace(reading.found[sample], split=part) for sample, part in parts.items()})
    reading.notes.append(f"its images lie in folders of {', '.join(sorted(filter(None, named)))}: taken for its split")


def _part_of(sample: str) -> str | None:
    """The part that the outermost such folder names."""
    folders = sample.split("/")[:-1]
    return next((part for folder in folders if (part := part_named(folder))), None)
