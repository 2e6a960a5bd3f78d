"""A CSV table with an image and a label column (or one per finding), and perhaps group, site and split columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fieldlens.runtime.sources.dicom_peek import may_be_dicom
from fieldlens.runtime.tables.cells import is_missing, said
from fieldlens.runtime.tables.csv_rows import Row, Table, read_csv
from fieldlens.runtime.tables.image_index import ImageIndex
from fieldlens.train.config import DataConfig
from fieldlens.train.data.forms.columns import Columns, columns_of
from fieldlens.train.data.forms.official_split import folders_split, listed, other_split_column
from fieldlens.train.data.forms.shifted import shifted_labels
from fieldlens.train.data.labels import Found, LabelReader
from fieldlens.train.data.part_names import part_named
from fieldlens.train.errors import Problem

_MARKS = {"0": False, "0.0": False, "1": True, "1.0": True}


def read_table(path: Path, root: Path, config: DataConfig) -> LabelReader:
    """Read the table; images are looked for beside it, in ``data.image_folders``, and in all folders below ``root``.

    Raises DataError for missing columns. Bad rows become the reading's problems.
    """
    wanted = (config.image_column, config.label_column, *config.label_columns, config.group_column)
    table = read_csv(path, wanted)
    reading = LabelReader(problems=list(table.problems))
    columns = columns_of(table, config, reading)
    beside = path.parent.relative_to(root).as_posix() if path.parent != root else ""
    files = ImageIndex(root, config.image_folders, beside, config.mask_folder)
    rows = _Rows(table, columns, config, files, reading)
    parts = listed(path.parent, config.split_files, reading.problems)
    lines = {}
    for number, row in table.rows:
        try:
            sample, found = rows.read(number, row, parts)
        except BadRow as error:
            reading.problems.append(Problem(f"{path.name} line {number}: {error.problem.text}", error.problem.hint))
        else:
            reading.found[sample] = found
            lines[sample] = number
    reading.problems += shifted_labels(table, reading.found, lines, columns, config)
    if not parts and columns.split is None and config.split_column:
        reading.problems += other_split_column(table, config)
        folders_split(reading)
    rows.say_what_was_odd()
    return reading


class BadRow(Exception):
    """Caught where the row's number is known."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.problem = Problem(text, hint)


@dataclass
class _Rows:
    """The rows of one table, read one after the other."""

    table: Table
    columns: Columns
    config: DataConfig
    files: ImageIndex
    reading: LabelReader
    named: frozenset[str] = field(init=False)
    """Words that the recipe knows as labels, whatever else they may mean."""

    def __post_init__(self) -> None:
        several = {self.config.no_finding} if self.config.task == "multilabel" else set()
        self.named = frozenset(map(said, {*self.config.labels, *self.config.classes, *several}))

    def read(self, number: int, row: Row, parts: Mapping[str, str]) -> tuple[str, Found]:
        """The sample's id and what the row says. Raises BadRow."""
        image = row.get(self.columns.image, "")
        found = self.files.find(image)
        if isinstance(found, Problem):
            raise BadRow("no image is named") if is_missing(image) else BadRow(*found)
        if number in self.table.continued:
            self._refuse_swallowed(number, row)
        if found in self.reading.found:
            raise BadRow(f"{image!r} is named twice")
        part = self._part(row, image, found, parts)
        return found, Found(
            self._words(row, image),
            self._optional(row, self.columns.group),
            self._optional(row, self.columns.site),
            part,
            tuple((column, self._optional(row, column) or "unknown") for column in self.columns.subgroups),
        )

    def _refuse_swallowed(self, number: int, row: Row) -> None:
        """Raises BadRow: a cell with a line break holds another row, or is one that the kit reads."""
        if swallowed := self.table.swallowed(number, self.columns.image, self._is_image):
            raise BadRow(swallowed.text.partition(": ")[2], swallowed.hint)
        for column in self.columns.used:
            if "\n" in row.get(column, "") or "\r" in row.get(column, ""):
                raise BadRow(f"{column!r} has a line break", "a quote is not closed, or opened without need")

    def _is_image(self, cell: str) -> bool:
        return isinstance(self.files.find(cell), str)

    @staticmethod
    def _optional(row: Row, column: str | None) -> str | None:
        """The cell, if there is such a column and it says something."""
        word = said(row.get(column, "")) if column else ""
        return None if is_missing(word) else word

    def _part(self, row: Row, image: str, sample: str, parts: Mapping[str, str]) -> str | None:
        word = self._optional(row, self.columns.split) or ""
        part = part_named(word)
        if word and part is None:
            raise BadRow(f"{image!r} has the unknown split {word!r} (train, val, test)")
        if parts:
            path = Path(sample)
            part = parts.get(said(path.name)) or parts.get(said(path.stem))
            if part is None:
                raise BadRow(f"{image!r} is in none of {', '.join(self.config.split_files)}", "add it to one of them")
        return part

    def _words(self, row: Row, image: str) -> tuple[str, ...]:
        """The labels as written. Raises BadRow."""
        config = self.config
        if config.label_columns:
            cells = {column: said(row.get(column, "")) for column in self.columns.labels}
            bad = [f"{column!r} is {cell!r}" for column, cell in cells.items() if cell not in _MARKS]
            if bad:
                raise BadRow(f"{image!r}: {', '.join(bad)}", "write 0 or 1 for each finding")
            return tuple(column for column, cell in cells.items() if _MARKS[cell])
        cell = said(row.get(self.columns.labels[0], ""))
        self._refuse_missing(cell, image)
        if config.task == "multiclass":
            return (cell,)
        words = tuple(filter(None, (word.strip() for word in cell.split(config.label_separator))))
        for word in words:
            self._refuse_missing(word, image)
        if config.no_finding in words and len(words) > 1:
            raise BadRow(f"{image!r} has {config.no_finding!r} beside a finding ({cell})")
        return tuple(dict.fromkeys(word for word in words if word != config.no_finding))

    def _refuse_missing(self, word: str, image: str) -> None:
        """A label that says that there is none, unless the recipe has a class of this name."""
        if not word:
            raise BadRow(f"{image!r} has no label")
        if is_missing(word, self.named):
            hint = "label it, remove the row, or name the word in data.labels or data.classes if it is a class"
            raise BadRow(f"{image!r} has no label: {word!r} is what programs write where there is none", hint)

    def say_what_was_odd(self) -> None:
        """Notes: images by another path than the table's, and images without a row."""
        if elsewhere := self.files.elsewhere:
            cell, sample = next(iter(elsewhere.items()))
            text = f"{len(elsewhere)} images are not at the path that {self.table.name} names and were found by it"
            self.reading.notes.append(f"{text} (for example {cell!r}: {sample})")
        if strays := self.files.strays(self.reading.found):
            named = next((f" (for example {name})" for name in strays if not may_be_dicom(name)), "")  # a patient's?
            self.reading.notes.append(f"{len(strays)} images are in no row of {self.table.name}{named}: left out")
