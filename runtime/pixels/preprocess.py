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
from fieldlens.runtime.pixels import dicom_file, killable_decoder
from fieldlens.runtime.pixels.area import AreaAverage
from fieldlens.runtime.pixels.decode_buffer import beside_vectors
from fieldlens.runtime.pixels.decode_limits import DecodeLimits
from fieldlens.runtime.pixels.formats import tiff_pixels
from fieldlens.runtime.pixels.formats.dicom.address import is_dicom
from fieldlens.runtime.pixels.imageheader import ImageHeader, read_header
from fieldlens.runtime.pixels.levels import in_colour, windowed
from fieldlens.runtime.pixels.opencv_decoder import decode_bgr
from fieldlens.runtime.pixels.steps import Clahe, Crop, Denoise, Grey, Orient, Resize, Step, Window
from fieldlens.runtime.pixels.transparency import opaque

Pixels = npt.NDArray[Any]
"""uint8 ``[H,W,3]`` (RGB unless a name says ``_bgr``), or for a ``window`` step uint8/uint16 ``[H,W]``, or DICOM's own
units ``[H,W,1]`` (also int16 and float32)."""

OVERSAMPLE = 1.5
"""A JPEG is decoded at 1/2, 1/4 or 1/8 only where the result still has this many times the pixels per side that the
network takes: below that, the reduction begins to show in the resize's antialiasing."""

COARSE = 8.0
"""At 1/8 a JPEG's pixels are averages of blocks, and a block may lie across the border of two pixels of the network.
Where fewer than this many blocks per side become one of them, the decoded image is first made about twice as large
(:meth:`Preprocess._finer`)."""

BARELY = 1.1
"""Shrinking by no more than this takes no antialiasing: linear interpolation already averages over two pixels."""

_KEPT_BYTES = 64_000_000
"""A larger buffer than this (a JPEG of 21 megapixels at full size) is given back before the next file."""

LEFT_OUT = 1 / 400
"""Of the side, at most, where whole blocks do not fill it: the image must not change its scale."""


@dataclass(frozen=True)
class Decoded:
    """An upright image, and what its file was."""

    pixels: Pixels
    header: ImageHeader


class Preprocess:
    """The manifest's steps, compiled. Not for several threads at once: it reuses its buffers."""

    def __init__(self, steps: tuple[Step, ...], limits: DecodeLimits | None = None) -> None:
        """``limits``: what one file may cost; where they are not given, as everywhere else in the kit."""
        self.steps = steps
        self._limits = limits or DecodeLimits()
        self._orient = any(isinstance(step, Orient) for step in steps)
        self._crop = next((step for step in steps if isinstance(step, Crop)), None)
        self._window = next((step for step in steps if isinstance(step, Window)), None)
        self._resize = next(step for step in steps if isinstance(step, Resize))
        self._after = [step for step in steps if isinstance(step, Clahe | Denoise | Grey)]
        self._clahe = {
            step: cv2.createCLAHE(step.clip_limit, (step.grid, step.grid)) for step in steps if isinstance(step, Clahe)
        }
        self._buffer = beside_vectors(0)
        self._enlarged: Pixels | None = None
        self._blocks: Pixels | None = None
        self._area = AreaAverage()
        self.size = self._resize.size

    def empty(self, count: int = 1) -> npt.NDArray[np.uint8]:
        """A tensor uint8 ``[count,size,size,3]`` to be filled and reused."""
        return np.zeros((count, self.size, self.size, 3), np.uint8)

    def decode(self, data: bytes, name: str) -> Decoded:
        """Decode a file's bytes to an upright image. The pixels are valid until the next call. ``name``: for messages,
        and, of a DICOM file with several frames, ``FILE#k`` says which.

        Raises ImageError: not an image, empty, truncated, corrupt, over the limits of time or memory, 16 bits without
        ``window``.
        """
        if len(self._buffer) > _KEPT_BYTES:
            self._buffer = beside_vectors(0)
        if is_dicom(data):
            return self._decode_dicom(data, name)
        header = read_header(data, name)
        if header.bits > 8 and self._window is None:
            raise ImageError(
                f"{name}: {header.bits} bits per channel, and this model was not trained with a grey-level window",
                "export the image with 8 bits per channel",
            )
        pixels = (
            self._decode_jpeg(data, header, name) if header.format == "jpeg" else self._decode_other(data, header, name)
        )
        if self._orient and header.orientation != 1:
            pixels = upright(pixels, header.orientation)
        return Decoded(pixels, header)

    def _decode_dicom(self, data: bytes, name: str) -> Decoded:
        """One frame, in its own units where a window step follows, else as its file wants it to be shown."""
        pixels = dicom_file.pixels_of(data, name, self._limits, self._window.level if self._window else None)
        pixels = self._grey_source(pixels)[..., None] if self._window else in_colour(pixels)
        return Decoded(pixels, ImageHeader("dicom", pixels.shape[1], pixels.shape[0], 8 * pixels.itemsize))

    def _admitted(self, header: ImageHeader, name: str, file_bytes: int, pixel_bytes: int) -> bool:
        """Whether to decode here (True) or where it can be stopped. Raises ImageError: over the limits."""
        return self._limits.admit(name, (header.width, header.height), header.work, file_bytes, pixel_bytes)

    def _decode_jpeg(self, data: bytes, header: ImageHeader, name: str) -> Pixels:
        if header.bits != 8:
            raise ImageError(f"{name}: a JPEG of {header.bits} bits per channel", "export it as an ordinary JPEG")
        factor = self._reduction(header)
        height, width = math.ceil(header.height / factor), math.ceil(header.width / factor)
        upright_bytes = height * width * 3 * (1 if header.orientation == 1 else 2)
        self._admitted(header, name, len(data), upright_bytes + (height * width * 4 if header.channels == 4 else 0))
        if len(self._buffer) < height * width * 3:
            self._buffer = beside_vectors(height * width * 3)
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
        """An image decoded at 1/8, so enlarged by cubic interpolation that a whole number of its pixels becomes one of
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
        """How many pixels per side of the file become one of the network's image.

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

    def _decode_other(self, data: bytes, header: ImageHeader, name: str) -> Pixels:
        if header.parts is not None:
            data = b"".join(data[start:end] for start, end in header.parts)
        unchanged = self._window is not None or header.channels == 4  # with its transparency
        sample_bytes = 2 if header.bits > 8 else 1
        pixel_bytes = header.width * header.height * (header.channels * sample_bytes if unchanged else 3)
        here = self._admitted(header, name, len(data), 2 * pixel_bytes)  # OpenCV's result is copied for Python
        if header.tiff is not None and tiff_pixels.reads(header.tiff):
            pixels = tiff_pixels.pixels_rgb(data, header.tiff, name, self._limits.seconds)
            return self._grey_source(pixels) if self._window else in_colour(pixels)
        if here:
            pixels = decode_bgr(data, name, unchanged=unchanged)
        else:
            pixels = killable_decoder.SHARED.decode_bgr(
                data, name, unchanged=unchanged, seconds=self._limits.seconds,
                memory_bytes=2 * pixel_bytes + header.work.decoder_bytes,
            )  # fmt: skip
        if header.tiff is None and pixels.shape[:2] != (header.height, header.width):
            raise ImageError(f"{name}: corrupt image (its data are of another size)", "take or export it again")
        tiff = header.tiff
        pixels = opaque(pixels, header.clear, from_tiff=tiff is not None, inverted=tiff is not None and tiff.inverted)
        if self._window:
            return self._grey_source(pixels, bgr=True)
        return in_colour(pixels) if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    @staticmethod
    def _grey_source(pixels: Pixels, *, bgr: bool = False) -> Pixels:
        """RGB, BGR or grey (also DICOM's ``[H,W,1]``) → grey ``[H,W]`` of the same depth."""
        if pixels.ndim == 2 or pixels.shape[2] == 1:
            return pixels.reshape(pixels.shape[:2])
        code = cv2.COLOR_BGR2GRAY if bgr else cv2.COLOR_RGB2GRAY
        return cv2.cvtColor(np.ascontiguousarray(pixels), code)

    def __call__(self, pixels: Pixels, out: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """RGB ``[H,W,3]`` (or grey ``[H,W]``) → ``out``, uint8 ``[size,size,3]`` RGB, written in place."""
        out = self.empty()[0] if out is None else out
        own_units = pixels.ndim == 3 and pixels.shape[2] == 1
        if pixels.ndim == 3 and self._window:
            pixels = self._grey_source(pixels)
        source = self._field(pixels)
        if self._window:
            source = windowed(source, self._window)
        if own_units:  # as an 8-bit PNG made after the same window would be resized
            source = in_colour(source)
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
        """What the network sees of a decoded image, at the image's own resolution, as uint8 RGB ``[h,w,3]``."""
        part = self._field(pixels)
        if self._window:
            part = windowed(self._grey_source(part), self._window)
        return self._padded(np.repeat(part[..., None], 3, axis=2) if part.ndim == 2 else part)

    def region(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The part of a mask ``[H,W]`` of the decoded image that lies where :meth:`view` shows the image."""
        return np.asarray(self._padded(self._field(mask)), np.uint8)

    def _padded(self, part: Pixels) -> Pixels:
        """Black bars around it where the resize adds them."""
        if self._resize.mode != "pad":
            return part
        height, width = part.shape[:2]
        side = max(height, width)
        square = np.zeros((side, side, *part.shape[2:]), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = part
        return square

    def _field(self, pixels: Pixels) -> Pixels:
        """The part of the image that the network will see, before scaling: a view, no copy."""
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
        into = place if place.flags.c_contiguous else None
        linear = cv2.INTER_LINEAR
        scaled = self._area(pixels, target, into) if shrinks else cv2.resize(pixels, target, into, interpolation=linear)
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


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation 2…8 (CIPA DC-008, tag 0x0112). One copy, however the image lies."""
    turns = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
    if orientation in turns:
        return cv2.rotate(pixels, turns[orientation])
    if orientation in (2, 4):
        return cv2.flip(pixels, 1 if orientation == 2 else 0)
    pixels = cv2.transpose(pixels)
    return pixels if orientation == 5 else cv2.flip(pixels, -1, dst=pixels)
