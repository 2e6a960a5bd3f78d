"""Runs that go on: workers, watched folders, full disks, kills, rotation, systemd."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.output import sinks as output
from fieldlens.runtime.view.live import LiveView
from tests.processes import resident_mb
from tests.runtime.conftest import jpeg, scene
from tests.runtime.test_classify import command, lines, run, wait_for, write_video

ROOT = Path(__file__).parents[2]


def answers(path: Path) -> list[tuple[str, Any, Any, Any]]:
    """What does not depend on the clock."""
    return [(each["source"], each["outcome"], each["probabilities"], each["error"]) for each in lines(path)]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing_but_the_time(basic: Sequence[object], many: Path, tmp_path: Path, workers: int) -> None:
    for number in (0, workers):
        done = run("classify", many, *basic, "--workers", number, "--json", tmp_path / f"{number}.jsonl")
        assert done.returncode == 3, done.stderr
    found = answers(tmp_path / f"{workers}.jsonl")
    assert found == answers(tmp_path / "0.jsonl")
    assert [Path(each[0]).name for each in found] == [f"{index}.jpg" for index in range(400)]
    assert sum(each[3] is not None for each in found) == 2


def test_with_workers_the_total_holds_the_wait(basic: Sequence[object], many: Path, tmp_path: Path) -> None:
    run("classify", many, *basic, "--workers", 2, "--json", tmp_path / "r.jsonl", "--limit", 50)
    for result in lines(tmp_path / "r.jsonl"):
        stages = result["latency_ms"]
        parts = sum(stages[stage] for stage in ("decode", "preprocess", "inference", "postprocess", "wait"))
        assert stages["total"] == pytest.approx(parts, abs=0.01)


def test_a_videos_frames_are_the_same_with_workers(basic: Sequence[object], tmp_path: Path) -> None:
    """Their buffers are reused: a frame that was overwritten too early would show here."""
    write_video(tmp_path / "clip.avi", 150)
    for number in (0, 2):
        run("classify", tmp_path / "clip.avi", *basic, "--workers", number, "--json", tmp_path / f"{number}.jsonl")
    assert len(lines(tmp_path / "0.jsonl")) == 150
    assert answers(tmp_path / "2.jsonl") == answers(tmp_path / "0.jsonl")


def test_a_video_that_ends_early_says_so(basic: Sequence[object], tmp_path: Path) -> None:
    write_video(tmp_path / "whole.avi", 100)
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    done = run("classify", tmp_path / "cut.avi", *basic)
    assert "cut short or damaged" in done.stdout


@pytest.mark.parametrize("workers", [0, 2])
def test_one_path_in_one_answer_out(basic: Sequence[object], pictures: Path, tmp_path: Path, workers: int) -> None:
    """Whoever feeds standard input may wait for each answer before naming the next image."""
    arguments = command("classify", "-", *basic, "--workers", workers, "--json", "-")
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in ("grey.png", "scene-0.jpg", "rgba.png"):
            process.stdin.write(f"{pictures / name}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["source"] == str(pictures / name)
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_workers_and_everything_is_written(
    basic: Sequence[object], many: Path, tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    results = tmp_path / "r.jsonl"
    arguments = command(
        "classify", *[many] * 40, *basic, "--workers", workers, "--json", results, "--report", tmp_path / "r.html"
    )
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: results.exists() and results.stat().st_size > 120_000)
        process.send_signal(number)
        assert process.wait(10) == 3  # the folder holds two broken files
    report = json.loads((tmp_path / "r.json").read_text())["run"]
    assert report["ended_by"] == number.name
    assert len(lines(results)) == report["images"] + report["failed"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_duration_ends_a_run_to_which_nobody_speaks(basic: Sequence[object], workers: int) -> None:
    with subprocess.Popen(
        command("classify", "-", *basic, "--duration", "0.5", "--workers", workers),
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.wait(15) == 0


@pytest.mark.parametrize("workers", [2, pytest.param(0, marks=pytest.mark.full)])
def test_a_watched_folder_goes_on(basic: Sequence[object], tmp_path: Path, workers: int) -> None:
    folder, results = tmp_path / "in", tmp_path / "r.jsonl"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(jpeg(scene(1, 120, 160)))
    arguments = command("classify", folder, "--watch", *basic, "--workers", workers, "--json", results)
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: results.exists() and len(results.read_text().splitlines()) == 1)
        data = jpeg(scene(2, 120, 160))
        with (folder / "2.jpg").open("wb") as file:  # slowly, as over a network: it must not be read half
            for start in range(0, len(data), 1 + len(data) // 2):
                file.write(data[start : start + 1 + len(data) // 2])
                file.flush()
                time.sleep(1.3)  # longer than from one look to the next
        (folder / "sub").mkdir()
        (folder / "sub" / "3.jpg").write_bytes(data)
        wait_for(lambda: len(results.read_text().splitlines()) == 3)
        with (folder / "4.jpg").open("wb") as file:  # never complete
            file.write(data[:1000])
            file.flush()
            time.sleep(1.3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 3
    found = lines(results)
    assert sorted(Path(each["source"]).name for each in found) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert [each["error"] for each in found[:3]] == [None] * 3
    assert "4.jpg: not complete when the run ended" in found[3]["error"]


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (("image.jpg", "--watch"), "--watch needs a folder"),
        (("http://127.0.0.1:9/", "folder"), "nothing can come after it"),
        (("http://u:geheim@127.0.0.1:9/",), "does not answer"),
        (("csi://0",), "without GStreamer"),
        (("image.jpg", "--stream", "70000"), "not a port"),
        (("image.jpg", "--rotate", "lots"), "is not a size"),
    ],
)
def test_sources_and_options_that_cannot_work_say_why(
    basic: Sequence[object], sources: tuple[str, ...], words: str
) -> None:
    done = run("classify", *sources, *basic)
    assert done.returncode == 2
    assert words in done.stderr
    assert "geheim" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_show_without_a_window_names_the_other_way(basic: Sequence[object], pictures: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        command("classify", pictures, *basic, "--show"),
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--stream 8080" in done.stderr


# ---------------------------------------------------------------- systemd


def test_systemd_hears_ready_alive_and_stopping(basic: Sequence[object], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(15)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1500000"}
        with subprocess.Popen(
            command("classify", "-", *basic),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as process:
            words = [manager.recv(1000).decode() for _ in range(4)]
            process.send_signal(signal.SIGTERM)
            words.append(manager.recv(1000).decode())
            assert process.wait(10) == 0
    assert words[0].startswith("READY=1\nSTATUS=tiny v3")
    assert words[1:4] == ["WATCHDOG=1"] * 3
    assert words[4] in ("STOPPING=1", "WATCHDOG=1")


# ---------------------------------------------------------------- flat memory


def stays_flat(basic: Sequence[object], folder: Path, results: Path, seconds: float) -> tuple[float, float, int]:
    """Resident MB at a third of the time and at its end, and how many answers there were."""
    arguments = command("classify", *[folder] * 10_000, *basic, "--json", results, "--rotate", "1M", "--keep", 2)
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        end = time.monotonic() + seconds
        early, count = 0.0, 0
        for _ in process.stdout:
            count += 1
            if not early and time.monotonic() > end - 2 * seconds / 3:
                early = resident_mb(process.pid)
            if time.monotonic() > end:
                break
        late = resident_mb(process.pid)
        process.kill()
    return early, late, count


@pytest.mark.parametrize("seconds", [6, pytest.param(600, marks=pytest.mark.full)])
def test_memory_stays_flat(basic: Sequence[object], many: Path, tmp_path: Path, seconds: float) -> None:
    early, late, count = stays_flat(basic, many, tmp_path / "r.jsonl", seconds)
    print(f"\n{count} answers in {seconds} s: {early:.1f} MB after a third of the time, {late:.1f} MB at its end")
    assert late < early + 5


def test_a_window_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldlens.runtime.view.live.has_window", lambda: False)
    with pytest.raises(KitError, match="no window"):
        LiveView(None, window=True, port=None)  # type: ignore[arg-type]


def test_a_rotation_is_off_unless_asked_for() -> None:
    assert output.Rotation() == output.Rotation(None, 10)
