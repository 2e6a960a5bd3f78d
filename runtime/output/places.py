"""Where a run's results are to go, looked at before any work: a path that cannot be written is an error at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fieldlens.runtime.errors import OutputError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.files.writable import check_file, check_folder


def check_places(files: Iterable[Path], folders: Iterable[Path] = (), replaced: Iterable[Path] = ()) -> list[str]:
    """Make the folders that the outputs need, and say which were missing. ``files`` get lines added, ``replaced`` are
    written as a whole. Raises OutputError for one that cannot be made or written."""
    notes = []
    wanted = [(path, path.parent, False) for path in files] + [(folder, folder, False) for folder in folders]
    for path, folder, whole in [*wanted, *((path, path.parent, True) for path in replaced)]:
        missing = not os.path.exists(folder)  # noqa: PTH110  (False where it cannot be looked at)
        try:
            if path == folder:
                check_folder(folder)
            else:
                check_file(path, replaced=whole)
            atomic.make_folder(folder)
        except OSError as error:
            hint = "choose another place, or make the folder first" if missing else "choose another place"
            raise OutputError(f"{path}: cannot be written ({error.strerror})", hint) from error
        if missing:
            notes.append(f"the folder {folder} was missing and has been made")
    return notes
