"""DICOM files in a data set: a sample for each frame, grouped by patient, under names that carry nobody.

Groups and names are hashes with a random key (``runtime/files/private_names.py``): they go into the run's tables and
reports, the patient does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.files.private_names import PrivateNames
from fieldlens.runtime.pixels import dicom_file
from fieldlens.runtime.pixels.formats.dicom.address import SUFFIXES, frame_name, frame_of
from fieldlens.runtime.sources.dicom import WARNINGS
from fieldlens.runtime.sources.dicom_peek import holds_dicom, may_be_dicom
from fieldlens.train.config import DataConfig
from fieldlens.train.data.labels import Found, LabelReader
from fieldlens.train.errors import Problem


def take_dicom(
    root: Path, reading: LabelReader, config: DataConfig, private: Callable[[], PrivateNames]
) -> dict[str, str]:
    """Put the samples of DICOM files into ``reading`` under their private names; their files, by those names.

    ``private`` is asked where there is a DICOM file. A group that the data names itself counts before the patient's.
    """
    files = [name for name in reading.found if _is_dicom(root, name)]
    if not files:
        return {}
    taken = _Taken(root, private(), config)
    names = frozenset(files)
    found = reading.found
    reading.found = {}
    for name, item in found.items():
        if name in names:
            samples = taken.frames(name, item)
            if twice := next((each for each in samples if each in reading.found), None):
                reading.problems.append(Problem(f"{twice!r} is named twice", "name a file, or its frames, once"))
            reading.found.update(samples)
        else:
            reading.found[name] = item
    hidden = taken.private.known_in
    reading.notes = [hidden(note) for note in reading.notes] + taken.notes()
    reading.problems = [Problem(hidden(each.text), hidden(each.hint)) for each in reading.problems]
    return taken.files


def file_of(root: Path, name: str) -> str:
    """The path without ``#k``, where that is a file and ``name`` is none."""
    return name.rpartition("#")[0] if frame_of(name) is not None and not (root / name).exists() else name


def _is_dicom(root: Path, name: str) -> bool:
    path = root / file_of(root, name)
    return path.suffix.lower() in SUFFIXES or (may_be_dicom(path.name) and holds_dicom(str(path)))


class _Taken:
    """What has been taken over so far."""

    def __init__(self, root: Path, private: PrivateNames, config: DataConfig) -> None:
        self.private = private
        self.files: dict[str, str] = {}
        self._root = root
        self._pattern = config.group_pattern
        self._warned: dict[str, list[str]] = {}

    def frames(self, name: str, item: Found) -> dict[str, Found]:
        """The samples of one entry: the frame that it names, or all of the file."""
        file = file_of(self._root, name)
        try:
            data = (self._root / file).read_bytes()
        except OSError:  # said where its pixels are read
            return self._named(self.private.whole(file), file, replace(item, private=True))
        facts, identity = dicom_file.look(data, "DICOM")
        known = identity is not None and (identity.certain or not isinstance(facts, ImageError))
        words = identity.words if identity is not None else ()
        shown = self.private.path(file, words) if known else self.private.whole(file)
        match = re.search(self._pattern, file) if self._pattern else None
        group = match.group(1) if match else item.group or (identity.group if identity else "")
        item = replace(item, group=f"dicom-{self.private.hashed(group)}" if group else None, private=True)
        if isinstance(facts, ImageError):
            return self._named(shown, file, item)
        for warning in facts.warnings:
            self._warned.setdefault(warning, []).append(shown)
        asked = frame_of(name) if file != name else None
        numbers = range(1, facts.frames + 1) if asked is None else (asked,)
        samples: dict[str, Found] = {}
        for number in numbers:
            samples |= self._named(frame_name(shown, number, facts.frames), file, item)
        return samples

    def _named(self, shown: str, file: str, item: Found) -> dict[str, Found]:
        self.files[shown] = file
        return {shown: item}

    def notes(self) -> list[str]:
        """Warnings of the files, with counts and an example."""
        return [
            f"{WARNINGS[kind]}: {len(names)} (for example {names[0]})" for kind, names in sorted(self._warned.items())
        ]
