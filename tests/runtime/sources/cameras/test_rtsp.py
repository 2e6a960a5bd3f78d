"""RTSP through the real FFmpeg in OpenCV, in the process that can be killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldlens.runtime.machine.opencv_build import has
from tests.runtime.cameras import camera, watching
from tests.runtime.test_classify import command, wait_for

pytestmark = pytest.mark.skipif(not has("FFMPEG"), reason="this OpenCV has no FFmpeg")
FPS = 30


@pytest.fixture
def options(bundle_folder: Path, tmp_path: Path) -> Sequence[object]:
    return ("--bundle", bundle_folder, "--state", tmp_path / "state", "--backend", "fake", "--json", "-")


@pytest.mark.parametrize(("mode", "words"), [("silent", "no image for"), ("cut", "")])
def test_frames_come_a_fault_is_noticed_and_it_recovers(options: Sequence[object], mode: str, words: str) -> None:
    with camera(FPS, "rtsp") as filmed:
        url = f"rtsp://nurse:geheim@127.0.0.1:{filmed.port}/stream"
        with watching(command("classify", url, *options)) as watched:
            wait_for(lambda: len(watched.answers) > 60)
            began = time.monotonic()
            filmed.tell(mode)
            wait_for(lambda: bool(watched.events("lost")))
            second, event = watched.events("lost")[0]
            assert second - began <= 3.0
            assert words in event["message"]
            filmed.tell("ok")
            before = len(watched.answers)
            wait_for(lambda: len(watched.answers) > before + 10)
            assert watched.events("recovered")
            watched.process.send_signal(signal.SIGTERM)
            assert watched.process.wait(15) == 0
    print(f"\nRTSP, {mode}: noticed after {second - began:.2f} s: {event['message']}")
    assert all(line["source"].startswith("rtsp://nurse:…@127.0.0.1:") for _, line in watched.lines)
    assert watched.latencies_ms("decode").max() > 0
