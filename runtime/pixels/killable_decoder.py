"""Decode a file in a process that can be killed: for the few whose header cannot tell what decoding will take.

These are lossless WebP, PNG and TIFF with so much deflate that it could be a bomb, and all of DICOM, whose libraries
were not made for damaged files. Started when the first of them comes, and kept; everything else is decoded in this
process, without it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError

_START_S = 30.0
_PATIENCE = 4
"""The process is ended by its own clock, which counts processor time, so that a busy machine refuses no image. A file
that takes this many times as long by the clock on the wall is given up all the same."""
_MARGIN_BYTES, _KEPT_BYTES = 64_000_000, 64_000_000
_PACKAGE = __package__ or "runtime"
_ROOT = Path(__file__).absolute().parents[len(_PACKAGE.split("."))]


class KillableDecoder:
    """One process, one file at a time; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._files = self._pixels = -1
        self._pending = b""
        self._held: bytes | None = None
        """The DICOM file that the process has parsed."""

    def decode_bgr(
        self, data: bytes, name: str, *, unchanged: bool, seconds: float, memory_bytes: int
    ) -> npt.NDArray[Any]:
        """What ``opencv_decoder.decode_bgr`` gives. Raises ImageError for a file that takes longer than
        ``seconds`` (of processor time) or more than ``memory_bytes`` beside itself, or ends the process.

        Neither process holds more than one that decodes by itself: the file, and the pixels twice.
        """
        with self._lock:
            self._start()
            self._held = None
            _write(self._files, data)
            request = {
                "name": name, "bytes": len(data), "unchanged": unchanged, "seconds": seconds,
                "memory_bytes": memory_bytes + _MARGIN_BYTES,
            }  # fmt: skip
            answer = self._ask(request, name, seconds)
            _give_back(self._files)
            if "error" in answer:
                raise ImageError(answer["error"], "take or export it again")
            return self._taken(answer)

    def dicom(
        self, data: bytes, name: str, wanted: dict[str, Any], *, seconds: float, memory_bytes: int
    ) -> tuple[dict[str, Any], npt.NDArray[Any] | None]:
        """What decoder_process.py answers about a DICOM file, and its pixels where they are ``wanted``. The file is
        parsed once for all that is asked of it in a row. Raises ImageError as :meth:`decode_bgr` does, but for damage,
        which is the answer's ``error`` and ``hint``.
        """
        with self._lock:
            self._start()
            again = self._held is data
            if not again:
                _write(self._files, data)
            request = {
                "name": name, "bytes": 0 if again else len(data), "dicom": wanted, "seconds": seconds,
                "memory_bytes": memory_bytes + _MARGIN_BYTES,
            }  # fmt: skip
            answer = self._ask(request, name, seconds)
            self._held = data
            _give_back(self._files)
            return answer, self._taken(answer) if "shape" in answer else None

    def forget(self) -> None:
        """Let the DICOM file go that :meth:`dicom` was asked about."""
        with self._lock:
            self._held = None

    def _taken(self, answer: dict[str, Any]) -> npt.NDArray[Any]:
        """The pixels of an answer, out of the shared memory."""
        pixels = np.empty(answer["shape"], answer["dtype"])
        _read(self._pixels, pixels)
        _give_back(self._pixels)
        return pixels

    def _start(self) -> None:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return
        self._stop()
        self._files, self._pixels, self._pending = _shared_memory(), _shared_memory(), b""
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{_PACKAGE}.decoder_process", str(self._files), str(self._pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._files, self._pixels),
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C in a terminal is for us
        )
        self._owner = os.getpid()
        if self._word(_START_S) is None:
            self._stop()
            raise ImageError("the decoder process did not start", "see whether `fieldlens doctor` finds why")

    def _ask(self, request: dict[str, Any], name: str, seconds: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            os.write(self._process.stdin.fileno(), (json.dumps(request) + "\n").encode())
            answer = self._word(_PATIENCE * seconds)
        except BrokenPipeError:
            answer = None
        if answer is not None:
            return answer
        self._process.kill()
        late = self._process.wait() in (-signal.SIGPROF, -signal.SIGKILL)
        self._stop()
        what = f"took longer than {seconds:g} s" if late else "made the decoder fail"
        raise ImageError(
            f"{name}: decoding {what} (decompression bomb?)",
            "export it as an ordinary JPEG or PNG; --decode-seconds sets the limit",
        )

    def _word(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line of the process; None: it is late, or it ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        until, stream = time.monotonic() + timeout_s, self._process.stdout.fileno()
        while b"\n" not in self._pending:
            ready, _, _ = select.select([stream], [], [], max(until - time.monotonic(), 0))
            block = os.read(stream, 65_536) if ready else b""
            if not block:
                return None
            self._pending += block
        line, _, self._pending = self._pending.partition(b"\n")
        word: dict[str, Any] = json.loads(line)
        return word

    def _stop(self) -> None:
        """Kill the process, if it is this one's own, and wait for its end."""
        process, self._process, self._held = self._process, None, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout) if process is not None else ():
            if stream is not None:
                stream.close()
        for descriptor in (self._files, self._pixels):
            if descriptor >= 0:
                os.close(descriptor)
        self._files = self._pixels = -1

    def close(self) -> None:
        """End the process; the next file starts another."""
        with self._lock:
            self._stop()


def _shared_memory() -> int:
    """A descriptor of memory without a name: nothing is left behind, whoever is killed."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fieldlens-decoder")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write(descriptor: int, data: bytes) -> None:
    if os.fstat(descriptor).st_size < len(data):
        os.ftruncate(descriptor, len(data))
    view, written = memoryview(data), 0
    while written < len(view):
        written += os.pwrite(descriptor, view[written:], written)


def _read(descriptor: int, pixels: npt.NDArray[Any]) -> None:
    """Fill ``pixels``."""
    view, read = pixels.data.cast("B"), 0
    while read < len(view):
        count = os.preadv(descriptor, [view[read:]], read)
        if count == 0:
            raise ImageError("the decoder process gave fewer pixels than it said", "take or export the image again")
        read += count


def _give_back(descriptor: int) -> None:
    """Memory that was taken before is faster than new memory, so a little of it is kept."""
    if os.fstat(descriptor).st_size > _KEPT_BYTES:
        os.ftruncate(descriptor, 0)


SHARED = KillableDecoder()
"""The one of this process."""
atexit.register(SHARED.close)
