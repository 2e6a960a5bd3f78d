"""The times of one image, from its source to its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple


class Timing(NamedTuple):
    """Travels with an image. Its source makes it, and each step returns it with its own time added. A tuple, because
    three are made for every image and a frozen dataclass costs several times as much.

    ``began`` (``time.perf_counter``, s): when the work on the image began, which is the reading of its file or of its
    video's frame; None: when it was taken up, less ``decode_ms``. ``decode_ms``: reading and decoding, so far.
    ``captured_at`` (``time.monotonic``, s): when a camera took it; None: not from a camera.
    """

    began: float | None = None
    decode_ms: float = 0.0
    captured_at: float | None = None
    frame_age_ms: float | None = None
    """How old a camera's frame was when it was taken up."""
    preprocess_ms: float = 0.0
    overlapped: bool = False
    """Prepared by a thread that works ahead, so that the image may have waited for its turn."""
    taken_at: float = 0.0
    """When it was taken up (``time.perf_counter``, s)."""
    step_at: float = 0.0
    """When its last step ended."""

    def taken_up(self, *, overlapped: bool = False) -> Timing:
        """Decoding, or of a frame preprocessing, begins now."""
        now = time.perf_counter()
        age_ms = None if self.captured_at is None else (time.monotonic() - self.captured_at) * 1e3
        began = now - self.decode_ms / 1e3 if self.began is None else self.began
        return self._replace(began=began, frame_age_ms=age_ms, overlapped=overlapped, taken_at=now, step_at=now)

    def decoded(self) -> Timing:
        """Decoding has ended."""
        now = time.perf_counter()
        return self._replace(decode_ms=self.decode_ms + _ms(self.step_at, now), step_at=now)

    def preprocessed(self) -> Timing:
        """The tensor is ready."""
        now = time.perf_counter()
        return self._replace(preprocess_ms=_ms(self.step_at, now), step_at=now)

    def latency_ms(
        self, start: float, inferred: float, resumed: float, done: float, measured_ms: Mapping[str, float]
    ) -> dict[str, float]:
        """Where the time went, by ``prediction.STAGES``: the network ran from ``start`` to ``inferred``, its outputs
        were looked at from ``resumed`` on, and the answer was ``done`` (``time.perf_counter``, s). ``measured_ms``:
        what the backend measured of its own stages.

        ``total`` begins with the image's bytes and includes any waiting for its turn.
        """
        total_ms = _ms(done if self.began is None else self.began, done)
        copies_ms = measured_ms.get("host_to_device", 0.0) + measured_ms.get("device_to_host", 0.0)
        latency_ms = {
            "decode": self.decode_ms,
            "preprocess": self.preprocess_ms,
            **measured_ms,
            "inference": max(_ms(start, inferred) - copies_ms, 0.0),
            "postprocess": _ms(resumed, done),
            "total": total_ms,
        }
        between_ms = max(
            total_ms - self.decode_ms - self.preprocess_ms - _ms(start, inferred) - _ms(resumed, done), 0.0
        )
        if self.overlapped:
            latency_ms["wait"] = between_ms
        else:
            latency_ms["preprocess"] += between_ms  # microseconds, from one call to the next
        if self.frame_age_ms is not None:  # it holds the decoding of a frame that came decoded
            latency_ms |= {
                "frame_age": self.frame_age_ms,
                "camera_to_answer": self.frame_age_ms + _ms(self.taken_at, done),
            }
        return latency_ms


def _ms(start: float, end: float) -> float:
    return (end - start) * 1e3
