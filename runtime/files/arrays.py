"""Arrays from a bundle's ``.npz``: type, shape and size are compared with what is wanted before anything is unpacked.

NumPy's own reader allocates what a header asks for, evaluates the header as Python, and gives back whatever is there.
Formats: numpy.lib.format (version 1.0 and 2.0), and the zip that ``numpy.savez`` writes.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_HEADER = re.compile(
    rb"\{'descr': '(<f4|<f8)', 'fortran_order': (False|True), 'shape': \(((?:\d{1,9}, ?)*(?:\d{1,9})?,?)\), \}\s*"
)
"""As NumPy writes it: keys in alphabetical order, one space, little endian."""
_LONGEST_HEADER = 1024
_MOST_MEMBERS = 16
_LONGEST_ENTRY = 512
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
Shape = tuple[int | None, ...]
"""None: any number from 1 on, as long as the file holds it."""


class ArraysError(ValueError):
    """What is wrong with the file, in words that go after a colon."""


def read_npz(data: bytes, wanted: Mapping[str, Shape], limit: int) -> dict[str, npt.NDArray[np.floating[Any]]]:
    """The arrays named in ``wanted``, float32 or float64, of these shapes and all finite; others are left alone.

    ``limit``: bytes that one array may take. Raises ArraysError.
    """
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _members(archive)
            return {name: _array(archive, members, name, shape, limit) for name, shape in wanted.items()}
    except ArraysError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, struct.error, OSError, ValueError, RuntimeError, EOFError, OverflowError,
    ) as error:  # fmt: skip
        raise ArraysError(f"it is not a sound .npz ({error})") from error


def _check_directory(data: bytes) -> None:
    """A list of members that is short and where it belongs, before anything is made of its entries."""
    end, locator = data[-22:], data[-42:-38]
    if end[:4] != b"PK\x05\x06" or end[-2:] != b"\0\0" or locator == b"PK\x06\x07":
        raise ArraysError("it is not a sound .npz (no end record, or one of another kind)")
    count, size = struct.unpack("<HI", end[10:16])
    if count > _MOST_MEMBERS or size > _MOST_MEMBERS * _LONGEST_ENTRY:
        raise ArraysError(f"it lists {count} arrays in {size} bytes; {_MOST_MEMBERS} are allowed")


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found = archive.infolist()
    members = {info.filename: info for info in found}
    if len(members) != len(found):
        raise ArraysError("it holds an array twice")
    return members


def _array(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str, shape: Shape, limit: int
) -> npt.NDArray[np.floating[Any]]:
    info = members.get(f"{name}.npy")
    if info is None:
        raise ArraysError(f"it has no array {name!r}")
    if info.compress_type not in _METHODS or info.file_size > limit + _LONGEST_HEADER:
        raise ArraysError(f"{name!r} has {info.file_size} bytes; {limit} are allowed, stored or deflated")
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    return _parsed(content, name, shape)


def _parsed(content: bytes, name: str, wanted: Shape) -> npt.NDArray[np.floating[Any]]:
    start, size = {b"\x93NUMPY\x01\x00": (10, 2), b"\x93NUMPY\x02\x00": (12, 4)}.get(content[:8], (0, 0))
    end = start + int.from_bytes(content[8 : 8 + size], "little")
    header = _HEADER.fullmatch(content[start:end]) if 0 < end - start <= _LONGEST_HEADER else None
    if header is None:
        raise ArraysError(f"{name!r} is not an array of float32 or float64")
    shape = tuple(int(word) for word in header[3].split(b",") if word.strip())
    if len(shape) != len(wanted) or any(
        length < 1 or length != (want or length) for length, want in zip(shape, wanted, strict=True)
    ):
        raise ArraysError(f"{name!r} has the shape {shape}, not {tuple(want or 'n' for want in wanted)}")
    kind = np.dtype(header[1].decode())
    count = 1
    for length in shape:
        count *= length
    if len(content) - end != count * kind.itemsize:
        raise ArraysError(f"{name!r} has {len(content) - end} bytes, not the {count * kind.itemsize} of its shape")
    array = np.frombuffer(content, kind, count, end).reshape(shape, order="F" if header[2] == b"True" else "C")
    if not np.isfinite(array).all():
        raise ArraysError(f"{name!r} holds values that are not finite")
    return array
