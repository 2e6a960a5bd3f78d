"""A CSV table with an image and a label column (or one per finding), and perhaps group, site and split columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.fields import nearest
from fieldlens.train.config import DataConfig
from fieldlens.train.data.forms.csv_rows import Row, Table, read_csv
from fieldlens.train.data.forms.image_index import ImageIndex
from fieldlens.train.data.labels import Found, LabelReader
from fieldlens.train.data.samples import part_named
from fieldlens.train.errors import DataError, Problem

_SET = "set data.image_column, data.label_column, … in the recipe or with --set"
_MARKS = {"0": False, "0.0": False, "1": True, "1.0": True}


@dataclass(frozen=True)
class Columns:
    """Which columns of the table mean what; None: it has none."""

    image: str
    labels: tuple[str, ...]
    group: str | None
    site: str | None
    split: str | None
    subgroups: tuple[str, ...]


def read_table(path: Path, config: DataConfig) -> LabelReader:
    """Read the table; images are looked for beside it, in ``data.image_folders``, and in the folders below.

    Raises DataError for missing columns. Bad rows become the reading's problems.
    """
    table = read_csv(path)
    reading = LabelReader(problems=[table.problem] if table.problem else [])
    columns = _columns(table, config, reading)
    files = ImageIndex(path.parent, config.image_folders)
    parts = _listed(path.parent, config.split_files)
    for number, row in table.rows:
        found = files.find(row.get(columns.image, "")) if row.get(columns.image) else Problem("no image is named")
        try:
            if isinstance(found, Problem):
                raise BadRow(*found)
            if found in reading.found:
                raise BadRow(f"{row[columns.image]!r} is named twice")
            reading.found[found] = _found(row, columns, config, parts)
        except BadRow as error:
            reading.problems.append(Problem(f"{path.name} line {number}: {error.problem.text}", error.problem.hint))
    strays = files.strays(reading.found)
    if strays:
        reading.notes.append(f"{len(strays)} images are in no row of {path.name} (for example {strays[0]}): left out")
    return reading


class BadRow(Exception):
    """Caught where the row's number is known."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.problem = Problem(text, hint)


def _found(row: Row, columns: Columns, config: DataConfig, parts: Mapping[str, str]) -> Found:
    """What a row says. Raises BadRow."""
    image = row[columns.image]
    word = row.get(columns.split, "") if columns.split else ""
    part = part_named(word)
    if word and part is None:
        raise BadRow(f"{image!r} has the unknown split {word!r} (train, val, test)")
    if parts:
        part = parts.get(Path(image).name)
        if part is None:
            raise BadRow(f"{image!r} is in none of {', '.join(config.split_files)}", "add it to one of them")
    return Found(
        _words(row, image, columns, config),
        (row.get(columns.group) if columns.group else None) or None,
        (row.get(columns.site) if columns.site else None) or None,
        part,
        tuple((column, row.get(column) or "unknown") for column in columns.subgroups),
    )


def _words(row: Row, image: str, columns: Columns, config: DataConfig) -> tuple[str, ...]:
    """The labels as written. Raises BadRow."""
    if config.label_columns:
        cells = {column: row.get(column, "") for column in columns.labels}
        bad = [f"{column!r} is {cell!r}" for column, cell in cells.items() if cell not in _MARKS]
        if bad:
            raise BadRow(f"{image!r}: {', '.join(bad)}", "write 0 or 1 for each finding")
        return tuple(column for column, cell in cells.items() if _MARKS[cell])
    cell = row.get(columns.labels[0], "")
    if not cell:
        raise BadRow(f"{image!r} has no label")
    if config.task == "multiclass":
        return (cell,)
    words = tuple(filter(None, (word.strip() for word in cell.split(config.label_separator))))
    if config.no_finding in words and len(words) > 1:
        raise BadRow(f"{image!r} has {config.no_finding!r} beside a finding ({cell})")
    return tuple(word for word in words if word != config.no_finding)


def _columns(table: Table, config: DataConfig, reading: LabelReader) -> Columns:
    """Raises DataError for columns that the recipe needs and the table lacks, all of them at once."""
    have = table.columns
    labels = config.label_columns or (config.label_column,)
    named = len(labels) == 1 and config.label_column != "label"
    if named and labels[0] not in have and len(have) == 2 and config.image_column in have:
        labels = tuple(name for name in have if name != config.image_column)
        reading.notes.append(f"{table.name} has two columns: {labels[0]!r} is taken for {config.label_column!r}")
    optional = {"group": config.group_column, "site": config.site_column, "split": config.split_column}
    if config.ungrouped:
        del optional["group"]
    missing = [name for name in (config.image_column, *labels) if name not in have]
    # Under its default name an optional column may be absent; one that the recipe names must be there.
    missing += [name for kind, name in optional.items() if name != kind and name not in have]
    if missing:
        hint = f"{nearest(missing[0], have)}; {_SET}"
        if config.group_column in missing:
            hint = f"--ungrouped spreads single images all the same, and the report says so; {hint}"
        reported = ", ".join(map(repr, missing))
        raise DataError(f"{table.name} has no column {reported} (it has: {', '.join(have) or 'nothing'})", hint)
    absent = [name for name in config.subgroup_columns if name not in have]
    if absent:
        reading.notes.append(f"{table.name} has no column {', '.join(absent)}: no figures for these subgroups")
    known = {kind: name for kind, name in optional.items() if name in have}
    return Columns(
        config.image_column, labels, known.get("group"), known.get("site"), known.get("split"),
        tuple(name for name in config.subgroup_columns if name in have),
    )  # fmt: skip


def _listed(root: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Image name → part, from the lists of a public set that lie beside its table."""
    return {
        line.strip(): part
        for name, part in files.items()
        if (root / name).is_file()
        for line in (root / name).read_text(encoding="utf-8").splitlines()
        if line.strip()
    }
