"""A decoder in a process of its own: same pixels, and whatever happens to it, the next file is decoded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.killable_decoder import KillableDecoder
from fieldlens.runtime.pixels.opencv_decoder import decode_bgr
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Resize
from tests.processes import alive
from tests.runtime.bombs import empty_deflate, lossless_groups, png_of, rows, webp_of
from tests.runtime.conftest import png, scene
from tests.runtime.decode_worker import ROOT

GOOD = cv2.imencode(".webp", np.asarray(scene(1, 90, 120)))[1].tobytes()
ENDED_S = 5.0


@pytest.fixture(scope="module")
def decoder() -> Iterator[KillableDecoder]:
    decoder = KillableDecoder()
    yield decoder
    decoder.close()


def ask(decoder: KillableDecoder, data: bytes, seconds: float = 2.0, memory_bytes: int = 10**8) -> Any:
    return decoder.decode_bgr(data, "x", unchanged=False, seconds=seconds, memory_bytes=memory_bytes)


def child(decoder: KillableDecoder) -> int:
    process = decoder._process
    assert process is not None
    return process.pid


def test_it_gives_the_same_pixels(decoder: KillableDecoder) -> None:
    for data in (GOOD, png(scene(2)), png(scene(3)[..., 0].astype(np.uint16) * 256)):
        for unchanged in (False, True):
            there = decoder.decode_bgr(data, "x", unchanged=unchanged, seconds=2.0, memory_bytes=10**8)
            here = decode_bgr(data, "x", unchanged=unchanged)
            assert there.dtype == here.dtype
            assert np.array_equal(there, here)


def test_lossless_webp_goes_through_it_and_nothing_ordinary_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ImageError("elsewhere", "-")

    monkeypatch.setattr("fieldlens.runtime.pixels.killable_decoder.SHARED.decode_bgr", refuse)
    preprocess = Preprocess((Resize(64),))
    with pytest.raises(ImageError, match="elsewhere"):
        preprocess.from_bytes(GOOD, "x")
    picture = np.asarray(scene(2, 600, 800))
    for ending in (".png", ".bmp", ".tif"):
        assert preprocess.from_bytes(cv2.imencode(ending, picture)[1].tobytes(), "x").any()
    assert preprocess.from_bytes(cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 90])[1].tobytes(), "x").any()


def test_a_file_that_takes_too_long_is_stopped(decoder: KillableDecoder) -> None:
    before = time.process_time()
    with pytest.raises(ImageError, match=r"x: decoding took longer than 0\.2 s"):
        ask(decoder, png_of(100, 100, empty_deflate(1_000_000)), 0.2)
    assert time.process_time() - before < 0.2
    assert ask(decoder, GOOD).shape == (90, 120, 3)


def test_a_file_that_takes_too_much_memory_is_stopped(decoder: KillableDecoder) -> None:
    data = webp_of(lossless_groups(512))
    with pytest.raises(ImageError, match="x: "):
        ask(decoder, data, memory_bytes=8_000_000)
    assert ask(decoder, data, 20.0, memory_bytes=2 * 10**9).shape == (512, 512, 3)


def test_a_process_that_ended_is_started_again(decoder: KillableDecoder) -> None:
    ask(decoder, GOOD)
    first = child(decoder)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert ask(decoder, GOOD).shape == (90, 120, 3)
    assert child(decoder) != first


def test_a_process_that_ends_during_a_file_is_an_error_of_that_file(decoder: KillableDecoder) -> None:
    ask(decoder, GOOD)
    stream = empty_deflate(4_000_000)[:-3] + zlib.compress(rows(100, 100))[2:]
    killer = threading.Thread(target=kill_when_busy, args=(child(decoder),))
    killer.start()
    with pytest.raises(ImageError, match="x: decoding made the decoder fail"):
        ask(decoder, png_of(100, 100, stream), 30.0)
    killer.join()
    assert ask(decoder, GOOD).shape == (90, 120, 3)


def kill_when_busy(pid: int) -> None:
    """End it as a fault in a decoder would, as soon as it has worked for a tenth of a second more."""
    ticks = os.sysconf("SC_CLK_TCK")

    def worked_s() -> float:
        return float(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11]) / ticks

    start = worked_s()
    while worked_s() < start + 0.1:
        time.sleep(0.01)
    os.kill(pid, signal.SIGSEGV)


def test_several_threads_may_ask(decoder: KillableDecoder) -> None:
    files = [cv2.imencode(".webp", np.asarray(scene(seed, 90, 120)))[1].tobytes() for seed in range(4)]
    wrong: list[int] = []

    def work(number: int) -> None:
        expected = decode_bgr(files[number], "x", unchanged=False)
        wrong.extend(number for _ in range(8) if not np.array_equal(ask(decoder, files[number]), expected))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closing_leaves_no_child() -> None:
    decoder = KillableDecoder()
    ask(decoder, GOOD)
    pid = child(decoder)
    decoder.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "good.webp").write_bytes(GOOD)
    code = (
        "import sys, time; from fieldlens.runtime.pixels.killable_decoder import SHARED\n"
        "SHARED.decode_bgr(open(sys.argv[1], 'rb').read(), 'x', unchanged=False, seconds=9, memory_bytes=10**8)\n"
        "print(SHARED._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "good.webp")], cwd=ROOT, stdout=-1) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
    until = time.monotonic() + ENDED_S
    while time.monotonic() < until and alive(pid):
        time.sleep(0.05)
    assert not alive(pid)
