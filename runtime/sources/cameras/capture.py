"""A camera behind a process that can be killed: the parent's side of capture_process.py."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.machine.opencv_build import GSTREAMER_HINT, has
from fieldlens.runtime.pixels.preprocess import Pixels
from fieldlens.runtime.sources.cameras.address import Address
from fieldlens.runtime.sources.cameras.capture_process import SLOTS, Spec
from fieldlens.runtime.sources.cameras.health import Mark
from fieldlens.runtime.sources.cameras.link import Shot
from fieldlens.runtime.sources.item import Frame
from fieldlens.runtime.sources.timing import Timing

_OPEN_S = 12.0
"""The first image of a CSI camera takes seconds: its daemon starts the sensor and settles the exposure."""
_ROOT = Path(__file__).parents[4]
"""Where `fieldlens` lies."""
_SAMPLE = 8
_BLACK, _WHITE = 24, 232
_LINGERING: list[subprocess.Popen[bytes]] = []
"""Killed, and still inside a driver: kept so that they are reaped once the driver lets go."""
_APPSINK = "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"


def spec_for(address: Address) -> Spec:
    """What OpenCV shall open. Raises SourceError: missing, not permitted, or a build without GStreamer."""
    if address.kind == "csi":
        if not has("GStreamer"):
            raise SourceError(f"{address.name}: this OpenCV was built without GStreamer", GSTREAMER_HINT)
        return Spec("gstreamer", csi_pipeline(address))
    if address.kind == "rtsp":
        if not has("FFMPEG") and has("GStreamer"):
            return Spec("gstreamer", rtsp_pipeline(address))
        return Spec("ffmpeg", address.target)
    check_access(address.target)
    return Spec("v4l2", address.target, address.width, address.height, address.fps)


def csi_pipeline(address: Address) -> str:
    """Jetson's ISP, scaled on its own hardware, only the newest frame kept."""
    width, height, fps = address.width or 1280, address.height or 720, address.fps or 30
    return (
        f"nvarguscamerasrc sensor-id={address.target} "
        f"! video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1,format=NV12 "
        f"! nvvidconv ! video/x-raw,format=BGRx ! {_APPSINK}"
    )


def rtsp_pipeline(address: Address) -> str:
    """For an OpenCV without FFmpeg. Late packets are dropped, not waited for."""
    return f'rtspsrc location="{address.target}" latency=100 drop-on-latency=true ! decodebin ! {_APPSINK}'


def check_access(device: str) -> None:
    """Raises SourceError with the command that fixes it."""
    if not Path(device).exists():
        raise SourceError(f"{device}: there is no such camera", "plug it in, or list cameras: v4l2-ctl --list-devices")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(f"{device}: no permission", "sudo usermod -aG video $USER, then log in again")


def holders(device: str, processes: Path = Path("/proc")) -> list[str]:
    """Which processes have the device open, as ``name (pid)``; only those that this user may look into."""
    found = []
    for folder in processes.glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        try:
            links = {str(link.readlink()) for link in (folder / "fd").iterdir()}
            if os.path.realpath(device) in links:
                found.append(f"{(folder / 'comm').read_text().strip()} ({folder.name})")
        except OSError:  # another user's, or just gone
            continue
    return found


COMMAND = (sys.executable, "-m", "fieldlens.runtime.sources.cameras.capture_process")
"""The process that reads a camera; it reads which on its standard input, because arguments are everybody's to see."""


def order_for(spec: Spec) -> bytes:
    """The first line of that process's standard input."""
    return json.dumps(asdict(spec)).encode() + b"\n"


class ProcessLink:
    """The running process. ``command`` gets the descriptors of the shared memory and of the pipe as arguments, and
    ``order`` on its standard input."""

    def __init__(self, address: Address, command: Sequence[str], order: bytes = b"") -> None:
        self._address = address
        self._memory = _shared_memory()
        self._words, theirs = os.pipe()
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [*command, str(self._memory), str(theirs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._memory, theirs),
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C in a terminal is for us; we end the process
        )
        os.close(theirs)
        if order and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it ended already: the first read says so
                os.write(self._process.stdin.fileno(), order)
        self._pending = b""
        self._places: list[Pixels] = []
        self._open_until = time.monotonic() + _OPEN_S
        self.opening = True

    def _map(self, shape: list[int]) -> None:
        room = mmap.mmap(self._memory, 0)
        self._places = list(np.frombuffer(room, np.uint8).reshape(SLOTS, *shape))

    def read(self, timeout_s: float) -> Shot | None:
        """The next frame that the process wrote: a view of shared memory, valid until its ``release``."""
        word = self._word(timeout_s)
        if word is not None and word["kind"] == "format":
            self._map(word["shape"])
            self.opening = False
        if self.opening and time.monotonic() > self._open_until:
            raise SourceError(f"{self._address.name}: no image for {_OPEN_S:.0f} s after opening", self._hint())
        if word is None or word["kind"] != "frame":
            return None
        frame_bgr = self._places[word["slot"]]
        number, timing = word["number"], Timing(decode_ms=word["ms"], captured_at=word["captured"])
        image = Frame(f"{self._address.name}#{number}", frame_bgr, timing)
        return Shot(number, image, mark_of(frame_bgr), self._giver_back(word["slot"]))

    def _giver_back(self, slot: int) -> Callable[[], None]:
        def give_back() -> None:
            stream = self._process.stdin
            if stream is not None and not stream.closed:
                try:
                    os.write(stream.fileno(), bytes([slot]))
                except OSError:  # it ended: the next read says so
                    return

        return give_back

    def _word(self, timeout_s: float) -> dict[str, Any] | None:
        """One message; raises SourceError for the last one, or when there will be none."""
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._words], [], [], timeout_s)
            if not ready:
                return None
            block = os.read(self._words, 65_536)
            if not block:
                raise SourceError(f"{self._address.name}: the process that reads the camera ended", self._hint())
            self._pending += block
        line, _, self._pending = self._pending.partition(b"\n")
        word: dict[str, Any] = json.loads(line)
        if word["kind"] == "failed":
            raise SourceError(f"{self._address.name}: {word['reason']}{self._busy()}", self._hint())
        return word

    def _busy(self) -> str:
        if self._address.kind != "v4l2":
            return ""
        others = holders(self._address.target)
        return f": busy, used by {', '.join(others)}" if others else " (busy, or not a camera)"

    def _hint(self) -> str:
        device = self._address.target
        return {
            "v4l2": f"see who uses it: fuser -v {device}; what it can: v4l2-ctl -d {device} --list-formats-ext",
            "csi": "fieldlens doctor says what is missing; else look at its ribbon cable, and restart its daemon: "
            "sudo systemctl restart nvargus-daemon",
        }.get(self._address.kind, "try the address with: ffplay -rtsp_transport tcp URL")

    def interrupt(self) -> None:
        """Kill the process: its end of the pipe closes, and a read sees that."""
        self._process.kill()

    def close(self) -> None:
        """Kill it. A process that hangs in a driver dies when the driver lets go; it is not waited for."""
        self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            _LINGERING.append(self._process)
        _LINGERING[:] = [process for process in _LINGERING if process.poll() is None]
        for descriptor in (self._words, self._memory):
            if descriptor >= 0:
                os.close(descriptor)
        self._words = self._memory = -1


def mark_of(frame_bgr: Pixels) -> Mark:
    """Every eighth pixel, both ways: enough to tell two exposures of a real sensor apart, and 20 kB at 1080p."""
    sample = np.ascontiguousarray(frame_bgr[::_SAMPLE, ::_SAMPLE])
    pixels = sample.reshape(-1, sample.shape[-1])
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    flat = bool((low == high).all())
    return Mark(zlib.crc32(sample.tobytes()), flat, odd=flat and not (high.max() <= _BLACK or low.min() >= _WHITE))


def _shared_memory() -> int:
    """A descriptor of memory without a name: nothing is left behind, whoever is killed."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fieldlens-frames")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
