"""Image files of results: on disk before their row, and swept where a kill left one without."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.files import atomic

IMAGES = "images"
KINDS = ("image", "view")
"""``image``: the whole upright image; ``view``: what the network saw."""


@dataclass(frozen=True)
class KeptFile:
    """A file of a result; ``path`` is relative to the images folder."""

    path: str
    kind: str
    bytes: int
    sha256: str


class ImageFiles:
    """The folder of image files. Names are made here, from a result's id: nothing a visitor sent becomes a path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._doubtful: set[str] = set()
        """Files whose row may or may not be there: a commit that failed is certain only after the next that did not."""

    def write(self, result_id: str, month: str, images: Iterable[tuple[str, bytes]]) -> tuple[KeptFile, ...]:
        """Write ``(kind, JPEG)`` of one result durably; ``month`` is ``2026-11``. Raises OSError: all or nothing."""
        kept: list[KeptFile] = []
        for kind, data in images:
            file = KeptFile(f"{month}/{result_id}-{kind}.jpg", kind, len(data), hashlib.sha256(data).hexdigest())
            try:
                atomic.write_bytes(self.folder / file.path, data)
            except OSError:
                self.doubt([*kept, file])
                raise
            kept.append(file)
        return tuple(kept)

    def read(self, file: KeptFile) -> bytes:
        """The file's bytes. Raises OSError where it is gone or is not what was stored."""
        data = (self.folder / file.path).read_bytes()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise OSError(f"{file.path} is not what was stored")
        return data

    def doubt(self, files: Iterable[KeptFile]) -> None:
        """These may have no row: remove them once something was committed after them."""
        with self._lock:
            self._doubtful.update(file.path for file in files)

    def settle(self, known: set[str]) -> None:
        """Something was committed: remove the doubtful files that are not ``known`` to the records."""
        with self._lock:
            doubtful, self._doubtful = self._doubtful, set()
        self.remove(doubtful - known)

    @property
    def doubtful(self) -> frozenset[str]:
        """Paths that :meth:`settle` would look at."""
        with self._lock:
            return frozenset(self._doubtful)

    def remove(self, paths: Iterable[str]) -> None:
        """Delete files; one that is gone already is no error, one that cannot be deleted is tried again by sweep."""
        for path in paths:
            try:
                (self.folder / path).unlink(missing_ok=True)
            except OSError:
                with self._lock:
                    self._doubtful.add(path)

    def sweep(self, known: set[str]) -> int:
        """At the start, before anything is written: delete every file without a row; how many there were."""
        if not self.folder.is_dir():
            return 0
        found = [path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        strangers = [path for path in found if path.relative_to(self.folder).as_posix() not in known]
        for path in strangers:
            path.unlink(missing_ok=True)
        return len(strangers)
