"""Whether an image's file is complete, from its first and last bytes: for folders into which somebody copies."""

from __future__ import annotations

import os

from fieldlens.runtime.pixels.formats.dicom.address import HEAD_BYTES, is_dicom

_ENDS = 64
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def looks_complete(path: str, *, closed: bool) -> bool:
    """Whether the file ends as its format says. A JPEG or PNG shows that itself.

    Others (BMP and WebP name their length, TIFF and DICOM not even that) may have been given their size before their
    content: they count only where the writer has ``closed`` them. A file that cannot be read is not complete.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            size = os.fstat(handle).st_size
            head, tail = os.pread(handle, HEAD_BYTES, 0), os.pread(handle, _ENDS, max(0, size - _ENDS))
        finally:
            os.close(handle)
    except OSError:
        return False
    if head.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in tail.rstrip(b"\0")[-16:]
    if head.startswith(b"\x89PNG"):
        return tail.endswith(_PNG_END)
    if head.startswith(b"RIFF"):
        return closed and size >= int.from_bytes(head[4:8], "little") + 8
    if head.startswith(b"BM"):
        return closed and size >= int.from_bytes(head[2:6], "little")
    if is_dicom(head):
        return closed
    return closed and head[:4] in (b"II*\0", b"MM\0*")
