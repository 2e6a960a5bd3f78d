"""One bad item never ends a run: whatever is wrong with one name or file is that item's failed line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.files.printable import escaped, name_shown, shown_name, unescaped
from fieldlens.runtime.pixels.steps import Orient, Resize
from fieldlens.runtime.prepare import Preparer
from fieldlens.runtime.running.ready import prepare_item
from fieldlens.runtime.sources.cameras.address import parse_address
from fieldlens.runtime.sources.inputs import Sources
from fieldlens.runtime.sources.item import Broken, Encoded, File
from fieldlens.runtime.sources.walk import walk
from tests.runtime.conftest import build_bundle, jpeg, scene, tiny_manifest
from tests.runtime.privileges import without_privileges
from tests.runtime.test_classify import ROOT, command

GOOD = {
    "latin": b"gr\xfc\xdfe.jpg",
    "one-byte": b"\xff.jpg",
    "alone": b"\xed\xb3\xbf.jpg",
    "utf8": "grüße 日本.jpg".encode(),
    "newline": b"a\nb.jpg",
    "escape": rb"like\udcff.jpg",
    "backslash": rb"back\slash.jpg",
    "longest": b"x" * 251 + b".jpg",
    "control": b"\x1b[2Jx.jpg",
    "frames": b"film\xff.avi",
}
"""Names that a file may have: each is answered."""

BAD = {
    "too-long": b"y" * 300 + b".jpg",
    "path-too-long": b"z/" * 3000,
    "nul": b"a\0b.jpg",
    "nul-pattern": b"a\0*.jpg",
    "print0": b"one.jpg\0two.jpg\0",
    "endless": b"q" * 200_000,
    "closed": b"{folder}/closed/in.jpg",
    "closed-film": b"{folder}/closed/in.avi",
    "film": b"{folder}/closed-film.avi",
    "no-film": b"{folder}/none\xff.mp4",
    "camera-nul": b"http://\0x/",
    "camera-bytes": b"rtsp://h\xff/",
    "device-nul": b"v4l2://\0",
    "number": "v4l2://0?width=²".encode(),
    "sensor": "csi://²".encode(),
    "bracket": b"[",
    "brackets": b"rtsp://[x/",
    "home": b"~nobody/x.jpg",
    "through-a-file": b"{folder}/in/one.jpg/x.jpg",
}
"""Lines of a list that name nothing that can be read: each is a failed line."""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path, str]:
    """A list of everything, read by a user for whom rights count; the results, the folder, what was said."""
    folder = tmp_path_factory.mktemp("items")
    (folder / "in").mkdir()
    film = cv2.VideoWriter(f"{folder}/film.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    film.write(scene(3, 120, 160))
    film.release()
    for kind, name in GOOD.items():
        (folder / "in" / os.fsdecode(name)).write_bytes(
            (folder / "film.avi").read_bytes() if kind == "frames" else jpeg(scene(1, 120, 160))
        )
    (folder / "in/one.jpg").write_bytes(jpeg(scene(2, 120, 160)))
    (folder / "closed-film.avi").write_bytes(b"")
    (folder / "closed-film.avi").chmod(0)
    Path(os.fsdecode(os.fsencode(folder) + b"/none\xff.mp4")).write_bytes(b"not a film")
    (folder / "closed").mkdir(mode=0)
    lines = [name.replace(b"{folder}", os.fsencode(folder)) for name in BAD.values()]
    lines += [os.fsencode(folder / "in") + b"/" + name for kind, name in GOOD.items() if kind != "newline"]
    lines += [os.fsencode(folder / "closed"), os.fsencode(folder / "in")]
    bundle = build_bundle(folder / "tiny.bundle", tiny_manifest())
    options = ("--bundle", bundle, "--backend", "fake", "--state", folder / "state", "--json", folder / "r.jsonl")
    outputs = ("--csv", folder / "r.csv", "--overlays", folder / "maps", "--report", folder / "r.html")
    done = subprocess.run(
        command("classify", "-", *options, *outputs), cwd=ROOT, input=b"\n".join(lines), capture_output=True,
        check=False, preexec_fn=without_privileges,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert b"Traceback" not in done.stderr
    results = [json.loads(line) for line in (folder / "r.jsonl").read_text().splitlines()]
    (folder / "closed").chmod(0o700)
    return results, folder, done.stdout.decode()


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_one_failed_line(ended: tuple[list[dict[str, Any]], Path, str], kind: str) -> None:
    results, folder, _ = ended
    name = os.fsdecode(BAD[kind].replace(b"{folder}", os.fsencode(folder)))
    failed = [r["error"] for r in results if r["error"] and r["source"].rstrip("…") in (name, name[:60])]
    assert len(failed) == 1
    assert failed[0]


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_file_is_answered_whatever_its_name(ended: tuple[list[dict[str, Any]], Path, str], kind: str) -> None:
    results, folder, said = ended
    path = str(folder / "in" / os.fsdecode(GOOD[kind]))
    name = f"{path}#0" if kind == "frames" else path
    expected = 2 if kind not in ("newline", "frames") else 1  # by its own line, and by its folder
    found = [r for r in results if r["source"] == name]
    assert [r["error"] for r in found] == [None] * expected
    with (folder / "r.csv").open(newline="") as file:
        rows = [unescaped(row["source"]) for row in csv.DictReader(file)]
    assert rows.count(name) == expected
    shown = [line.rpartition("  refer")[0] or line.rpartition("  uncertain")[0] for line in said.splitlines()]
    assert [name_shown(line) for line in shown if line].count(name) >= 1


def test_overlays_of_names_that_are_not_utf8_can_be_told_apart(
    ended: tuple[list[dict[str, Any]], Path, str],
) -> None:
    names = {path.name for path in (ended[1] / "maps").iterdir()}
    assert {"gr%FC%DFe.jpg", "%FF.jpg", "%ED%B3%BF.jpg", "grüße_日本.jpg", "film%FF.avi_0.jpg"} <= names


NAMES = [os.fsdecode(name) for name in (*GOOD.values(), b"\\\xff\\", rb"\\udcff", rb"\n", b"\\\n", b"\\udc8", b"%FF")]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_written_so_that_it_can_be_read_again(name: str) -> None:
    assert unescaped(escaped(name)) == name
    assert escaped(name).encode()
    assert name_shown(shown_name(name)) == name
    assert shown_name(name).isprintable()
    assert os.fsencode(json.loads(json.dumps(name))) == os.fsencode(name)


def test_two_names_are_never_written_alike() -> None:
    assert len({escaped(name) for name in NAMES}) == len({shown_name(name) for name in NAMES}) == len(set(NAMES))


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), cv2.error("x"), MemoryError(), RecursionError("deep"), KeyError(3)]
)
def test_an_error_that_nobody_expected_is_the_items(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    preparer = Preparer((Orient(), Resize(64)))

    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(preparer.preprocess, "decode", failing)
    found = prepare_item(Encoded("a.jpg", b"x"), preparer)
    assert isinstance(found, Broken)
    assert found.error.message.startswith(f"a.jpg: an error of the program ({type(error).__name__}: ")


def test_an_error_while_it_is_read_is_the_items(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("lost")

    monkeypatch.setattr("fieldlens.runtime.sources.item.read_image", failing)
    found = prepare_item(File("a.jpg", tmp_path), Preparer((Orient(), Resize(64))))
    assert isinstance(found, Broken)


def test_a_source_that_fails_half_way_does_not_take_the_next_one_with_it(
    monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    def failing(pattern: str, **_: object) -> Iterator[str]:
        raise OSError(5, "Input/output error", pattern)

    monkeypatch.setattr("glob.glob", failing)
    found = list(Sources([f"{tmp_path}/*.jpg", str(pictures)]))
    assert sum(isinstance(item, Broken) for item in found) == 1
    assert len(found) == 8


def test_an_entry_that_cannot_be_looked_at_is_named(monkeypatch: pytest.MonkeyPatch, pictures: Path) -> None:
    real = os.DirEntry

    class Failing:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path = entry.name, entry.path

        def is_symlink(self) -> bool:
            if self.name == "grey.png":
                raise OSError(5, "Input/output error", self.path)
            return False

        def is_dir(self, **_: object) -> bool:
            return False

        def stat(self) -> os.stat_result:
            return Path(self.path).stat()

    scandir = os.scandir

    class Listed:
        def __init__(self, place: str) -> None:
            with scandir(place) as entries:
                self.entries = [Failing(entry) for entry in entries]

        def __enter__(self) -> list[Failing]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    assert real is not None
    monkeypatch.setattr(os, "scandir", Listed)
    found = walk(pictures)
    assert len(found.images) == 6
    assert [Path(error.filename).name for error in found.failed] == ["grey.png"]


@pytest.mark.parametrize("names", [[""], ["a.jpg", ""]])
def test_a_source_without_a_name_is_refused(names: list[str]) -> None:
    with pytest.raises(SourceError, match="a source without a name"):
        Sources(names)


@pytest.mark.parametrize(
    "name", ["http://\0x/", "http://h/\x1b", "rtsp://h\udcff/", "/dev/v4l/by-id/\0", "/dev/video0\n", "http://h/ü"]
)
def test_an_address_with_signs_that_none_can_hold(name: str) -> None:
    with pytest.raises(SourceError, match="not an address"):
        parse_address(name)
