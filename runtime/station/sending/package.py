"""The package of a result: a tar file that is the same bytes whenever it is made, so that an upload can go on."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from fieldlens.runtime.files import atomic
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.station.records.image_files import ImageFiles
from fieldlens.runtime.station.records.rows import ResultRow

RESULT = "result.json"
_FORMAT = 1


@dataclass(frozen=True)
class Package:
    """``id``: the result's, on every try the same, so that a second copy is none."""

    id: str
    data: bytes

    @cached_property
    def sha256(self) -> str:
        """In hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def package_of(result: ResultRow, files: ImageFiles) -> Package:
    """``result.json`` as it was answered, without later opinions, and the images that are kept.

    Raises OSError where one of them cannot be read.
    """
    plain = {name: value for name, value in result.columns.items() if name not in ("cam", "cam_side", "approval")}
    exact: dict[str, Any] = {
        "probabilities": result.probabilities,
        "latency_ms": result.latency_ms,
        "findings": list(result.findings),
    }
    if result.approval is not None:  # else the same bytes as before there was this key
        exact["approval"] = asdict(result.approval)
    text = json_text({"format": _FORMAT, "result": {**plain, **exact}})
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, RESULT, text.encode())
        for file in sorted(result.files, key=lambda each: each.kind):
            _add(archive, f"{file.kind}.jpg", files.read(file))
    return Package(result.id, stream.getvalue())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Without owner and time: those would differ from one try to the next."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), atomic.PRIVATE
    archive.addfile(member, io.BytesIO(data))
