"""SIGTERM and SIGINT end every run within three seconds, whatever it waits for, and nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.stopping import END_S
from tests.runtime.cameras import camera
from tests.runtime.hanging import IN_A_LIBRARY, Hanging, Place, chosen, deaf_server, full, in_time, patched, reported
from tests.runtime.test_classify import command, lines, wait_for

TERM, INT = signal.SIGTERM, signal.SIGINT


@pytest.fixture
def place(tmp_path: Path, basic: Sequence[object]) -> Any:
    with ExitStack() as stack:
        yield Place(tmp_path, basic, stack)


# ---------------------------------------------------------------- inputs that do not come: exit 0, with the report


def standard_input(place: Place) -> Hanging:
    run = place.classify("-", "--json", place.folder / "r.jsonl", stdin=subprocess.PIPE)
    assert run.process.stdin is not None
    run.process.stdin.write(f"{place.image}\n".encode())
    run.process.stdin.flush()
    wait_for(lambda: (place.folder / "r.jsonl").exists() and bool(lines(place.folder / "r.jsonl")))
    return run


def after_notes(run: Hanging) -> bytes:
    """The first line on standard output that is no note."""
    assert run.process.stdout is not None
    return next(line for line in iter(run.process.stdout.readline, b"") if not line.startswith(b"note: "))


def hung_read(place: Place, *more: object) -> Hanging:
    """As on a network drive whose server is gone."""
    patch = "from fieldlens.runtime.sources import regular\n"
    patch += f"regular._read_once = lambda path: ({place.touch}, os.read(os.pipe()[0], 1))"
    run = place.classify(place.image, *more, patch=patch)
    place.began()
    return run


def hung_read_with_workers(place: Place) -> Hanging:
    return hung_read(place, "--workers", 2)


def hung_video(place: Place) -> Hanging:
    (place.folder / "clip.mp4").write_bytes(bytes(100))
    patch = f"import cv2\ncv2.VideoCapture = lambda *_: ({place.touch}, {IN_A_LIBRARY})"
    run = place.classify(place.folder / "clip.mp4", patch=patch)
    place.began()
    return run


def hung_video_with_workers(place: Place) -> Hanging:
    (place.folder / "clip.mp4").write_bytes(bytes(100))
    patch = f"import cv2\ncv2.VideoCapture = lambda *_: ({place.touch}, {IN_A_LIBRARY})"
    run = place.classify(place.folder / "clip.mp4", "--workers", 2, patch=patch)
    place.began()
    return run


def deaf_camera(place: Place, scheme: str = "http") -> Hanging:
    port = place.stack.enter_context(deaf_server())
    run = place.classify(f"{scheme}://user:geheim@127.0.0.1:{port}/video", patch=place.opening)
    place.began()
    return run


def deaf_rtsp_camera(place: Place) -> Hanging:
    return deaf_camera(place, "rtsp")


def hung_driver(place: Place) -> Hanging:
    """A camera's process that hears nothing, not even that its parent is gone."""
    child = f"import time; {place.touch}; time.sleep(1000)"
    patch = (
        "import sys\nfrom fieldlens.runtime.sources.cameras import capture, open_link\n"
        f"open_link.COMMAND = (sys.executable, '-c', {child!r})\n"
        "open_link.spec_for = lambda address: capture.Spec('v4l2', address.target)"
    )
    run = place.classify("/dev/video0", patch=patch)
    place.began()
    return run


def camera_that_falls_silent(place: Place) -> Hanging:
    filmed = place.stack.enter_context(camera(30))
    run = place.classify(filmed.url, "--json", place.folder / "r.jsonl")
    wait_for(lambda: (place.folder / "r.jsonl").exists() and len(lines(place.folder / "r.jsonl")) > 5)
    filmed.tell("silent")
    return run


def watcher_who_stops_reading(place: Place) -> Hanging:
    """Of the live view."""
    filmed = place.stack.enter_context(camera(30))
    run = place.classify(filmed.url, "--stream", 0, "--json", place.folder / "r.jsonl")
    assert run.process.stdout is not None
    port = int(after_notes(run).decode().rstrip("/\n").rpartition(":")[2])
    client = place.stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    wait_for(lambda: len(lines(place.folder / "r.jsonl")) > 60)
    return run


def watched_folder(place: Place) -> Hanging:
    (place.folder / "in").mkdir()
    run = place.classify(place.folder / "in", "--watch", "--workers", 1)
    (place.folder / "in" / "1.jpg").write_bytes(place.image.read_bytes())
    assert run.process.stdout is not None
    assert b"1.jpg" in after_notes(run)
    return run


WAITING = [
    (standard_input, INT, True),
    (hung_read, TERM, True),
    (hung_read_with_workers, INT, True),
    (hung_video, TERM, True),
    (hung_video_with_workers, TERM, False),
    (deaf_camera, TERM, True),
    (deaf_rtsp_camera, TERM, True),
    (hung_driver, INT, True),
    (camera_that_falls_silent, TERM, False),
    (watcher_who_stops_reading, TERM, False),
    (watched_folder, TERM, True),
]


@pytest.mark.parametrize(("scenario", "number"), chosen(WAITING))
def test_a_signal_ends_whatever_waits_for_input(
    place: Place, scenario: Callable[[Place], Hanging], number: signal.Signals
) -> None:
    ended = scenario(place).end(number)
    in_time(ended)
    assert ended.code == 0
    assert reported(place.report)["ended_by"] == number.name
    assert "geheim" not in ended.output + ended.error + place.report.with_suffix(".json").read_text()


# ---------------------------------------------------------------- outputs that nobody reads: exit 2, with the report


def full_pipe(place: Place, *more: object, also_errors: bool = False) -> Hanging:
    read, write = os.pipe()
    place.stack.callback(os.close, read)
    names = [place.image] * 3000
    run = place.classify(*names, *more, stdout=write, stderr=write if also_errors else subprocess.PIPE)
    wait_for(lambda: full(write))
    os.close(write)
    return run


def full_pipe_of_json(place: Place) -> Hanging:
    return full_pipe(place, "--json", "-")


def full_pipe_of_everything(place: Place) -> Hanging:
    return full_pipe(place, "--workers", 2, also_errors=True)


def full_fifo(place: Place) -> Hanging:
    fifo = place.folder / "fifo"
    os.mkfifo(fifo)
    handle = os.open(fifo, os.O_RDWR)  # a reader who does not read
    place.stack.callback(os.close, handle)
    run = place.classify(*[place.image] * 3000, "--json", fifo, stdout=subprocess.DEVNULL)
    wait_for(lambda: full(handle))
    return run


UNREAD = [
    (full_pipe, TERM, False),
    (full_pipe_of_json, INT, False),
    (full_pipe_of_everything, TERM, True),
    (full_fifo, TERM, True),
]


@pytest.mark.parametrize(("scenario", "number"), chosen(UNREAD))
def test_a_signal_ends_a_run_whose_output_nobody_reads(
    place: Place, scenario: Callable[[Place], Hanging], number: signal.Signals
) -> None:
    ended = scenario(place).end(number)
    in_time(ended)
    assert ended.code == 2
    if scenario is not full_pipe_of_everything:
        assert "it is full and nobody reads it, and the run was asked to end" in ended.error
    # A signal between two lines ends the run by itself; then it is the summary that nobody reads.
    assert reported(place.report)["ended_by"] in (number.name, f"{number.name}, and a result that could not be written")


def test_an_output_without_a_reader_is_waited_for_until_a_signal(place: Place) -> None:
    fifo = place.folder / "fifo"
    os.mkfifo(fifo)
    patch = (
        "from fieldlens.runtime import commands\nmade = commands.sinks_of\n"
        f"commands.sinks_of = lambda *each: ({place.touch}, made(*each))"
    )
    run = place.classify(place.image, "--json", fifo, patch=patch)
    place.began()
    ended = run.end()
    in_time(ended)
    assert ended.code == -TERM


# ---------------------------------------------------------------- around a run, and what nothing can interrupt


def hung_backend(place: Place) -> Hanging:
    patch = (
        "from fieldlens.runtime.classifier import Classifier\n"
        f"Classifier.answer = lambda self, prepared: ({place.touch}, {IN_A_LIBRARY})"
    )
    run = place.classify(place.image, "--json", place.folder / "r.jsonl", patch=patch)
    place.began()
    return run


def test_what_hangs_in_a_library_is_ended_by_force(place: Place) -> None:
    ended = hung_backend(place).end()
    in_time(ended)
    assert ended.code == 128 + TERM
    assert "\nerror: ended by force after SIGTERM" in ended.error


def test_a_second_signal_ends_at_once(place: Place) -> None:
    ended = hung_backend(place).end(INT, times=2)
    in_time(ended)
    assert ended.seconds < 1.5
    assert ended.code == 128 + INT


@pytest.mark.parametrize("seconds", [0.1, 0.3, *(pytest.param(0.05 * n, marks=pytest.mark.full) for n in range(1, 40))])
@pytest.mark.parametrize("number", [TERM, INT])
def test_a_signal_ends_a_start(place: Place, bundle_folder: Path, number: signal.Signals, seconds: float) -> None:
    """While Python imports, the model loads and the self-test runs."""
    import time

    arguments = command("classify", "-", "--bundle", bundle_folder, "--state", place.folder / "state")
    run = place.run(arguments, stdin=subprocess.PIPE)
    wait_for(lambda: b"classify" in Path(f"/proc/{run.process.pid}/cmdline").read_bytes())
    time.sleep(seconds)
    ended = run.end(number)
    assert ended.seconds < END_S
    assert not ended.left
    if ended.code == 1:  # a Ctrl-C that came before the first line of ours: the interpreter's own words
        assert "Fatal Python error: init_import_site" in ended.error
        return
    assert ended.code in ((0, -TERM) if number == TERM else (0, 130, -INT))


def test_a_signal_while_overlays_are_written_leaves_whole_ones(place: Place) -> None:
    run = place.classify(*[place.image] * 3000, "--overlays", place.folder / "maps", stdout=subprocess.DEVNULL)
    wait_for(lambda: (place.folder / "maps").exists() and len(list((place.folder / "maps").iterdir())) > 20)
    ended = run.end()
    in_time(ended)
    assert ended.code == 0
    maps = list((place.folder / "maps").iterdir())
    assert len(maps) == reported(place.report)["images"]
    assert all(path.read_bytes().endswith(b"\xff\xd9") for path in maps)


def test_a_signal_ends_a_single_stream_run_whose_output_nobody_reads(place: Place) -> None:
    read, write = os.pipe()
    place.stack.callback(os.close, read)
    os.set_blocking(write, False)
    while not full(write):
        os.write(write, bytes(1024))
    os.set_blocking(write, True)
    run = place.classify(place.image, "--mode", "single-stream", stdout=write)
    os.close(write)
    assert run.process.stderr is not None
    said = [run.process.stderr.readline() for _ in range(2)]
    assert said[0].startswith(b"classify: ")
    assert b"in memory" in said[1]
    ended = run.end()
    in_time(ended)
    assert ended.code == 2
    assert reported(place.report)["ended_by"] in ("SIGTERM", "end of input")


@pytest.mark.parametrize("number", [TERM, pytest.param(INT, marks=pytest.mark.full)])
def test_a_signal_ends_calibrating_a_camera_that_hangs(
    place: Place, bundle_folder: Path, number: signal.Signals
) -> None:
    manifest = json.loads((bundle_folder / "manifest.json").read_text())
    assert manifest["quality"] is None  # the command would refuse the bundle, so its camera is opened by hand
    patch = f"from fieldlens.runtime import commands\ncommands.limits_from_json = lambda quality: {{}}\n{place.opening}"
    port = place.stack.enter_context(deaf_server())
    source = f"rtsp://127.0.0.1:{port}/video"
    run = place.run(patched(patch, "calibrate-camera", source, "--bundle", bundle_folder))
    place.began()
    ended = run.end(number)
    in_time(ended)
    assert ended.code == 2
    assert f"error: ended by {number.name}" in ended.error
