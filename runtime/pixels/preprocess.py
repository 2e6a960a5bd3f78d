"""Contract 3: the one function from bytes or a frame to the ``image`` tensor.

Training's evaluation transform, calibration, verification and the device all come through here, so the accuracy in
the report was measured on device pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.imageheader import ImageHeader, read_header
from fieldlens.runtime.pixels.steps import Clahe, Crop, Denoise, Grey, Orient, Resize, Step, Window

Pixels = npt.NDArray[Any]
"""uint8 ``[H,W,3]`` (RGB unless a name says ``_bgr``), or uint8/uint16 ``[H,W]`` for a ``window`` step."""

OVERSAMPLE = 1.5
"""A JPEG is decoded at 1/2, 1/4 or 1/8 only where the result still has this many times the pixels per side that the
network takes: below that, the reduction begins to show in the resize's antialiasing."""

COARSE = 8.0
"""At 1/8 a JPEG's pixels are averages of blocks, and a block may lie across the border of two pixels of the network.
Where fewer than this many blocks per side become one of them, the decoded picture is first made about twice as large
(:meth:`Preprocess._finer`)."""

BARELY = 1.1
"""Shrinking by no more than this takes no antialiasing: linear interpolation already averages over two pixels."""

LEFT_OUT = 1 / 400
"""Of the side, at most, where whole blocks do not fill it: the picture must not change its scale."""


@dataclass(frozen=True)
class Decoded:
    """An upright picture, and what its file was."""

    pixels: Pixels
    header: ImageHeader


class Preprocess:
    """The manifest's steps, compiled. Not for several threads at once: it reuses its buffers."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps
        self._orient = any(isinstance(step, Orient) for step in steps)
        self._crop = next((step for step in steps if isinstance(step, Crop)), None)
        self._window = next((step for step in steps if isinstance(step, Window)), None)
        self._resize = next(step for step in steps if isinstance(step, Resize))
        self._after = [step for step in steps if isinstance(step, Clahe | Denoise | Grey)]
        self._clahe = {
            step: cv2.createCLAHE(step.clip_limit, (step.grid, step.grid)) for step in steps if isinstance(step, Clahe)
        }
        self._buffer = bytearray()
        self._enlarged: Pixels | None = None
        self._blocks: Pixels | None = None
        self.size = self._resize.size

    def empty(self, count: int = 1) -> npt.NDArray[np.uint8]:
        """A tensor uint8 ``[count,size,size,3]`` to be filled and reused."""
        return np.zeros((count, self.size, self.size, 3), np.uint8)

    def decode(self, data: bytes, name: str) -> Decoded:
        """Decode a file's bytes to an upright picture. The pixels are valid until the next call.

        Raises ImageError: not an image, empty, truncated, corrupt, a decompression bomb, 16 bits without ``window``.
        """
        header = read_header(data, name)
        if header.bits > 8 and self._window is None:
            raise ImageError(
                f"{name}: {header.bits} bits per channel, and this model was not trained with a grey-level window",
                "export the picture with 8 bits per channel",
            )
        pixels = self._decode_jpeg(data, header, name) if header.format == "jpeg" else self._decode_cv(data, name)
        if self._orient and header.orientation != 1:
            pixels = upright(pixels, header.orientation)
        return Decoded(pixels, header)

    def _decode_jpeg(self, data: bytes, header: ImageHeader, name: str) -> Pixels:
        if header.bits != 8:
            raise ImageError(f"{name}: a JPEG of {header.bits} bits per channel", "export it as an ordinary JPEG")
        factor = self._reduction(header)
        height, width = math.ceil(header.height / factor), math.ceil(header.width / factor)
        if len(self._buffer) < height * width * 3:
            self._buffer = bytearray(height * width * 3)
        try:
            pixels: Pixels = simplejpeg.decode_jpeg(
                data, "RGB", fastupsample=self._room(header) / factor >= 2,
                min_height=height, min_width=width, min_factor=factor, buffer=self._buffer,
            )  # fmt: skip
        except ValueError as error:
            reason = str(error).strip() or "unreadable"
            raise ImageError(f"{name}: truncated or corrupt JPEG ({reason})", "take or export it again") from error
        if factor == 8:
            pixels = self._finer(pixels, header)
        return self._grey_source(pixels) if self._window else pixels

    def _finer(self, pixels: Pixels, header: ImageHeader) -> Pixels:
        """A picture decoded at 1/8, so enlarged by cubic interpolation that a whole number of its pixels becomes one of
        the network's.

        It then gives what full-size decoding gives (at most 3 levels beside it on 900 photographs enlarged to 12
        megapixels; 21 without this). It takes half a millisecond; decoding at 1/4 takes 1.8 more than at 1/8.
        """
        room = self._room(header)
        if room / 8 >= COARSE:
            return pixels
        blocks = max(1, round(header.width / 8)), max(1, round(header.height / 8))
        scale = math.ceil(2 * room / 8) / room
        size = round(header.width * scale), round(header.height * scale)
        self._enlarged = cv2.resize(
            pixels[: blocks[1], : blocks[0]], size, dst=self._enlarged, interpolation=cv2.INTER_CUBIC
        )
        return self._enlarged

    def _reduction(self, header: ImageHeader) -> int:
        """The strongest of 8, 4, 2, 1 that leaves OVERSAMPLE times what the resize will take from."""
        room = self._room(header) / OVERSAMPLE
        return next((factor for factor in (8, 4, 2) if room >= factor), 1)

    def _room(self, header: ImageHeader) -> float:
        """How many pixels per side of the file become one of the network's picture.

        From two on, colour that a JPEG holds at half the resolution need not be interpolated: blocks are averaged
        anyway, and the plain way is a tenth faster.
        """
        fraction_x = fraction_y = 1.0
        width, height = header.width, header.height
        if self._orient and header.orientation >= 5:
            width, height = height, width
        if self._crop:
            fraction_x, fraction_y = self._crop.right - self._crop.left, self._crop.bottom - self._crop.top
        across, down = width * fraction_x, height * fraction_y
        side = max(across, down) if self._resize.mode == "pad" else min(across, down)
        return side / self._resize.zoom / self.size

    def _decode_cv(self, data: bytes, name: str) -> Pixels:
        flags = cv2.IMREAD_UNCHANGED if self._window else cv2.IMREAD_COLOR
        try:
            pixels: Pixels | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as error:
            raise ImageError(f"{name}: corrupt image ({error.err})", "take or export it again") from error
        if pixels is None:
            raise ImageError(f"{name}: truncated or corrupt image", "take or export it again")
        if not self._window:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        return self._grey_source(pixels[..., 2::-1] if pixels.ndim == 3 else pixels)

    @staticmethod
    def _grey_source(pixels: Pixels) -> Pixels:
        """RGB or grey, 8 or 16 bits → grey ``[H,W]`` of the same depth."""
        if pixels.ndim == 2:
            return pixels
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)

    def __call__(self, pixels: Pixels, out: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """RGB ``[H,W,3]`` (or grey ``[H,W]``) → ``out``, uint8 ``[size,size,3]`` RGB, written in place."""
        out = self.empty()[0] if out is None else out
        if pixels.ndim == 3 and self._window:
            pixels = self._grey_source(pixels)
        source = self._field(pixels)
        if self._window:
            source = _windowed(source, self._window)
        if source.ndim == 2:
            source = np.repeat(self._resized(source)[..., None], 3, axis=2)
            out[:] = source
        else:
            self._resized(source, out)
        for step in self._after:
            self._apply(step, out)
        return out

    def frame(self, frame_bgr: Pixels, out: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A camera's or video's BGR frame → ``out``. Colours are swapped after the resize, where it is cheap,
        unless a step that works on RGB comes after it."""
        if self._window or self._after:
            return self(cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB), out)
        self._resized(self._field(frame_bgr), out)
        cv2.cvtColor(out, cv2.COLOR_BGR2RGB, dst=out)
        return out

    def from_bytes(self, data: bytes, name: str, out: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """Bytes of a file → tensor uint8 ``[size,size,3]``: :meth:`decode` and :meth:`__call__` in one."""
        return self(self.decode(data, name).pixels, out)

    def view(self, pixels: Pixels) -> Pixels:
        """What the network sees of a decoded picture, at the picture's own resolution, as uint8 RGB ``[h,w,3]``."""
        part = self._field(pixels)
        if self._window:
            part = _windowed(self._grey_source(part), self._window)
        part = np.repeat(part[..., None], 3, axis=2) if part.ndim == 2 else part
        if self._resize.mode != "pad":
            return part
        height, width = part.shape[:2]
        side = max(height, width)
        square = np.zeros((side, side, 3), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = part
        return square

    def _field(self, pixels: Pixels) -> Pixels:
        """The part of the picture that the network will see, before scaling: a view, no copy."""
        if self._crop:
            height, width = pixels.shape[:2]
            left, right = round(self._crop.left * width), round(self._crop.right * width)
            top, bottom = round(self._crop.top * height), round(self._crop.bottom * height)
            pixels = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
        if self._resize.mode == "crop":
            height, width = pixels.shape[:2]
            side = max(1, round(min(height, width) / self._resize.zoom))
            top, left = (height - side) // 2, (width - side) // 2
            pixels = pixels[top : top + side, left : left + side]
        return pixels

    def _resized(self, pixels: Pixels, out: Pixels | None = None) -> Pixels:
        """Scale to ``[size,size]``: antialiased down (blocks, then INTER_AREA), INTER_LINEAR up."""
        if out is None:
            out = np.zeros((self.size, self.size, *pixels.shape[2:]), pixels.dtype)
        height, width = pixels.shape[:2]
        target, place = (self.size, self.size), out
        if self._resize.mode == "pad":
            scale = self.size / max(height, width)
            target = (max(1, round(width * scale)), max(1, round(height * scale)))
            left, top = (self.size - target[0]) // 2, (self.size - target[1]) // 2
            out[:] = 0
            place = out[top : top + target[1], left : left + target[0]]
        pixels = self._reduced(pixels, target)
        height, width = pixels.shape[:2]
        shrinks = max(width / target[0], height / target[1]) > BARELY
        scaled = cv2.resize(
            pixels, target, dst=place if place.flags.c_contiguous else None,
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )  # fmt: skip
        if not np.shares_memory(scaled, place):
            place[:] = scaled
        return out

    def _reduced(self, pixels: Pixels, target: tuple[int, int]) -> Pixels:
        """Average whole blocks first where that leaves hardly anything to do for ``target`` ``(width, height)``.

        OpenCV averages whole blocks with vector instructions and fractions of pixels without: 480 → 240 → 224 takes
        0.1 ms, 480 → 224 in one go 0.65.
        """
        height, width = pixels.shape[:2]
        times = max(width // target[0], 1), max(height // target[1], 1)
        if times == (1, 1):
            return pixels
        small = width // times[0], height // times[1]
        if max(small[0] / target[0], small[1] / target[1]) > BARELY:
            return pixels
        if max(1 - small[0] * times[0] / width, 1 - small[1] * times[1] / height) > LEFT_OUT:
            return pixels
        left, top = (width - small[0] * times[0]) // 2, (height - small[1] * times[1]) // 2
        whole = pixels[top : top + small[1] * times[1], left : left + small[0] * times[0]]
        self._blocks = cv2.resize(whole, small, dst=self._blocks, interpolation=cv2.INTER_AREA)
        return self._blocks

    def _apply(self, step: Clahe | Denoise | Grey, image: npt.NDArray[np.uint8]) -> None:
        """One step at the network's size, in place."""
        if isinstance(step, Clahe):
            lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
            lab[..., 0] = self._clahe[step].apply(np.ascontiguousarray(lab[..., 0]))
            image[:] = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
        elif isinstance(step, Denoise):
            median = step.method == "median"
            image[:] = cv2.medianBlur(image, step.size) if median else cv2.GaussianBlur(image, (step.size,) * 2, 0)
        else:
            image[:] = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]


def _windowed(grey: Pixels, window: Window) -> npt.NDArray[np.uint8]:
    """Grey ``[H,W]`` of any depth → uint8, linear inside the window and clipped outside."""
    low = window.level - window.width / 2
    scaled = (grey.astype(np.float32) - low) * (255.0 / window.width)
    return np.asarray(np.rint(np.clip(scaled, 0, 255)), np.uint8)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation 2…8 (CIPA DC-008, tag 0x0112)."""
    if orientation >= 5:
        pixels = cv2.transpose(pixels)
    if orientation in (2, 3, 6, 7):
        pixels = cv2.flip(pixels, 1)
    if orientation in (3, 4, 7, 8):
        pixels = cv2.flip(pixels, 0)
    return pixels
