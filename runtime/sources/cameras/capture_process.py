"""The process that reads a camera through OpenCV, started by capture.py.

A process of its own, because a ``read()`` that hangs in a driver cannot be interrupted, and a process can be killed.
Frames go into shared memory, in one of SLOTS places that the parent lends and takes back; words go through a pipe.
"""

from __future__ import annotations

import json
import mmap
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from fieldlens.runtime.pixels.preprocess import Pixels

SLOTS = 3
"""One that is being written, the newest one, and one that is being looked at."""
_RTSP_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|max_delay;200000"
_V4L2_WAIT_S = 2
_OLDEST_STAMP_S = 5.0


@dataclass(frozen=True)
class Spec:
    """What to open. ``api`` is ``v4l2``, ``gstreamer`` or ``ffmpeg``; ``target`` a path, a pipeline or a URL."""

    api: str
    target: str = field(repr=False)
    width: int = 0
    height: int = 0
    fps: int = 0


def open_capture(spec: Spec) -> cv2.VideoCapture:
    """Open it. The caller asks ``isOpened``."""
    if spec.api == "gstreamer":
        return cv2.VideoCapture(spec.target, cv2.CAP_GSTREAMER)
    if spec.api == "ffmpeg":
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _RTSP_OPTIONS)
        return cv2.VideoCapture(spec.target, cv2.CAP_FFMPEG)
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(_V4L2_WAIT_S))
    capture = cv2.VideoCapture(spec.target, cv2.CAP_V4L2)
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # before the size: V4L2 wants it so
    wishes = ((cv2.CAP_PROP_FRAME_WIDTH, spec.width), (cv2.CAP_PROP_FRAME_HEIGHT, spec.height))
    for setting, value in (*wishes, (cv2.CAP_PROP_FPS, spec.fps)):
        if value:
            capture.set(setting, value)
    return capture


def captured_at(capture: cv2.VideoCapture, api: str, now: float) -> float:
    """Monotonic seconds. V4L2's driver stamps its buffers with that clock, and OpenCV hands the stamp on."""
    if api == "v4l2":
        stamp = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
        if 0 <= now - stamp < _OLDEST_STAMP_S:  # else: a driver with another clock, or none
            return stamp
    return now


class Reader:
    """Grabs for ever; decodes a frame where the parent has lent a place for it, and drops it where not."""

    def __init__(self, spec: Spec, memory: int, words: int) -> None:
        self._spec = spec
        self._memory = memory
        self._words = words
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        threading.Thread(target=self._take_back, name="places", daemon=True).start()  # before opening, which may hang
        self._capture = open_capture(spec)
        self._places: list[Pixels] = []
        self._number = 0

    def run(self) -> None:
        """Until the camera fails; the last word says how."""
        if not self._capture.isOpened():
            self._say(kind="failed", reason="it cannot be opened")
            return
        self._say(kind="opened")
        missed_since = 0.0
        while True:
            if not self._capture.grab():
                missed_since = missed_since or time.monotonic()
                if time.monotonic() - missed_since > 1.0:
                    self._say(kind="failed", reason="it stopped delivering")
                    return
                time.sleep(0.01)
                continue
            missed_since = 0.0
            self._hand_over(captured_at(self._capture, self._spec.api, time.monotonic()))

    def _hand_over(self, captured: float) -> None:
        """Decode the grabbed frame into a free place; without one, it is dropped here, not decoded."""
        self._number += 1
        if self._places and self._free.empty():
            return
        slot = self._free.get() if self._places else 0
        wanted = self._places[slot] if self._places else None
        start = time.monotonic()
        found, frame_bgr = self._capture.retrieve(wanted) if self._places else self._capture.retrieve()
        if not found or frame_bgr is None:
            if self._places:
                self._free.put(slot)
            return
        place = self._make_places(frame_bgr) if wanted is None else wanted
        if frame_bgr.shape != place.shape:
            raise ValueError(f"the image changed from {place.shape} to {frame_bgr.shape}")
        if not np.shares_memory(frame_bgr, place):
            place[:] = frame_bgr
        elapsed_ms = (time.monotonic() - start) * 1e3
        self._say(kind="frame", slot=slot, number=self._number, captured=captured, ms=elapsed_ms)

    def _make_places(self, frame_bgr: Pixels) -> Pixels:
        """Now that the size is known: room for SLOTS frames, the first of which is taken."""
        os.ftruncate(self._memory, SLOTS * frame_bgr.nbytes)
        room = mmap.mmap(self._memory, SLOTS * frame_bgr.nbytes)
        pixels = np.frombuffer(room, np.uint8).reshape(SLOTS, *frame_bgr.shape)
        self._places = list(pixels)
        for slot in range(1, SLOTS):
            self._free.put(slot)
        self._say(kind="format", shape=list(frame_bgr.shape))
        return self._places[0]

    def _take_back(self) -> None:
        """Places come back as single bytes on standard input; its end means that the parent is gone."""
        while slots := os.read(0, 64):
            for slot in slots:
                self._free.put(slot)
        os._exit(0)  # at once: the main thread may hang in the driver

    def _say(self, **word: Any) -> None:
        os.write(self._words, (json.dumps(word) + "\n").encode())


def main() -> None:
    """Arguments: the shared memory's and the pipe's descriptors. The spec is the first line of standard input."""
    memory, words = int(sys.argv[1]), int(sys.argv[2])
    order = b""
    while not order.endswith(b"\n"):
        byte = os.read(0, 1)  # not a byte more: places follow
        if not byte:
            return
        order += byte
    Reader(Spec(**json.loads(order)), memory, words).run()


if __name__ == "__main__":
    main()
