"""A camera read by a thread of its own, which keeps only the newest frame: an answer is never about the past."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2

from runtime.errors import SourceError
from runtime.preprocess import Pixels

_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Shot:
    """A frame, uint8 BGR ``[H,W,3]``, when it was captured (monotonic seconds), and the ms its decoding took."""

    frame_bgr: Pixels
    captured_at: float
    acquired_ms: float


class Camera:
    """A V4L2 camera in MJPG. Raises SourceError when it cannot be opened or stays silent for 3 s."""

    def __init__(self, device: str) -> None:
        self._device = device
        _check_access(device)
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(
                f"{device}: the camera cannot be opened (busy, or not a camera)",
                f"see who uses it: fuser -v {device}; list cameras: v4l2-ctl --list-devices",
            )
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))  # before the size: V4L2 wants it so
        self.dropped = 0
        self._newest: Shot | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._keep_reading, name=f"camera {device}", daemon=True)
        self._thread.start()

    def _keep_reading(self) -> None:
        while not self._stopped:
            if not self._capture.grab():
                time.sleep(0.01)
                continue
            captured = time.monotonic()
            start = time.perf_counter()
            found, frame_bgr = self._capture.retrieve()
            if not found:
                continue
            shot = Shot(frame_bgr, captured, (time.perf_counter() - start) * 1e3)
            with self._changed:
                self.dropped += self._newest is not None
                self._newest = shot
                self._changed.notify()

    def newest(self) -> Shot:
        """Wait for a frame that was not handed out yet."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._newest is not None, _PATIENCE_S) or self._newest is None:
                raise SourceError(
                    f"{self._device}: no frame for {_PATIENCE_S:.0f} s", "check the cable, then start again"
                )
            shot, self._newest = self._newest, None
            return shot

    def __enter__(self) -> Camera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._thread.join(_PATIENCE_S)
        if not self._thread.is_alive():  # a read that hangs keeps the device; releasing it under the thread crashes
            self._capture.release()


def _check_access(device: str) -> None:
    if not Path(device).exists():
        raise SourceError(f"{device}: there is no such camera", "plug it in, or list cameras: v4l2-ctl --list-devices")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(f"{device}: no permission", "sudo usermod -aG video $USER, then log in again")
