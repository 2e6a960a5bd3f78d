"""The commands as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.benchmarks.cli import main
from fieldlens.benchmarks.device.compare import session
from fieldlens.benchmarks.device.compare.comparison import Comparison
from fieldlens.benchmarks.device.compare.lane import ROOT
from fieldlens.benchmarks.device.machine import surroundings
from fieldlens.benchmarks.device.machine.quiet import Quiet
from fieldlens.benchmarks.device.record import record
from fieldlens.benchmarks.record.page import render
from fieldlens.runtime.errors import KitError

Run = Callable[..., int]
Capture = pytest.CaptureFixture[str]
CALM = Quiet(2, load_1min=0.1, reference_ms=[4.0, 4.0, 4.0])
BUSY = Quiet(2, load_1min=7.0)


def under(comparison: Comparison, quiet: Quiet) -> Comparison:
    """The same figures on another machine."""
    return Comparison(comparison.rows, comparison.reference, quiet, comparison.settings, comparison.threads)


@pytest.fixture
def compare_like(bundle_folder: Path, labelled: Path, comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command with measured figures put in its hands, under ``quiet``."""

    def run(quiet: Quiet, *arguments: str) -> int:
        monkeypatch.setattr(session, "measure", lambda *_: under(comparison, quiet))
        return main([*arguments, "--bundle", str(bundle_folder), "--images", str(labelled)])

    return run


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, fieldlens.benchmarks.cli; fieldlens.benchmarks.cli.build_parser(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "fieldlens.benchmarks.cli" in loaded
    assert not {"numpy", "torch", "cv2", "openvino", "matplotlib"} & set(loaded)


def test_json_lines_come_last_one_per_contender(
    compare_like: Run, comparison: Comparison, tmp_path: Path, capsys: Capture
) -> None:
    assert compare_like(CALM, "compare", "--json", str(tmp_path / "l.jsonl"), "--out", str(tmp_path / "out")) == 0
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in printed.splitlines()[-len(comparison.rows) :]]
    assert [line["contender"] for line in lines] == [row.contender.name for row in comparison.rows]
    ours, documents = (next(x for x in lines if x["contender"] == n) for n in (comparison.reference, "documents"))
    assert ours["ratio_to_ours"] == 1
    low, high = documents["ratio_interval"]
    assert low <= documents["ratio_to_ours"] <= high
    assert 0 < documents["p50_ms"] <= documents["p99_ms"]
    assert all(line["valid"] for line in lines)
    absent = next(line for line in lines if line["contender"] == "tensorrt-enqueue")
    assert (absent["p50_ms"] is None) == bool(absent["note"])
    assert "VALID" in printed
    assert (tmp_path / "l.jsonl").read_text() == printed[-len((tmp_path / "l.jsonl").read_text()) :]
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    assert kept == {"table.txt", "compare.jsonl", "bars.png", "conditions.json", "raw.json"}
    assert (tmp_path / "out" / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_a_busy_machine_ends_with_4_and_says_why(compare_like: Run, capsys: Capture) -> None:
    assert compare_like(BUSY, "compare") == 4
    printed = capsys.readouterr().out
    assert "INVALID" in printed
    assert "load average 7.00" in printed
    assert json.loads(printed.splitlines()[-1])["valid"] is False


def test_record_keeps_a_device_and_the_page_shows_it(compare_like: Run, tmp_path: Path, capsys: Capture) -> None:
    results = tmp_path / "results"
    options = ["--results", str(results), "--power-mode", "15 W", "--name", "bench"]
    without = [word for part in ("roofline", "training", "conversion") for word in ("--without", part)]
    assert compare_like(CALM, "record", *options, *without) == 0
    facts = json.loads((results / "bench" / "conditions.json").read_text())
    assert facts["conditions"]["power_mode"] == "15 W (as stated)"
    assert facts["quiet"]["valid"] is True
    page = render(results, tmp_path / "docs" / "page.md")
    assert "15 W (as stated)" in page
    assert "| documents |" in page
    assert "(../results/bench/bars.png)" in page
    (results / ".half.tmp").mkdir()  # what a killed `record` leaves
    (results / ".half.tmp/conditions.json").write_bytes((results / "bench/conditions.json").read_bytes())
    assert render(results, tmp_path / "docs" / "page.md") == page
    with pytest.raises(KitError, match="there already"):
        compare_like(CALM, "record", *options)


def test_record_refuses_a_busy_machine_and_keeps_nothing(compare_like: Run, tmp_path: Path, capsys: Capture) -> None:
    results = tmp_path / "results"
    assert compare_like(BUSY, "record", "--results", str(results), "--power-mode", "15 W") == 4
    assert "load average 7.00" in capsys.readouterr().out
    assert list(results.iterdir()) == []


def test_record_takes_over_a_comparison_of_this_device_only(compare_like: Run, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    assert compare_like(CALM, "compare", "--out", str(earlier)) == 0
    without = [word for part in ("roofline", "training", "conversion") for word in ("--without", part)]
    options = ["record", "--results", str(tmp_path / "results"), "--power-mode", "15 W", "--comparison", str(earlier)]
    assert compare_like(BUSY, *options, "--name", "bench", *without) == 0
    kept = tmp_path / "results/bench"
    assert (kept / "raw.json").read_bytes() == (earlier / "raw.json").read_bytes()
    assert json.loads((kept / "conditions.json").read_text())["conditions"]["power_mode"] == "15 W (as stated)"
    facts = json.loads((earlier / "conditions.json").read_text())
    facts["conditions"]["cpu"] = "another"
    (earlier / "conditions.json").write_text(json.dumps(facts))
    with pytest.raises(KitError, match="another cpu"):
        compare_like(CALM, *options, "--name", "other")
    facts["quiet"]["valid"] = False
    (earlier / "conditions.json").write_text(json.dumps(facts))
    with pytest.raises(KitError, match="INVALID"):
        compare_like(CALM, *options, "--name", "other")
    with pytest.raises(KitError, match="no comparison"):
        compare_like(CALM, *options[:-1], str(tmp_path / "nowhere"), "--name", "other")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["bench"]


def test_a_part_that_is_never_quiet_is_left_out_and_the_comparison_kept(
    compare_like: Run, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def busy_then_quiet(part: str, *_: object) -> dict[str, int]:
        asked.append(part)
        if part == "training" or asked.count(part) == 1:
            raise record.NotQuiet(part, BUSY)
        return {"seconds": 1}

    monkeypatch.setattr(record, "_part", busy_then_quiet)
    options = ["--results", str(tmp_path), "--power-mode", "15 W", "--name", "bench", "--without", "roofline"]
    assert compare_like(CALM, "record", *options) == 0
    assert asked == ["training"] * 3 + ["conversion"] * 2
    assert (tmp_path / "bench" / "conversion.json").is_file()
    assert not (tmp_path / "bench" / "training.json").exists()
    assert "recorded without training" in capsys.readouterr().out


def test_a_part_that_was_missing_is_measured_and_the_others_are_taken_over(
    compare_like: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training_is_never_quiet(part: str, *_: object) -> dict[str, object]:
        if part == "training":
            raise record.NotQuiet(part, BUSY)
        return {"first": True, "conditions": surroundings.surroundings("15 W")}

    options = ["--results", str(tmp_path), "--power-mode", "15 W"]
    monkeypatch.setattr(record, "_part", training_is_never_quiet)
    assert compare_like(CALM, "record", *options, "--name", "first") == 0
    asked: list[str] = []

    def quiet_now(part: str, *_: object) -> dict[str, bool]:
        asked.append(part)
        return {"again": True}

    monkeypatch.setattr(record, "_part", quiet_now)
    again = [*options, "--comparison", str(tmp_path / "first")]
    assert compare_like(BUSY, "record", *again, "--name", "whole") == 0
    assert asked == ["training"]
    for part, key in (("roofline", "first"), ("training", "again"), ("conversion", "first")):
        assert json.loads((tmp_path / "whole" / f"{part}.json").read_text())[key] is True
    asked.clear()
    assert compare_like(CALM, "record", *again, "--name", "less", "--without", "roofline", "--without", "training") == 0
    assert not asked
    assert not (tmp_path / "less/roofline.json").exists()
    assert (tmp_path / "less/conversion.json").exists()
    alien = json.loads((tmp_path / "first/roofline.json").read_text())
    alien["conditions"]["kernel"] = "another"
    (tmp_path / "first/roofline.json").write_text(json.dumps(alien))
    with pytest.raises(KitError, match=r"roofline\.json was measured with another kernel"):
        compare_like(CALM, "record", *again, "--name", "other")
    (tmp_path / "first/roofline.json").write_text("{}")
    with pytest.raises(KitError, match=r"roofline\.json is no recorded part"):
        compare_like(CALM, "record", *again, "--name", "other")


def test_record_refuses_unknown_conditions(compare_like: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("_profile", "_governor"):
        monkeypatch.setattr(surroundings, name, lambda *_: None)
    with pytest.raises(KitError, match="power_mode") as error:
        compare_like(CALM, "record", "--results", str(tmp_path))
    assert "--power-mode" in error.value.hint


def test_folder_names_are_plain() -> None:
    around = {"device": "NVIDIA Jetson Orin Nano", "cpu": "ARMv8 (rev 1)"}
    assert record.folder_name(around, 6) == "nvidia-jetson-orin-nano-armv8-rev-1-6-threads"


def test_the_page_is_what_the_results_say() -> None:
    assert main(["docs", "--check"]) == 0


def test_an_old_page_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("old")
    with pytest.raises(KitError, match="is not what"):
        main(["docs", "--check", "--out", str(page)])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--labels", "x.csv"], "--labels needs"),
        (["--images", "no-such-folder"], "is not a folder"),
    ],
)
def test_wrong_images_are_refused(arguments: list[str], word: str, bundle_folder: Path) -> None:
    with pytest.raises(KitError, match=word):
        main(["compare", "--bundle", str(bundle_folder), *arguments])


def test_a_wrong_label_is_named(bundle_folder: Path, labelled: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("image,label\n0.jpg,othr\n")
    with pytest.raises(KitError, match="'othr'"):
        main(["compare", "--bundle", str(bundle_folder), "--images", str(labelled), "--labels", str(table)])
