"""The process that reads a camera: frames through shared memory, and an end whatever it hangs in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.machine import opencv_build
from fieldlens.runtime.prediction import Notice
from fieldlens.runtime.sources.cameras import capture
from fieldlens.runtime.sources.cameras.address import Address, parse_address
from fieldlens.runtime.sources.cameras.camera import Camera
from fieldlens.runtime.sources.cameras.capture import (
    COMMAND,
    ProcessLink,
    csi_pipeline,
    holders,
    mark_of,
    order_for,
    rtsp_pipeline,
    spec_for,
)
from fieldlens.runtime.sources.cameras.capture_process import SLOTS, Spec, captured_at
from fieldlens.runtime.sources.cameras.link import Shot
from fieldlens.runtime.sources.item import Frame, News
from tests.processes import alive

ROOT = Path(__file__).parents[4]
ADDRESS = Address("rtsp://test", "rtsp", "rtsp://test")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of noise whose mean red tells the number."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240))
    rng = np.random.default_rng(0)
    for number in range(40):
        writer.write(np.clip(rng.normal(40 + 4 * number, 5, (240, 320, 3)), 0, 255).astype(np.uint8))
    writer.release()
    return path


def child(body: str) -> list[str]:
    """A process that talks like capture_process.py, as ``body`` says; 8×8 images."""
    code = f"""
import json, mmap, os, sys, time
memory, words = int(sys.argv[1]), int(sys.argv[2])
os.ftruncate(memory, {SLOTS} * 192)
room = mmap.mmap(memory, 0)
def say(**word): os.write(words, (json.dumps(word) + "\\n").encode())
def frame(number, slot):
    room[slot * 192 : slot * 192 + 192] = os.urandom(192)
    say(kind="frame", slot=slot, number=number, captured=time.monotonic(), ms=0.5)
{body}
"""
    return [sys.executable, "-c", code]


def shots(link: ProcessLink, count: int) -> list[Shot]:
    found: list[Shot] = []
    end = time.monotonic() + 20
    while len(found) < count and time.monotonic() < end:
        shot = link.read(0.2)
        if shot is not None:
            found.append(shot)
            shot.release()
    return found


def test_frames_come_as_long_as_places_are_given_back(clip: Path) -> None:
    link = ProcessLink(ADDRESS, COMMAND, order_for(Spec("ffmpeg", str(clip))))
    seen: list[int] = []
    try:
        with pytest.raises(SourceError, match="stopped delivering"):
            seen.extend(looked_at(link))
    finally:
        link.close()
    assert seen == sorted(seen)
    assert len(seen) > SLOTS


def looked_at(link: ProcessLink) -> Iterator[int]:
    """The numbers of all frames, each checked while it is ours."""
    while True:
        shot = link.read(0.2)
        if shot is not None:
            frame, timing = shot.image, shot.image.timing
            assert isinstance(frame, Frame)
            assert frame.frame_bgr.shape == (240, 320, 3)
            assert timing.decode_ms > 0
            assert timing.captured_at is not None
            assert 0 <= time.monotonic() - timing.captured_at < 5
            assert float(frame.frame_bgr.mean()) == pytest.approx(40 + 4 * (shot.number - 1), abs=3)
            yield shot.number
            shot.release()


def test_without_free_places_frames_are_dropped_and_held_ones_stay_as_they_are(clip: Path) -> None:
    link = ProcessLink(ADDRESS, COMMAND, order_for(Spec("ffmpeg", str(clip))))
    try:
        held: list[Shot] = []
        with pytest.raises(SourceError, match="stopped delivering"):
            held.extend(shot for shot in iter(lambda: link.read(0.2), ...) if shot is not None)
        assert len(held) == SLOTS
        for shot in held:
            assert isinstance(shot.image, Frame)
            assert float(shot.image.frame_bgr.mean()) == pytest.approx(40 + 4 * (shot.number - 1), abs=3)
    finally:
        link.close()


FAULTS = {
    "hangs": ("say(kind='format', shape=[8, 8, 3]); frame(1, 0); time.sleep(1000)", "no image for"),
    "dies": ("say(kind='format', shape=[8, 8, 3]); frame(1, 0); time.sleep(0.5); os._exit(1)", "process .* ended"),
    "segfaults": (
        "say(kind='format', shape=[8, 8, 3]); frame(1, 0); time.sleep(0.5); os.kill(os.getpid(), 11)",
        "process .* ended",
    ),
    "says so": (
        "say(kind='format', shape=[8, 8, 3]); frame(1, 0); time.sleep(0.5); say(kind='failed', reason='unplugged')",
        "unplugged",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_camera_whose_process_fails_is_noticed_within_three_seconds_and_opened_again(fault: str) -> None:
    body, words = FAULTS[fault]
    good = "say(kind='format', shape=[8, 8, 3])\nn = 0\nwhile True:\n  n += 1; frame(n, n % 3); time.sleep(0.05)"
    commands = iter([child(body)])

    def open_it(address: Address) -> ProcessLink:
        return ProcessLink(address, next(commands, child(good)))

    with Camera(ADDRESS, open_it) as camera:
        first = camera.take(5.0)
        assert isinstance(first, Frame)
        assert first.timing.captured_at is not None
        lost = next_notice(camera)
        noticed = time.monotonic() - first.timing.captured_at
        assert lost.event == "lost"
        assert re.search(words, lost.message)
        assert noticed < 3.0
        assert next_notice(camera).event == "recovered"
        assert isinstance(camera.take(5.0), Frame)
    assert camera.log.lost == camera.log.reopened == 1


def next_notice(camera: Camera) -> Notice:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        got = camera.take(0.2)
        if isinstance(got, News):
            return got.notice
    raise AssertionError("no notice came")


def test_an_opening_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_OPEN_S", 0.5)
    start = time.monotonic()
    with pytest.raises(SourceError, match="after opening"):
        Camera(ADDRESS, lambda address: ProcessLink(address, child("time.sleep(1000)")))
    assert time.monotonic() - start < 3


def test_the_process_ends_with_its_parent_even_while_it_hangs(clip: Path) -> None:
    """``kill -9`` on us must leave no process that keeps the camera."""
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from fieldlens.runtime.sources.cameras.address import Address
from fieldlens.runtime.sources.cameras.capture import COMMAND, ProcessLink, order_for
from fieldlens.runtime.sources.cameras.capture_process import Spec
link = ProcessLink(Address("x", "rtsp", "x"), COMMAND, order_for(Spec("ffmpeg", {str(clip)!r})))
while link.read(0.2) is None: pass
print(link._process.pid, flush=True)
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 5
    while alive(process):
        assert time.monotonic() < end
        time.sleep(0.05)


def picture(change: Callable[[np.ndarray], None] = lambda frame: None, level: int = 90) -> np.ndarray:
    frame = np.full((480, 640, 3), level, np.uint8)
    change(frame)
    return frame


def test_marks_tell_images_apart_and_know_flat_ones() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    assert mark_of(noise) == mark_of(noise.copy())
    assert mark_of(noise) != mark_of(noise[::-1])
    assert not mark_of(noise).flat
    green = np.full((480, 640, 3), (0, 135, 0), np.uint8)
    assert mark_of(green).odd
    assert mark_of(picture(level=0)).flat
    assert not mark_of(picture(level=0)).odd
    assert not mark_of(picture(level=255)).odd


def without_gstreamer(feature: str, information: str | None = None) -> bool:
    return feature != "GStreamer"


def test_a_csi_camera_without_gstreamer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "has", without_gstreamer)
    address = parse_address("csi://0")
    assert address is not None
    with pytest.raises(SourceError, match="without GStreamer") as caught:
        spec_for(address)
    assert "apt install python3-opencv" in caught.value.hint
    assert "--system-site-packages" in caught.value.hint


def test_the_csi_pipeline_keeps_only_the_newest_frame() -> None:
    address = parse_address("csi://1?width=640&height=480&fps=60")
    assert address is not None
    assert csi_pipeline(address) == (
        "nvarguscamerasrc sensor-id=1 "
        "! video/x-raw(memory:NVMM),width=640,height=480,framerate=60/1,format=NV12 "
        "! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR "
        "! appsink drop=true max-buffers=1 sync=false"
    )


def test_rtsp_takes_ffmpeg_and_gstreamer_only_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    address = Address("rtsp://cam/1", "rtsp", "rtsp://cam/1")
    assert spec_for(address) == Spec("ffmpeg", "rtsp://cam/1")
    monkeypatch.setattr(capture, "has", lambda feature: feature == "GStreamer")
    assert spec_for(address) == Spec("gstreamer", rtsp_pipeline(address))
    assert "drop-on-latency=true" in rtsp_pipeline(address)


def test_a_missing_and_a_forbidden_device_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="no such camera") as caught:
        spec_for(Address("v4l2://9", "v4l2", str(tmp_path / "video9")))
    assert "v4l2-ctl --list-devices" in caught.value.hint
    (tmp_path / "video0").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SourceError, match="no permission") as caught:
        spec_for(Address("v4l2://0", "v4l2", str(tmp_path / "video0")))
    assert "usermod -aG video" in caught.value.hint


def test_a_busy_device_names_who_has_it(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    code = f"import time; file = open({str(device)!r}); print('open', flush=True); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert any(f"({other.pid})" in each for each in holders(str(device)))
        address = Address("v4l2://0", "v4l2", str(device))
        with pytest.raises(SourceError, match=rf"busy, used by .*\({other.pid}\)") as caught:
            Camera(address, lambda where: ProcessLink(where, COMMAND, order_for(spec_for(where))))
        assert f"fuser -v {device}" in caught.value.hint
        other.kill()


class Stamped:
    """A capture that says when its driver took the frame."""

    def __init__(self, milliseconds: float) -> None:
        self.milliseconds = milliseconds

    def get(self, setting: int) -> float:
        assert setting == cv2.CAP_PROP_POS_MSEC
        return self.milliseconds


@pytest.mark.parametrize(
    ("api", "stamp", "expected"),
    [("v4l2", 99.95, 99.95), ("v4l2", 0.0, 100.0), ("v4l2", 1.7e9, 100.0), ("ffmpeg", 99.95, 100.0)],
)
def test_the_drivers_stamp_counts_where_it_is_of_our_clock(api: str, stamp: float, expected: float) -> None:
    assert captured_at(Stamped(stamp * 1e3), api, 100.0) == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "feature", "expected"),
    [
        (["    GStreamer:                   YES (1.20.3)"], "GStreamer", True),
        (["    GStreamer:                   NO"], "GStreamer", False),
        (["    v4l/v4l2:                    YES (linux/videodev2.h)"], "v4l/v4l2", True),
        ([], "FFMPEG", False),
    ],
)
def test_opencvs_build_is_read_from_its_own_words(lines: Sequence[str], feature: str, expected: bool) -> None:
    assert opencv_build.has(feature, "\n".join(lines)) is expected


@pytest.mark.parametrize(
    ("gui", "display", "expected"),
    [("NONE", ":0", False), ("QT5", ":0", True), ("GTK3", ":0", True), ("QT5", "", False)],
)
def test_a_window_needs_a_build_and_a_display(
    monkeypatch: pytest.MonkeyPatch, gui: str, display: str, expected: bool
) -> None:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert opencv_build.has_window(f"  GUI:                           {gui}\n") is expected


def test_the_specs_words_survive_the_way_to_the_process() -> None:
    spec = Spec("gstreamer", 'a "b" ! c\n', 1, 2, 3)
    assert order_for(spec).count(b"\n") == 1
    assert Spec(**json.loads(order_for(spec))) == spec
