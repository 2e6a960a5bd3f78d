"""A CSV table with an image and a label column, and perhaps group, site and split columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from runtime.fields import nearest
from train.config import DataConfig
from train.errors import DataError, listing
from train.samples import IMAGE_SUFFIXES, DataSet, FileDataSet, Sample, indexed, part_named

Row = dict[str, str]


def load_table(path: Path, config: DataConfig) -> DataSet:
    """Read the table; images are looked for beside it and in ``data.image_folders``.

    Raises DataError: not UTF-8, a missing column, and, all at once, rows without a label, images that are not there,
    images named twice, unknown splits.
    """
    rows, columns = _rows(path)
    names = {
        "image": _column(config.image_column, columns, path, required=True),
        "label": _column(config.label_column, columns, path, required=True),
        "group": _column(config.group_column, columns, path, required=config.group_column != "group"),
        "site": _column(config.site_column, columns, path, required=config.site_column != "site"),
        "split": _column(config.split_column, columns, path, required=config.split_column != "split"),
    }
    files = ImageIndex(path.parent, config.image_folders)
    found: dict[str, Row] = {}
    problems: list[str] = []
    for number, row in rows:
        cells = {key: row.get(column, "") if column else "" for key, column in names.items()}
        sample = files.find(cells["image"])
        problem = _problem(cells, sample, found)
        if problem:
            problems.append(f"line {number}: {problem}")
        elif sample:
            found[sample] = cells
    if problems:
        raise DataError(listing(f"{path.name} has bad rows", problems), "mend these rows, then run again")
    classes, index = indexed({sample: cells["label"] for sample, cells in found.items()}, config, path.name)
    return FileDataSet(path.parent, classes, tuple(_sample(name, index[name], cells) for name, cells in found.items()))


def _sample(name: str, label: int, cells: Row) -> Sample:
    return Sample(name, label, cells["group"] or None, cells["site"] or None, part_named(cells["split"]))


def _problem(cells: Row, sample: str | None, found: Iterable[str]) -> str | None:
    """What is wrong with a row, if anything."""
    if not cells["image"]:
        return "no image is named"
    if sample is None:
        return f"no image file for {cells['image']!r}"
    if sample in found:
        return f"{cells['image']!r} is named twice"
    if not cells["label"]:
        return f"{cells['image']!r} has no label"
    if cells["split"] and part_named(cells["split"]) is None:
        return f"{cells['image']!r} has the unknown split {cells['split']!r} (train, val, test)"
    return None


def _rows(path: Path) -> tuple[list[tuple[int, Row]], list[str]]:
    """Numbered rows and the column names, with the spaces around names and values removed."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 (byte {error.start})", "save it as 'CSV UTF-8', or convert it with iconv"
        ) from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    columns = [name.strip() for name in next(reader, [])]
    rows = [
        (reader.line_num, {name: cell.strip() for name, cell in zip(columns, cells, strict=False)})
        for cells in reader
        if any(cell.strip() for cell in cells)
    ]
    return rows, columns


def _column(name: str, columns: list[str], path: Path, required: bool) -> str | None:
    """The column's name if the table has it; optional columns may be absent under their default name only."""
    if name in columns:
        return name
    if required:
        raise DataError(
            f"{path.name} has no column {name!r} (it has: {', '.join(columns) or 'nothing'})",
            f"{nearest(name, columns)}; set data.image_column, data.label_column, … in the recipe or with --set",
        )
    return None


class ImageIndex:
    """Finds the file of a table's cell: a path, a name, a name without its suffix, or a number (``7`` → ``007.png``).

    Sought in the table's own folder first, then in each of ``folders`` beside it.
    """

    def __init__(self, root: Path, folders: Iterable[str]) -> None:
        self._root = root
        self._by_name: dict[str, str] = {}
        for folder in (".", *folders):
            for path in sorted((root / folder).glob("*")):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    self._add(path.name, path.stem, path.relative_to(root).as_posix())

    def _add(self, name: str, stem: str, sample: str) -> None:
        for key in (name, stem, *([f"#{int(stem)}"] if stem.isascii() and stem.isdigit() else [])):
            self._by_name.setdefault(key, sample)

    def find(self, cell: str) -> str | None:
        """The sample id (posix path relative to the root), or None. Never a file outside of the root."""
        path = Path(cell)
        if not cell or path.is_absolute() or ".." in path.parts:
            return None
        direct = self._by_name.get(cell)
        if direct is None and path.suffix.lower() in IMAGE_SUFFIXES and (self._root / path).is_file():
            direct = path.as_posix()
        if direct is None and cell.isascii() and cell.isdigit():
            direct = self._by_name.get(f"#{int(cell)}")
        return direct
