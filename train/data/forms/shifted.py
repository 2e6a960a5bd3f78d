"""Labels that are perhaps none: a missing or a surplus comma moves a cell of another column into the label's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fieldlens.runtime.sources.walk import is_image
from fieldlens.runtime.tables.cells import said
from fieldlens.runtime.tables.csv_rows import Table
from fieldlens.train.config import DataConfig
from fieldlens.train.data.forms.columns import Columns
from fieldlens.train.data.labels import Found
from fieldlens.train.errors import Problem

_RARE_SHARE = 0.01
_RARE = 2
_HINT = "correct the row; if it is a class, name all classes in data.classes or data.labels"


def shifted_labels(
    table: Table, found: Mapping[str, Found], lines: Mapping[str, int], columns: Columns, config: DataConfig
) -> list[Problem]:
    """Rare labels that stand in another column elsewhere, or are of another kind than the rest.

    ``lines``: sample id → line. Nothing where the recipe names the labels: there an unknown one is reported.
    """
    if config.labels or config.classes or config.label_columns:
        return []
    counts = Counter(word for item in found.values() for word in item.words)
    rare = {word for word, count in counts.items() if count <= max(_RARE, _RARE_SHARE * len(found))}
    usual = [word for word in counts if word not in rare]
    if not rare or not usual:
        return []
    rests = {word: _rest(word, usual) for word in rare}
    homes = _homes(table, columns, {*rare, *filter(None, rests.values())})
    problems = []
    for sample, item in found.items():
        for word in rare.intersection(item.words):
            if why := _why(word, rests[word], usual, homes):
                text = f"{table.name} line {lines[sample]}: the label {word!r} {why}: a comma too many or too few?"
                problems.append(Problem(text, _HINT))
    return problems


def _rest(word: str, usual: Sequence[str]) -> str:
    """What a label holds beside another one: ``p1`` of ``ill p1``."""
    return next((word.removeprefix(other).strip(" ;|/") for other in usual if word.startswith(f"{other} ")), "")


def _homes(table: Table, columns: Columns, words: set[str]) -> dict[str, str]:
    """Word → another column that holds it in a row of another label."""
    others = [name for name in table.columns if name and name not in columns.labels]
    label = columns.labels[0]
    return {
        word: column
        for column in others
        for _, row in table.rows
        if (word := said(row.get(column, ""))) in words and said(row.get(label, "")) != word
    }


def _why(word: str, rest: str, usual: Sequence[str], homes: Mapping[str, str]) -> str:
    if word in homes:
        return f"is elsewhere in the column {homes[word]!r}"
    if is_image(word):
        return "is an image's name"
    if _number(word) and not any(map(_number, usual)):
        return "is a number, and the others are words"
    return f"holds another label and a value of {homes[rest]!r}" if rest in homes else ""


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
