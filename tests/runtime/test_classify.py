"""``python -m runtime`` as a user meets it: processes, files, exit codes."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.runtime.conftest import BROKEN, jpeg, scene

ROOT = Path(__file__).parents[2]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "runtime", *map(str, arguments)]


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, input=stdin, check=False)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def basic(bundle_folder: Path, tmp_path: Path) -> Sequence[object]:
    return ("--bundle", bundle_folder, "--state", tmp_path / "state", "--backend", "fake")


def test_a_folder_with_every_output(bundle_folder: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(
        "classify", pictures, "--bundle", bundle_folder, "--state", tmp_path / "state", "--backend", "openvino",
        "--json", out / "r.jsonl", "--csv", out / "r.csv", "--report", out / "r.html", "--overlays", out / "maps",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = lines(out / "r.jsonl")
    assert [Path(r["source"]).name for r in results] == [
        "exif-rotated.jpg", "grey.png", "rgba.png", *(f"scene-{i}.jpg" for i in range(4)),
    ]  # fmt: skip
    for result in results:
        assert set(result) >= {"source", "outcome", "probabilities", "latency_ms", "error"}
        assert sum(result["probabilities"].values()) == pytest.approx(1)
        assert result["error"] is None
        stages = result["latency_ms"]
        parts = sum(stages[stage] for stage in ("decode", "preprocess", "inference", "postprocess"))
        assert stages["total"] == pytest.approx(parts, abs=0.01)
    rows = list(csv.DictReader((out / "r.csv").read_text().splitlines()))
    assert [float(row["p_sign"]) for row in rows] == pytest.approx([r["probabilities"]["sign"] for r in results])
    assert len(list((out / "maps").glob("*.jpg"))) == 7
    report = json.loads((out / "r.json").read_text())
    assert report["run"]["images"] == 7
    assert report["backend"]["precision"] in ("fp32", "int8")
    assert report["conditions"]["start"]["cores"] >= 1
    page = (out / "r.html").read_text()
    assert "capture/decode" in page
    assert "http" not in page.replace("http-equiv", "")
    for word in (
        "stage (ms)",
        "total",
        "a second",
        "half within",
        "openvino",
        "threads",
        "files left out because their names are not of images: 1",
    ):
        assert word in done.stdout


def test_three_bad_files_among_a_hundred(basic: Sequence[object], tmp_path: Path) -> None:
    folder = tmp_path / "hundred"
    folder.mkdir()
    good = jpeg(scene(1, 120, 160))
    for index in range(97):
        (folder / f"{index:03d}.jpg").write_bytes(good)
    names = ["truncated.jpg", "zero-bytes.jpg", "not-an-image.png"]
    for name in names:
        (folder / name).write_bytes(BROKEN[name]())
    done = run("classify", folder, *basic, "--json", tmp_path / "r.jsonl")
    results = lines(tmp_path / "r.jsonl")
    assert done.returncode == 3
    assert sum(result["error"] is None for result in results) == 97
    assert {Path(result["source"]).name for result in results if result["error"]} == set(names)
    reported = done.stdout.split("inputs that could not be classified: 3\n")[1]
    for name in names:
        assert reported.count(name) == 1


def test_only_bad_inputs_exit_with_two(basic: Sequence[object], broken: Path) -> None:
    done = run("classify", broken / "zero-bytes.jpg", "missing.jpg", *basic)
    assert done.returncode == 2
    assert "error: no input could be classified (of 2)" in done.stderr
    assert "hint: " in done.stderr


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no-such-*.jpg", "nothing matches"),
        ("/dev/video99", "no such camera"),
        ("v4l2://77", "v4l2://77: no image from this camera: /dev/video77: there is no such camera"),
        ("ftp://camera", "unknown kind of source"),
        ("no-such-folder/image.jpg", "no such file"),
    ],
)
def test_a_source_that_is_none_says_so(basic: Sequence[object], source: str, words: str) -> None:
    done = run("classify", source, *basic)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_folder_says_so(basic: Sequence[object], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("classify", tmp_path / "empty", *basic)
    assert done.returncode == 2
    assert "no images in this folder" in done.stderr


def test_globs_lists_and_limits(basic: Sequence[object], pictures: Path, tmp_path: Path) -> None:
    run("classify", f"{pictures}/scene-*.jpg", *basic, "--json", tmp_path / "glob.jsonl")
    assert len(lines(tmp_path / "glob.jsonl")) == 4
    listed = f"{pictures}/grey.png\n\n{pictures}/scene-1.jpg\n"
    done = run("classify", "-", *basic, "--json", "-", stdin=listed)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(result["source"]).name for result in results] == ["grey.png", "scene-1.jpg"]
    assert "2 images in" in done.stderr
    run("classify", pictures, *basic, "--limit", 2, "--json", tmp_path / "two.jsonl")
    assert len(lines(tmp_path / "two.jsonl")) == 2


def write_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for index in range(frames):
        writer.write(scene(index, 120, 160))
    writer.release()


def test_every_frame_of_a_video(basic: Sequence[object], tmp_path: Path) -> None:
    write_video(tmp_path / "clip.avi", 12)
    done = run("classify", tmp_path / "clip.avi", *basic, "--json", tmp_path / "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert [result["source"].split("#")[1] for result in lines(tmp_path / "r.jsonl")] == [str(i) for i in range(12)]


def test_a_video_that_is_none(basic: Sequence[object], tmp_path: Path) -> None:
    (tmp_path / "clip.avi").write_bytes(b"no video")
    done = run("classify", tmp_path / "clip.avi", *basic)
    assert done.returncode == 2
    assert "not a video" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_report(basic: Sequence[object], tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    data = jpeg(scene(1, 1200, 1600))
    for index in range(3000):
        (folder / f"{index:04d}.jpg").write_bytes(data) if index < 5 else (folder / f"{index:04d}.jpg").hardlink_to(
            folder / f"{index % 5:04d}.jpg"
        )
    results = tmp_path / "r.jsonl"
    arguments = command("classify", folder, *basic, "--json", results, "--report", tmp_path / "r.html")
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(lambda: results.exists() and results.stat().st_size > 0)
    process.send_signal(number)
    assert process.wait(10) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["run"]["ended_by"] == number.name
    assert len(lines(results)) == report["run"]["images"] < 3000


def test_a_signal_ends_a_run_that_waits_for_input(basic: Sequence[object], pictures: Path, tmp_path: Path) -> None:
    results = tmp_path / "r.jsonl"
    arguments = command("classify", "-", *basic, "--json", results)
    process = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(f"{pictures}/grey.png\n")
    process.stdin.flush()
    wait_for(lambda: results.exists() and results.stat().st_size > 0)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "ended by SIGINT" in output


def wait_for(condition: Any, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_a_duration_ends_an_endless_run(basic: Sequence[object], tmp_path: Path) -> None:
    write_video(tmp_path / "clip.avi", 2000)
    done = run("classify", tmp_path / "clip.avi", *basic, "--duration", "0.2", "--json", tmp_path / "r.jsonl")
    assert done.returncode == 0
    assert "ended by --duration 0.2" in done.stdout
    assert len(lines(tmp_path / "r.jsonl")) < 2000


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--limit", "0"), "not a positive number"),
        (("--duration", "-1"), "not a positive number"),
        (("--backend", "tensorflow"), "did you mean tensorrt?"),
        (("--report", "report.txt"), "not an HTML file's name"),
    ],
)
def test_wrong_options_are_refused(
    basic: Sequence[object], pictures: Path, option: tuple[str, str], words: str
) -> None:
    done = run("classify", pictures, *basic, *option)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_bad_bundle_is_refused_before_anything_is_written(copy: Path, pictures: Path, tmp_path: Path) -> None:
    (copy / "extra.txt").write_text("x")
    kept = tmp_path / "r.jsonl"
    kept.write_text("earlier results\n")
    done = run("classify", pictures, "--bundle", copy, "--state", tmp_path, "--json", kept)
    assert done.returncode == 2
    assert "error: copy.bundle: extra.txt is not listed" in done.stderr
    assert "hint: " in done.stderr
    assert kept.read_text() == "earlier results\n"


def test_info_and_selftest(bundle_folder: Path, tmp_path: Path) -> None:
    shown = run("info", bundle_folder)
    assert shown.returncode == 0
    for word in ("tiny", "sign   Sign      0.500", "resize", "refer when", "files", "fp32"):
        assert word in shown.stdout
    assert json.loads(run("info", bundle_folder, "--json").stdout)["name"] == "tiny"
    tested = run(
        "selftest", bundle_folder, "--backend", "onnxruntime", "--precision", "fp32", "--json", "--state", tmp_path
    )
    assert json.loads(tested.stdout)["passed"] is True
    assert tested.returncode == 0
    failed = run("selftest", bundle_folder, "--backend", "fake", "--state", tmp_path)
    assert failed.returncode == 2
    assert "FAILED" in failed.stdout


def test_a_closed_pipe_is_no_error(basic: Sequence[object], pictures: Path) -> None:
    arguments = " ".join(f"'{part}'" for part in command("classify", *[pictures] * 30, *basic))
    done = subprocess.run(
        ["bash", "-c", f"{arguments} | head -1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_results_do_not_depend_on_the_order(basic: Sequence[object], pictures: Path, tmp_path: Path) -> None:
    names = [str(path) for path in sorted(pictures.glob("*.*")) if path.suffix != ".txt"]
    tables = []
    for order in (names, names[::-1]):
        run("classify", *order, *basic, "--json", tmp_path / "r.jsonl")
        tables.append({r["source"]: tuple(r["probabilities"].values()) for r in lines(tmp_path / "r.jsonl")})
    assert tables[0] == tables[1]
    assert len(set(tables[0].values())) == len(names)


def test_overlay_of_a_retake_shows_no_class(tmp_path: Path, copy: Path, pictures: Path) -> None:
    """With an impossible contrast limit every image is a retake: one panel, and advice in place of the class."""
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["quality"] = {"limits": {"contrast": [1e9, None]}, "bounds": {}}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = run(
        "classify", pictures / "scene-0.jpg", "--bundle", copy, "--backend", "fake", "--state", tmp_path,
        "--overlays", tmp_path / "maps", "--json", tmp_path / "r.jsonl",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = lines(tmp_path / "r.jsonl")
    assert result["outcome"] == "retake"
    assert sum(result["probabilities"].values()) == pytest.approx(1)
    assert "clean the lens" in done.stdout
    assert "Sign" not in done.stdout
    image = cv2.imdecode(np.fromfile(next((tmp_path / "maps").glob("*.jpg")), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[1] == 480
