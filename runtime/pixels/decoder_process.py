"""The process that decodes what may take too long: started, watched and killed by killable_decoder.py.

Arguments: descriptors of two pieces of shared memory, for files and for pixels. Requests and answers are JSON lines on
standard input and output. It ends with its parent, and by itself when a file takes longer than it may.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.opencv_decoder import decode_bgr

_PAGE = os.sysconf("SC_PAGE_SIZE")
_DICOM: list[Any] = []
"""The DICOM file that was parsed last, if any."""


def main() -> None:
    """Until standard input ends."""
    files, pixels = int(sys.argv[1]), int(sys.argv[2])
    cv2.setNumThreads(1)
    _say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        if "dicom" in request:
            from fieldlens.runtime.pixels.formats.dicom import reader  # noqa: F401  (not counted as decoding)
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])  # of processor time; no handler: it ends the process
        _limit_memory(request["memory_bytes"])
        _say(_answer(request, files, pixels))
        signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(request: dict[str, Any], files: int, pixels: int) -> dict[str, Any]:
    try:
        if "dicom" in request:
            return _about_dicom(request, files, pixels)
        _DICOM.clear()
        with mmap.mmap(files, request["bytes"], access=mmap.ACCESS_READ) as room, memoryview(room) as data:
            decoded = np.ascontiguousarray(decode_bgr(data, request["name"], unchanged=request["unchanged"]))
    except ImageError as error:
        return {"error": error.message, "hint": error.hint}
    except MemoryError:
        return {
            "error": f"{request['name']}: it takes more memory than its header tells",
            "hint": "take or export it again",
        }
    return _handed_on(decoded, pixels)


def _about_dicom(request: dict[str, Any], files: int, pixels: int) -> dict[str, Any]:
    """Facts, identity or pixels of the file; one without new bytes is about the file before it."""
    from fieldlens.runtime.pixels.formats.dicom.reader import DicomFile

    if request["bytes"]:
        _DICOM.clear()
        with mmap.mmap(files, request["bytes"], access=mmap.ACCESS_READ) as room, memoryview(room) as data:
            _DICOM.append(DicomFile(data, request["name"]))
    if not _DICOM:
        raise ImageError(f"{request['name']}: truncated or corrupt DICOM file", "take or export it again")
    file, wanted = _DICOM[0], request["dicom"]
    if "frame" in wanted:
        return _handed_on(np.ascontiguousarray(file.pixels(request["name"], wanted["frame"], wanted["level"])), pixels)
    told = {"identity": file.identity}
    try:
        return {**told, **file.facts(request["name"])}
    except ImageError as error:
        return {**told, "error": error.message, "hint": error.hint}


def _handed_on(decoded: npt.NDArray[Any], pixels: int) -> dict[str, Any]:
    """Write the pixels into the shared memory, and say what they are."""
    view = decoded.data.cast("B")
    if os.fstat(pixels).st_size < len(view):
        os.ftruncate(pixels, len(view))
    written = 0
    while written < len(view):
        written += os.pwrite(pixels, view[written:], written)
    return {"shape": decoded.shape, "dtype": str(decoded.dtype)}


def _limit_memory(more_bytes: int) -> None:
    """Of its own: what this process has now, and so many bytes more. Only where the system tells."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        now = int(statm.read_text().split()[5]) * _PAGE
        resource.setrlimit(resource.RLIMIT_DATA, (now + more_bytes, resource.RLIM_INFINITY))


def _say(word: dict[str, Any]) -> None:
    os.write(1, (json.dumps(word) + "\n").encode())


if __name__ == "__main__":
    main()
