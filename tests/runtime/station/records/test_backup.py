"""Backups: whole, checked, restored whole or not at all."""

from __future__ import annotations

import csv
import io
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.records import backup
from fieldlens.runtime.station.records.store import Records
from tests.runtime.station.made_results import check_whole, made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Closed records with twelve results, four of them with an image."""
    records = Records(tmp_path / "data")
    for number in range(12):
        records.add(made(f"P{number}"), [("view", b"jpeg %d" % number)] if number % 3 == 0 else ())
    records.notify("clock", "it jumped", "set it", "2026-11-27T00:00:00.000Z")
    records.close()
    return tmp_path / "data"


def test_a_backup_brings_everything_back(data: Path, tmp_path: Path) -> None:
    made_of = backup.make(data, tmp_path / "b.tar")
    assert (made_of.results, made_of.images) == (12, 4)
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0
    back = backup.restore(tmp_path / "b.tar", tmp_path / "new")
    assert (back.results, back.images) == (12, 4)
    assert check_whole(tmp_path / "new", []) == 12
    records = Records(tmp_path / "new")
    assert len(records.banners()) == 1
    records.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "data", "new"], "nothing is left over"


def test_it_is_taken_while_the_station_writes(data: Path, tmp_path: Path) -> None:
    records, ended = Records(data), threading.Event()

    def write_on() -> None:
        while not ended.is_set():
            records.add(made(), [("view", b"more")])

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        taken = [backup.make(data, tmp_path / f"{number}.tar") for number in range(3)]
    finally:
        ended.set()
        writer.join()
        records.close()
    for number, each in enumerate(taken):
        backup.restore(tmp_path / f"{number}.tar", tmp_path / f"new{number}")
        assert check_whole(tmp_path / f"new{number}", []) == each.results >= 12


def _rewritten(path: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> None:
    """The same archive with its members changed, or left out."""
    members = []
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None
            if (kept := change(member, stream.read())) is not None:
                members.append(kept)
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _renamed(member: tarfile.TarInfo, content: bytes, name: str) -> tuple[tarfile.TarInfo, bytes]:
    if member.name.endswith(".jpg"):
        member.name = name
    return member, content


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut short": lambda path: (path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) and None) or None,
    "not a tar": lambda path: (path.write_bytes(b"hello" * 1000) and None) or None,
    "empty": lambda path: (path.write_bytes(b"") and None) or None,
    "a changed image": lambda path: _rewritten(path, lambda m, c: (m, b"x" if m.name.endswith(".jpg") else c)),
    "an image less": lambda path: _rewritten(path, lambda m, c: None if m.name.endswith(".jpg") else (m, c)),
    "no list": lambda path: _rewritten(path, lambda m, c: None if m.name == "backup.json" else (m, c)),
    "no records": lambda path: _rewritten(path, lambda m, c: None if m.name == "records.db" else (m, c)),
    "a path outside": lambda path: _rewritten(path, lambda m, c: _renamed(m, c, "../evil.jpg")),
    "a path outside, below images": lambda path: _rewritten(path, lambda m, c: _renamed(m, c, "images/../../evil")),
    "an absolute path": lambda path: _rewritten(path, lambda m, c: _renamed(m, c, "/evil.jpg")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_makes_nothing(data: Path, tmp_path: Path, damage: str) -> None:
    backup.make(data, tmp_path / "b.tar")
    DAMAGES[damage](tmp_path / "b.tar")
    with pytest.raises(KitError):
        backup.restore(tmp_path / "b.tar", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "data"]
    assert not list(tmp_path.rglob("*evil*"))


def test_nothing_is_overwritten(data: Path, tmp_path: Path) -> None:
    backup.make(data, tmp_path / "b.tar")
    with pytest.raises(KitError, match="exists already"):
        backup.make(data, tmp_path / "b.tar")
    with pytest.raises(KitError, match="not empty"):
        backup.restore(tmp_path / "b.tar", data)
    with pytest.raises(KitError, match="no records"):
        backup.make(tmp_path / "nowhere", tmp_path / "c.tar")
    with pytest.raises(KitError, match="no such file"):
        backup.restore(tmp_path / "nothing.tar", tmp_path / "new")


def test_the_export_has_every_result(data: Path, tmp_path: Path) -> None:
    assert backup.export_table(data, tmp_path / "r.csv") == 12
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    assert [row["subject"] for row in rows] == [f"P{number}" for number in reversed(range(12))]
    assert {row["p_sign"] for row in rows} == {"0.9"}
