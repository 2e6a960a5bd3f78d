"""Tables with something done to them at random: no traceback, no wait, and every row is a sample or a problem."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.runtime.tables.csv_rows import read_csv
from fieldlens.train.config import DataConfig
from fieldlens.train.data.forms.tables import read_table
from fieldlens.train.errors import DataError

ROWS = 12
ODD = [
    '"', '""', ",", ";", "\t", "|", "\n", "\r", "\r\n", "\0", "nan", "-", "\ufeff", "\u200b", "é", "e\u0301", "\u00a0",
    "'", "sep=;", "../", "C:\\", "/", "\\", "..", ".png", "0", "1e309", "😀", "image", "label", "train", "x" * 200_000,
    "=1+1", "#", "\x1a", "\x85", "\u2028",
]  # fmt: skip


def clean() -> str:
    lines = [f"{n:02d}.png,{('ill', 'well')[n % 2]},p{n // 2},{('train', 'val', 'test')[n % 3]}" for n in range(ROWS)]
    return "\n".join(["image,label,group,split", *lines]) + "\n"


def insert(text: str, chance: random.Random) -> str:
    place = chance.randint(0, len(text))
    return text[:place] + chance.choice(ODD) + text[place:]


def cut(text: str, chance: random.Random) -> str:
    place = chance.randint(0, len(text))
    return text[:place] + text[place + chance.randint(1, 30) :]


def repeat(text: str, chance: random.Random) -> str:
    lines = text.split("\n")
    return "\n".join([*lines, chance.choice(lines), chance.choice(lines)])


def exchange(text: str, chance: random.Random) -> str:
    return text.replace(chance.choice(",\n0pl"), chance.choice(ODD[:12]), chance.randint(1, 5))


def mix(text: str, chance: random.Random) -> str:
    cells = text.split(",")
    chance.shuffle(cells)
    return ",".join(cells)


CHANGES: list[Callable[[str, random.Random], str]] = [insert, insert, cut, repeat, exchange, mix]
ENCODINGS = ["utf-8"] * 8 + ["utf-8-sig", "utf-16", "cp1252", "utf-16-le", "utf-32"]


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.full)])
def test_any_table_is_read_or_refused(count: int, tmp_path: Path) -> None:
    for number in range(ROWS):
        (tmp_path / f"{number:02d}.png").touch()
    path, whole = tmp_path / "labels.csv", 0
    for seed in range(count):
        chance, text = random.Random(seed), clean()
        for _ in range(chance.randint(0, 3)):
            text = chance.choice(CHANGES)(text, chance)
        path.write_bytes(text.encode(chance.choice(ENCODINGS), errors="replace"))
        began = time.monotonic()
        try:
            reading = read_table(path, tmp_path, DataConfig())
            reading.samples(DataConfig())
        except DataError:  # no such column, no text
            continue
        finally:
            assert time.monotonic() - began < 5
        table = read_csv(path, ("image", "label"))
        lines = {problem.text for problem in reading.problems if " line " in problem.text}
        assert len(reading.found) + len(lines) >= len(table.rows), seed
        assert len(reading.found) <= ROWS
        whole += not reading.problems
    assert count // 20 < whole < count
