"""The stored values of one frame, whatever they are coded in: PS3.5, 8 and annexes A and G."""

from __future__ import annotations

import struct
import sys
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.formats.dicom import syntaxes
from fieldlens.runtime.pixels.formats.dicom.facts import StoredLayout

Values = npt.NDArray[Any]
_AGAIN = "take or export it again"
_SEGMENTS = 15
_JFIF_BYTES, _ADOBE_BYTES = 16, 14
"""Shorter markers are broken ones, which decoders pass over."""


def stored_values(dataset: Dataset, layout: StoredLayout, frame: int, name: str) -> Values:
    """Frame ``frame`` (from 0): int16, uint16 or uint8 ``[H,W]``, or uint8/uint16 ``[H,W,3]`` in the file's colours
    (RGB where a decoder has turned them already: see :func:`turned`). Raises ImageError."""
    if layout.syntax in syntaxes.NATIVE:
        values = _native(dataset, layout, frame, name)
    else:
        offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
        extended = offsets if None not in offsets else None
        data = get_frame(dataset.PixelData, frame, number_of_frames=layout.frames, extended_offsets=extended)
        values = _rle(data, layout, name) if layout.syntax in syntaxes.RLE else _decoded(data, layout)
    wanted = (layout.rows, layout.columns) + ((3,) if layout.samples == 3 else ())
    if values.shape != wanted:
        raise ImageError(f"{name}: corrupt DICOM file (its data are of another size)", _AGAIN)
    return _only_the_stored_bits(values, layout)


def turned(layout: StoredLayout) -> bool:
    """Whether the decoder has made RGB already."""
    lossy_jpeg, wavelets = layout.syntax in syntaxes.JPEG, layout.syntax in syntaxes.JPEG_2000
    return layout.photometric == "RGB" or lossy_jpeg or (wavelets and layout.photometric in ("YBR_ICT", "YBR_RCT"))


def _native(dataset: Dataset, layout: StoredLayout, frame: int, name: str) -> Values:
    data = memoryview(dataset.PixelData)
    size, start = layout.frame_bytes, frame * layout.frame_bytes
    if len(data) < size * layout.frames:
        said = f"{len(data):,} bytes of pixels; {layout.frames} frames take {size * layout.frames:,}"
        raise ImageError(f"{name}: truncated DICOM file ({said})", _AGAIN)
    part = data[start : start + size]
    if layout.allocated == 8:
        # In big endian, 8-bit pixels lie in words (OW), whose bytes are swapped (PS3.5, 8.1.1 and A.3).
        swapped = layout.syntax == uid.ExplicitVRBigEndian and dataset["PixelData"].VR == "OW"
        whole = np.frombuffer(data, np.uint8)
        values = (_in_pairs(whole)[start : start + size]) if swapped else whole[start : start + size]
    else:
        order = ">" if layout.syntax == uid.ExplicitVRBigEndian else "<"
        values = np.frombuffer(part, f"{order}u2").astype(np.uint16)
    if layout.photometric == "YBR_FULL_422":
        return _unpacked_422(values, layout)
    if layout.samples == 1:
        return values.reshape(layout.rows, layout.columns)
    if layout.by_plane:
        return np.ascontiguousarray(values.reshape(3, layout.rows, layout.columns).transpose(1, 2, 0))
    return values.reshape(layout.rows, layout.columns, 3)


def _in_pairs(values: Values) -> Values:
    """With the bytes of each word swapped."""
    even = values[: len(values) // 2 * 2]
    return np.ascontiguousarray(even.reshape(-1, 2)[:, ::-1]).ravel()


def _unpacked_422(values: Values, layout: StoredLayout) -> Values:
    """Two pixels in four bytes, Y Y Cb Cr (PS3.3, C.7.6.3.1.2)."""
    quads = values.reshape(layout.rows, layout.columns // 2, 4)
    out = np.empty((layout.rows, layout.columns, 3), values.dtype)
    out[:, 0::2, 0], out[:, 1::2, 0] = quads[..., 0], quads[..., 1]
    for channel in (1, 2):
        out[:, 0::2, channel] = out[:, 1::2, channel] = quads[..., channel + 1]
    return out


def _rle(data: bytes, layout: StoredLayout, name: str) -> Values:
    """PackBits, one segment for each byte of each sample, the most significant first (PS3.5, annex G)."""
    count, *offsets = struct.unpack_from("<16I", data)
    width = layout.allocated // 8
    if count != layout.samples * width or count > _SEGMENTS:
        raise ImageError(f"{name}: corrupt DICOM file (RLE in {count} segments)", _AGAIN)
    ends = [*offsets[1:count], len(data)]
    pixels = layout.rows * layout.columns
    planes = np.empty((layout.samples, pixels, width), np.uint8)
    for number, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        if not 64 <= start < end <= len(data):
            raise ImageError(f"{name}: corrupt DICOM file (an RLE segment outside of its frame)", _AGAIN)
        unpacked = np.frombuffer(imagecodecs.packbits_decode(data[start:end]), np.uint8)
        if len(unpacked) < pixels:
            raise ImageError(f"{name}: truncated DICOM file (an RLE segment of {len(unpacked):,} pixels)", _AGAIN)
        sample, byte = divmod(number, width)
        place = width - 1 - byte if sys.byteorder == "little" else byte
        planes[sample, :, place] = unpacked[:pixels]
    values = planes.view(np.uint16 if width == 2 else np.uint8).reshape(layout.samples, layout.rows, layout.columns)
    return values[0] if layout.samples == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))


def _decoded(data: bytes, layout: StoredLayout) -> Values:
    """JPEG, JPEG-LS or JPEG 2000, as the decoder gives it."""
    if layout.syntax in syntaxes.JPEG_LS:
        return np.asarray(imagecodecs.jpegls_decode(data))
    if layout.syntax in syntaxes.JPEG_2000:
        return np.asarray(imagecodecs.jpeg2k_decode(data))
    plain = layout.syntax in syntaxes.JPEG_LOSSLESS or (layout.photometric == "RGB" and not _says_its_colours(data))
    if layout.samples == 3 and plain:
        return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"))
    return np.asarray(imagecodecs.jpeg8_decode(data))


def _says_its_colours(data: bytes) -> bool:
    """Whether the JPEG itself tells what its components are: by JFIF's or Adobe's marker, before its first scan."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] not in (0xDA, 0xD9):
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] == 0xE0 and length >= _JFIF_BYTES and data[place + 4 : place + 8] == b"JFIF":
            return True
        if data[place + 1] == 0xEE and length >= _ADOBE_BYTES and data[place + 4 : place + 9] == b"Adobe":
            return True
        place += 2 + length
    return False


def _only_the_stored_bits(values: Values, layout: StoredLayout) -> Values:
    """Without what lies in the bits beside them (old overlays), and with the sign where the file says that it has one.

    A decoder's result has its highest bit at ``bits - 1``, whatever the file says of ``HighBit``.
    """
    if layout.samples == 3:
        return values.view(np.uint8 if values.itemsize == 1 else np.uint16)
    if values.dtype.kind == "i" and layout.signed:
        return values.astype(np.int16, copy=False)
    plain = values.view(f"u{values.itemsize}")
    shift = layout.high + 1 - layout.bits if layout.syntax in syntaxes.NATIVE | syntaxes.RLE else 0
    if shift:
        plain = plain >> shift
    if layout.bits < 8 * plain.itemsize:
        plain = plain & np.asarray((1 << layout.bits) - 1, plain.dtype)
    if not layout.signed:
        return plain
    border = 1 << (layout.bits - 1)
    return ((plain.astype(np.int32) ^ border) - border).astype(np.int16)
