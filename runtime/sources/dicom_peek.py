"""Whether a file is DICOM, from its name and its first 132 bytes: archives write files without a suffix."""

from __future__ import annotations

import functools
import os
import re
import stat
from pathlib import Path

from fieldlens.runtime.pixels.formats.dicom.address import HEAD_BYTES, SUFFIXES, is_dicom, lacks_header

_INDEX = "dicomdir"
_NUMBER = re.compile(r"\.\d*")


def may_be_dicom(name: str) -> bool:
    """By its name: a DICOM suffix, or none at all (a number behind a point, as in a UID, is none)."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  (some 100,000 a second)
    if name.lower() == _INDEX:  # a list of files, which are beside it
        return False
    return suffix in SUFFIXES or not suffix or _NUMBER.fullmatch(suffix) is not None


def holds_dicom(path: str, status: os.stat_result | None = None) -> bool:
    """By its content, also without a header (it is refused where it is read); False for what cannot be read."""
    try:
        found = status or os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and _peeked(path, found.st_ino, found.st_size, found.st_mtime_ns)


def name_for_messages(path: Path, number: int) -> str:
    """The file's name; of a DICOM file, whose name may carry a patient, its ``number`` among those that were given."""
    named = path.suffix.lower() in SUFFIXES or holds_dicom(str(path))
    return f"DICOM file, number {number}" if named else path.name


@functools.lru_cache(maxsize=65_536)
def _peeked(path: str, _inode: int, size: int, _changed_ns: int) -> bool:
    """Remembered for whoever looks twice a second."""
    if size < HEAD_BYTES:
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            head = os.pread(handle, HEAD_BYTES, 0)
            return is_dicom(head) or lacks_header(head)
        finally:
            os.close(handle)
    except OSError:
        return False
