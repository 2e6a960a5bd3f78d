"""MJPEG over HTTP: the reader keeps bytes, and only the frame that is looked at gets decoded (strictly, later).

Cameras keep to no standard here, so what separates the frames is learned from the stream itself: the first line is
taken for the boundary, whatever was announced. Lines may end in CR LF or in LF alone.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterator

from fieldlens.runtime.errors import SourceError
from fieldlens.runtime.sources.cameras.address import Address
from fieldlens.runtime.sources.cameras.health import NOTICED_S, Mark
from fieldlens.runtime.sources.cameras.http_stream import HttpStream
from fieldlens.runtime.sources.cameras.link import Shot
from fieldlens.runtime.sources.item import Encoded
from fieldlens.runtime.sources.timing import Timing

_LARGEST_FRAME = 64_000_000
_LARGEST_HEADER = 16_384
_LONGEST_BOUNDARY = 200
_SURE_BOUNDARY = 6
"""A boundary of so many bytes does not stand in an image by chance, behind a line's end."""
_JPEG_END = b"\xff\xd9"
_NEXT_HEADER = re.compile(rb"[ \t]*\r?\n[A-Za-z][\w-]*[ \t]*:")
_NO_IMAGE = re.compile(rb"(?im)^content-type[ \t]*:[ \t]*(audio|text)/")
_HEADER_LINE = re.compile(rb"[A-Za-z][\w-]*[ \t]*:")


class MjpegLink:
    """A connection to a camera's ``multipart/x-mixed-replace`` stream."""

    def __init__(self, address: Address) -> None:
        self.opening = False
        self._name = address.name
        self._stream = HttpStream(address)
        self._boundary = self._stream.boundary
        self._learned = False
        self._frames = self._parse()
        self._buffer = bytearray()
        self._began = self._received = time.monotonic()
        self._number = 0

    def read(self, timeout_s: float) -> Shot | None:
        """The next frame's bytes."""
        try:
            return next(self._frames)
        except StopIteration:
            raise SourceError(f"{self._name}: the camera ended the stream", "look at the camera") from None
        except TimeoutError:
            raise SourceError(f"{self._name}: no image for {NOTICED_S:.1f} s", "check cable and camera") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SourceError(f"{self._name}: the stream broke ({error})", "check cable and camera") from error

    def _parse(self) -> Iterator[Shot]:
        while True:
            self._began = self._received
            header = self._header()
            if header is None:
                return
            captured = self._began
            data = self._body(header)
            if data is None:
                return
            if not data or _NO_IMAGE.search(header):  # sound, words, or nothing, while the camera starts
                continue
            self._number += 1
            image = Encoded(f"{self._name}#{self._number}", data, Timing(captured_at=captured))
            yield Shot(self._number, image, Mark(zlib.crc32(data)))

    def _header(self) -> bytes | None:
        """The lines of the next part's header, behind its boundary; None at the end of the stream."""
        lines: list[bytes] = []
        candidate, inside, passed, deadline = b"", False, 0, time.monotonic() + NOTICED_S
        while (line := self._line(deadline)) is not None:
            passed += len(line) + 1
            if passed > (_LARGEST_FRAME if self._learned and not lines else _LARGEST_HEADER):
                raise ValueError("this is not MJPEG")
            if time.monotonic() > deadline:
                raise TimeoutError
            if not line:
                if inside or lines:
                    return b"\n".join(lines)
            elif _HEADER_LINE.match(line):
                if candidate and not self._learned:
                    self._learn(candidate)
                lines.append(line)
                passed = sum(map(len, lines))
            elif line == self._boundary or (not self._learned and line.startswith(b"--")):
                self._learn(line)
                lines, inside = [], True
            elif self._learned and line == self._boundary + b"--":
                return None
            else:  # text before the first part, or what is left of one whose length was wrong
                candidate = line if len(line) <= _LONGEST_BOUNDARY else b""
        return None

    def _learn(self, line: bytes) -> None:
        """The first line before a header is the boundary, however it was announced."""
        if not self._learned and len(line) <= _LONGEST_BOUNDARY:
            self._boundary, self._learned = line, True

    def _line(self, deadline: float) -> bytes | None:
        """The next line, without its end; None at the end of the stream."""
        if not self._fill_until(lambda: b"\n" in self._buffer, _LARGEST_HEADER, deadline):
            return None
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        return bytes(line).rstrip(b"\r ")

    def _body(self, header: bytes) -> bytes | None:
        """The part's bytes: by its length where it says one, else up to the next boundary."""
        deadline = time.monotonic() + NOTICED_S
        announced = set(re.findall(rb"(?im)^content-length[ \t]*:[ \t]*(\d+)[ \t\r]*$", header))
        if len(announced) == 1:  # two that contradict each other say nothing
            length = int(announced.pop())
            if length > _LARGEST_FRAME or not self._fill_until(
                lambda: len(self._buffer) >= length, _LARGEST_FRAME, deadline
            ):
                return None
            data = bytes(self._buffer[:length])
            del self._buffer[:length]
            return data
        ends: list[int] = []
        if not self._fill_until(lambda: self._found_end(ends), _LARGEST_FRAME, deadline):
            return None
        data = bytes(self._buffer[: ends[0]])
        del self._buffer[: ends[0] + 1]
        return data.rstrip(b"\r\n")

    def _found_end(self, ends: list[int]) -> bool:
        """Whether the next boundary is here; where the line's end before it stands is added to ``ends``."""
        at = -1
        while (at := self._buffer.find(b"\n" + self._boundary, at + 1)) >= 0:
            if (
                len(self._boundary) >= _SURE_BOUNDARY
                or self._buffer[:at].rstrip(b"\r\n\0").endswith(_JPEG_END)
                or _NEXT_HEADER.match(self._buffer, at + 1 + len(self._boundary))
            ):
                ends.append(at)
                return True
        return False

    def _fill_until(self, enough: Callable[[], bool], most: int, deadline: float) -> bool:
        """Receive until ``enough()``; False at the end of the stream. A frame that dribbles in counts as none."""
        while not enough():
            if len(self._buffer) > most:
                raise ValueError("this is not MJPEG")
            if time.monotonic() > deadline:
                raise TimeoutError
            block = self._stream.read()
            if not block:
                return False
            self._received = time.monotonic()
            if self._between_frames():
                self._began = self._received
            self._buffer += block
        return True

    def _between_frames(self) -> bool:
        """Nothing of the next frame is here yet; many cameras send its boundary right behind the frame before."""
        return len(self._buffer) < _LONGEST_BOUNDARY and self._buffer.strip(b"-\r\n ") in (
            b"",
            self._boundary.strip(b"-"),
        )

    def interrupt(self) -> None:
        """Shutting the socket down wakes a thread that waits in it."""
        with contextlib.suppress(OSError):
            self._stream.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self.interrupt()
        self._stream.close()
