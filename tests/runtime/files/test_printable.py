"""No name forges a line: what people read shows escapes, what programs read is exact."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.errors import KitError, SourceError
from fieldlens.runtime.files.printable import html_text, json_text, printable, printable_lines
from fieldlens.runtime.output.people import HumanSink
from fieldlens.runtime.output.sinks import CsvSink
from fieldlens.runtime.pixels import drawing
from fieldlens.runtime.prediction import Failure, Notice, json_line
from fieldlens.runtime.sources.cameras.address import parse_address
from tests.runtime.conftest import ORIGIN, jpeg, scene, tiny_manifest
from tests.runtime.test_classify import run

EVIL = {
    "a\nforged.jpg  no-sign-found  Clear 99.9%.jpg": "\\n",
    "b\rcarriage.jpg": "\\r",
    "c\x1b[2Jclears the screen.jpg": "\\x1b",
    "d\u202egpj.exe.jpg": "\\u202e",
    "e\u2066isolate.jpg": "\\u2066",
    "f\x85next line.jpg": "\\x85",
    "g\x9bc1.jpg": "\\x9b",
    "h\ttab.jpg": "\\t",
    "i\u2028separator.jpg": "\\u2028",
    "j\u200bnothing.jpg": "\\u200b",
    "k\x7fdelete.jpg": "\\x7f",
    os.fsdecode(b"l\xff\xfebytes.jpg"): "\\udcff",
    '=cmd|"calc"!A1,m.jpg': "=cmd",
    "n<script>alert(1)</script>.jpg".replace("/", "\u2215"): "<script>",
}
UGLY = "Sign\n\x1b[31m\u202ered"


def is_clean(text: str) -> bool:
    """Nothing but newlines steers whatever shows this."""
    return not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_shown_on_one_line_with_escapes(name: str) -> None:
    shown = printable(name)
    assert is_clean(shown)
    assert "\n" not in shown
    assert EVIL[name] in shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    "name", ["山田\u3000太郎.jpg", "müller, äö.jpg", "नमस्ते.jpg", "a b\u00a0c", "C:\\x\\n.jpg", "😀"]
)
def test_names_of_all_languages_stay_as_they_are(name: str) -> None:
    assert printable(name) == name
    assert json.loads(json_text(name)) == name


@pytest.mark.parametrize("name", EVIL)
def test_json_is_exact_and_on_one_line(name: str) -> None:
    text = json_text({"source": name})
    assert json.loads(text) == {"source": name}
    assert is_clean(text)
    assert len(text.splitlines()) == 1
    assert json.loads(json_text({"source": name}, indent=2)) == {"source": name}


def test_a_page_holds_no_markup_and_no_direction_from_names() -> None:
    assert html_text("<b>\u202e&\n") == "&lt;b&gt;\\u202e&amp;\\n"


def test_further_lines_of_a_message_are_indented_so_that_no_name_passes_for_a_hint() -> None:
    assert printable_lines("a\nhint: forged\x1b\n  b") == "a\n  hint: forged\\x1b\n  b"


def test_an_errors_names_forge_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise KitError("a.jpg\nhint: all is well\x1b[2J", "look\nerror: again")

    assert run_cli(fails) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == ["error", "hint"]
    assert is_clean("\n".join(lines))


def test_csv_keeps_every_name_that_is_utf8(tmp_path: Path) -> None:
    """A newline is inside of quotes. Formulas are not disarmed: names must be those of the files (docs/runtime.md)."""
    sink = CsvSink(tmp_path / "r.csv", tiny_manifest(), ORIGIN)
    for name in EVIL:
        sink.write(Failure(name, "broken"))
    sink.close()
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        found = [row["source"] for row in csv.DictReader(file)]
    assert found == [name.encode("utf-8", "backslashreplace").decode() for name in EVIL]


def test_lines_for_people_hold_one_input_each(tmp_path: Path) -> None:
    stream = io.StringIO()
    sink = HumanSink(1, stream)
    for name in EVIL:
        sink.write(Failure(name, f"{name}: cannot be read\nOK"))
        sink.write(Notice(name, "lost", f"camera lost: {name}"))
        assert json.loads(json_line(Failure(name, name), ORIGIN))["source"] == name
    assert len(stream.getvalue().splitlines()) == 2 * len(EVIL)
    assert is_clean(stream.getvalue())


def test_the_live_views_card_and_bar_write_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("fieldlens.runtime.pixels.drawing.cv2.putText", lambda image, text, *_: written.append(text))
    drawing.card(f"{UGLY}: camera lost")
    drawing._write(np.zeros((8, 8, 3), np.uint8), UGLY, 1, 1)
    assert written
    assert is_clean("".join(written))
    assert not any("\n" in text for text in written)


def test_a_bundle_whose_class_names_could_forge_lines_is_refused(copy: Path, basic: Sequence[object]) -> None:
    value: dict[str, Any] = json.loads((copy / "manifest.json").read_text())
    value["classes"][1]["display"] = UGLY
    (copy / "manifest.json").write_text(json.dumps(value))
    done = run("classify", copy, *basic, "--bundle", copy)
    assert done.returncode == 2
    assert is_clean(done.stdout + done.stderr)


def test_a_whole_run_over_evil_names(basic: Sequence[object], tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in EVIL:
        (folder / name).write_bytes(jpeg(scene(1, 120, 160)))
    (folder / "z\nbroken.jpg").write_bytes(b"no image")
    (folder / f"{'long' * 62}.jpg").write_bytes(jpeg(scene(1, 120, 160)))
    done = run(
        "classify", folder, *basic, "--json", out / "r.jsonl", "--csv", out / "r.csv",
        "--report", out / "r.html", "--overlays", out / "maps", "--top-k", 2,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    expected = sorted(str(folder / name) for name in [*EVIL, "z\nbroken.jpg", f"{'long' * 62}.jpg"])
    assert is_clean(done.stdout + done.stderr)
    answers = [line for line in done.stdout.splitlines() if re.search(r" ms$|  not classified: ", line)]
    assert len(answers) == len(expected)
    assert not re.search(r"^\s*forged", done.stdout, flags=re.MULTILINE)
    found = [json.loads(line) for line in (out / "r.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(each["source"] for each in found) == expected
    page = (out / "r.html").read_text(encoding="utf-8")
    assert is_clean(page)
    assert "\\nbroken.jpg" in page
    assert "z\nbroken.jpg" in json.loads((out / "r.json").read_text(encoding="utf-8"))["run"]["failures"][0]["source"]
    maps = [path.name for path in (out / "maps").iterdir()]
    assert len(maps) == len(EVIL) + 1
    assert all(is_clean(name) and "\n" not in name for name in maps)


def test_a_cameras_name_forges_nothing_either() -> None:
    name = "http://cam/\u202evideo?x=1"
    with pytest.raises(SourceError, match="not an address"):
        parse_address(name)
    stream = io.StringIO()
    HumanSink(1, stream).write(Notice(name, "lost", "camera lost"))
    assert is_clean(stream.getvalue())
