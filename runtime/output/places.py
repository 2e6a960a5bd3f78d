"""Where a run's results are to go, looked at before any work: a path that cannot be written is an error at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files import atomic


def check_places(files: Iterable[Path], folders: Iterable[Path] = ()) -> list[str]:
    """Make the folders that ``files`` and ``folders`` need, and say which were missing. Raises OutputError for one that
    cannot be made or written."""
    notes = []
    for path, folder in [(path, path.parent) for path in files] + [(folder, folder) for folder in folders]:
        missing = not folder.exists()
        try:
            atomic.make_folder(folder)
            _check(path, folder)
        except OSError as error:
            hint = "choose another place, or make the folder first" if missing else "choose another place"
            reason = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
            raise OutputError(f"{path}: cannot be written ({reason})", hint) from error
        if missing:
            notes.append(f"the folder {folder} was missing and has been made")
    return notes


def _check(path: Path, folder: Path) -> None:
    """Raises OSError. What exists counts by itself: a device or a pipe may be written where its folder may not."""
    if path != folder and path.exists():
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        allowed = os.access(path, os.W_OK)
    else:
        allowed = os.access(folder, os.W_OK | os.X_OK)
    if not allowed:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
