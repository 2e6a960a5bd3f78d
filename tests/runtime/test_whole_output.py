"""Nothing that was written is lost or half a line: full disks, kills, rotation."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldlens.runtime.prediction import Failure, json_line
from tests.runtime.conftest import ORIGIN
from tests.runtime.test_classify import command, lines, run, wait_for

ROOT = Path(__file__).parents[2]


def small_disk() -> None:
    """No file beyond 40 kB, as if the disk were full then."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_ends_the_run_in_good_order(
    basic: Sequence[object], many: Path, tmp_path: Path, workers: int
) -> None:
    results = tmp_path / "r.jsonl"
    done = subprocess.run(
        command("classify", many, *basic, "--workers", workers, "--json", results),
        cwd=ROOT, preexec_fn=small_disk, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "df -h" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ended by a result that could not be written" in done.stdout
    assert 10 < len(lines(results)) < 400
    assert results.read_bytes().endswith(b"\n")


def test_standard_output_into_a_full_file_holds_whole_lines(
    basic: Sequence[object], many: Path, tmp_path: Path
) -> None:
    results = tmp_path / "r.jsonl"
    with results.open("w") as file:
        done = subprocess.run(
            command("classify", many, *basic, "--json", "-"),
            cwd=ROOT, preexec_fn=small_disk, stdout=file, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert len(lines(results)) > 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_lines_for_people_onto_a_full_device(basic: Sequence[object], pictures: Path) -> None:
    with Path("/dev/full").open("w") as file:
        done = subprocess.run(
            command("classify", pictures, *basic), cwd=ROOT, stdout=file, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode != 0
    assert "No space left" in done.stderr


def kill_while_writing(basic: Sequence[object], many: Path, results: Path, size: int) -> None:
    before = results.stat().st_size if results.exists() else 0
    arguments = command("classify", *[many] * 40, *basic, "--json", results, "--rotate", "100M", "--workers", 1)
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: results.exists() and results.stat().st_size > before + size)
        process.kill()
        process.wait(10)


def test_kill_minus_nine_leaves_whole_lines_and_the_next_run_goes_on(
    basic: Sequence[object], many: Path, tmp_path: Path
) -> None:
    results = tmp_path / "r.jsonl"
    counts = []
    for round_ in range(5):
        kill_while_writing(basic, many, results, 3_000 + 7_001 * round_)
        counts.append(len(lines(results)))
        assert results.read_bytes().endswith(b"\n")
    assert counts == sorted(counts)


def test_a_half_line_of_a_power_cut_is_repaired_by_the_next_run(
    basic: Sequence[object], pictures: Path, tmp_path: Path
) -> None:
    results = tmp_path / "r.jsonl"
    results.write_text(json_line(Failure("earlier", "broken"), ORIGIN) + '{"source": "hal')
    run("classify", pictures, *basic, "--json", results, "--rotate", "1M")
    found = lines(results)
    assert found[0]["source"] == "earlier"
    assert len(found) == 8


def test_files_rotate_and_all_lines_are_there(basic: Sequence[object], many: Path, tmp_path: Path) -> None:
    done = run(
        "classify", many, *basic, "--json", tmp_path / "r.jsonl", "--csv", tmp_path / "r.csv", "--rotate", "20k",
        "--keep", 50,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    files = sorted(
        tmp_path.glob("r.jsonl*"), key=lambda path: -int(path.suffix[1:] if path.suffix[1:].isdigit() else 0)
    )
    assert len(files) > 5
    assert all(path.stat().st_size <= 20_000 for path in files)
    found = [line for path in files for line in lines(path)]
    assert [Path(each["source"]).name for each in found] == [f"{index}.jpg" for index in range(400)]
    for path in tmp_path.glob("r.csv*"):
        assert path.read_text().startswith("time_utc,clock,source,outcome,")
