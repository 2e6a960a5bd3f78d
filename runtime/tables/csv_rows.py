"""A CSV file, read strictly: a row that does not fit its header, or a quote that is not closed, is a problem with its
line, and never another row.

Comma, semicolon, tab or bar; spaces after them; Excel's ``sep=;`` line; any encoding of the usual programs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fieldlens.runtime.tables.cells import said
from fieldlens.runtime.tables.encodings import decoded, not_text, not_utf_8
from fieldlens.runtime.tables.problems import DataError, Problem

Row = dict[str, str]

DELIMITERS = ",;\t|"
_MOST_BROKEN = 20
"""Rows with broken quotes, after which the rest of the file is not looked at: a quote can be wrong in every line."""
_SEPARATOR = re.compile(r'\s*"?sep=(.)"?[\s,;|]*', re.IGNORECASE)
_QUOTE = "close the quote, write a quote inside a quoted cell twice, or save the table again from its own program"


@dataclass(frozen=True)
class Table:
    """The column names and the rows, each with the number of its first line, without the spaces around the cells.

    ``problems``: all that is wrong with the file; a row that is wrong is not in ``rows``. ``continued``: by a row's
    line, the cells of the lines that a line break inside a quoted cell made part of it.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Row], ...]
    problems: tuple[Problem, ...] = ()
    continued: dict[int, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    def swallowed(self, line: int, column: str, is_image: Callable[[str], bool]) -> Problem | None:
        """A row that holds another one, because a quote was opened and closed some lines below: its inner lines are
        whole rows by their number of cells, and what stands in ``column`` is an image."""
        place = self.columns.index(column)
        for offset, cells in enumerate(self.continued.get(line, ()), 1):
            if len(self.columns) > 1 and len(cells) > 1 and place < len(cells) and is_image(cells[place]):
                text = f"{self.name} line {line}: a quoted cell holds line {line + offset}, which is a row of its own"
                return Problem(text, _QUOTE)
        return None


def read_csv(path: Path, wanted: Collection[str] = ()) -> Table:
    """Read the file; in another encoding than UTF-8 it is read all the same, so that all problems come at once.

    ``wanted``: columns that the caller needs, which tell the delimiter where the header could be cut in several ways.
    Raises DataError: a file that cannot be read, or that is no text (a workbook, an archive).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error})", f"check: ls -l '{path}'") from error
    if what := not_text(data):
        raise DataError(f"{path.name} is {what}, not a CSV file", "open it and save it as 'CSV UTF-8'")
    text, encoding = decoded(data.rstrip(b"\x1a"))  # DOS wrote an end of file
    problems = [not_utf_8(path.name, encoding)] if encoding != "UTF-8" else []
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        problems.append(Problem(f"{path.name} line {line}: it holds zero bytes", "the file is damaged: copy it again"))
        text = text.replace("\0", "")
    lines = list(io.StringIO(text, newline=""))
    start, delimiter = _beginning(lines, wanted)
    return _table(path.name, lines, _records(lines, start, delimiter), delimiter, problems)


def _table(
    name: str, lines: Sequence[str], records: Iterator[_Record], delimiter: str, problems: list[Problem]
) -> Table:
    columns: tuple[str, ...] | None = None
    rows: list[tuple[int, Row]] = []
    continued: dict[int, tuple[tuple[str, ...], ...]] = {}
    for first, last, cells in records:
        if isinstance(cells, Problem):
            problems.append(Problem(f"{name} line {first}: {cells.text}", cells.hint))
            continue
        stripped = [cell.strip() for cell in cells]
        if not any(stripped):
            continue
        if columns is None:
            columns = tuple(map(said, stripped))
            problems += _header_problems(name, columns)
        elif wrong := _misfit(stripped, columns):
            problems.append(Problem(f"{name} line {first}: {wrong.text}", wrong.hint))
        else:
            rows.append((first, {key: cell for key, cell in zip(columns, stripped, strict=False) if key}))
            if last > first:
                continued[first] = tuple(
                    tuple(cell.strip(" \t\r\n\"'") for cell in line.split(delimiter)) for line in lines[first:last]
                )
    return Table(name, columns or (), tuple(rows), tuple(problems), continued)


def _header_problems(name: str, columns: Sequence[str]) -> list[Problem]:
    twice = [column for column in dict.fromkeys(columns) if column and columns.count(column) > 1]
    hint = "rename or remove one of the columns: nobody can tell which of them is meant"
    return [Problem(f"{name}: the header names {column!r} {columns.count(column)} times", hint) for column in twice]


def _misfit(cells: Sequence[str], columns: Sequence[str]) -> Problem | None:
    """Why the row does not fit the header; empty cells more at its end do no harm."""
    count, wanted = len(cells), len(columns)
    if cells[:wanted] == list(columns) and wanted > 1:
        return Problem("this is the header again", "remove this line, or split the file: two tables were joined")
    if any(cells[wanted:]):
        hint = "a cell that holds the separator stands in quotes; every filled column needs a name in the header"
        return Problem(f"{count} cells, and the header has {wanted}", hint)
    if count < wanted and any(columns[count:]):
        hint = "a separator is missing, or the program left empty cells at the end out: put all separators in"
        return Problem(f"{_cells(count)}, and the header has {wanted}", hint)
    return None


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


_Record = tuple[int, int, list[str] | Problem]
"""First and last line of a record, counted from 1, and its cells or what is wrong with it."""


def _records(lines: Sequence[str], start: int, delimiter: str) -> Iterator[_Record]:
    """All records. After one with a broken quote reading goes on in the line below that in which it began."""
    begin, broken = start, 0
    while begin < len(lines):
        base = begin
        reader = csv.reader(lines[base:] if base else lines, delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            for cells in reader:
                yield begin + 1, base + reader.line_num, cells
                begin = base + reader.line_num
            return
        except csv.Error as error:
            yield begin + 1, begin + 1, _alone(lines[begin], delimiter) or Problem(_reason(error), _QUOTE)
            begin += 1
            broken += 1
        if broken == _MOST_BROKEN:
            yield begin, begin, Problem(f"more than {_MOST_BROKEN} rows like this: the rest is not read", _QUOTE)
            return


def _reason(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a cell of more than {csv.field_size_limit():,} characters: a quote that is not closed?"
    if "unexpected end" in str(error):
        return "a quote is opened and never closed"
    return "something stands behind a closing quote, or a quote is not closed"


def _alone(line: str, delimiter: str) -> list[str] | None:
    """The line's cells where nothing but spaces stands behind its closing quotes."""
    tidy = re.sub(rf'" +(?={re.escape(delimiter)}|[\r\n]*$)', '"', line)
    if tidy == line:
        return None
    try:
        rows = list(csv.reader([tidy], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _beginning(lines: Sequence[str], wanted: Collection[str]) -> tuple[int, str]:
    """Index of the header's line, and the delimiter: Excel's ``sep=`` line says it, else the header does."""
    start = next((place for place, line in enumerate(lines) if line.strip()), 0)
    if not lines:
        return 0, ","
    if declared := _SEPARATOR.fullmatch(lines[start]):
        return start + 1, declared[1]

    def score(delimiter: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([lines[start]], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            return 0, 0
        return sum(said(cell) in wanted for cell in cells), len(cells) if delimiter != "|" else 1

    return start, max(DELIMITERS, key=score)
