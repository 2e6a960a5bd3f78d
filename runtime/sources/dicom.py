"""DICOM files as a source: each becomes one item per frame, by a name that carries no patient.

They are read here and not by the workers: only the file says how many frames it has, and whose it is.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from fieldlens.runtime.errors import ImageError, SourceError
from fieldlens.runtime.files.private_names import PrivateNames
from fieldlens.runtime.pixels import dicom_file
from fieldlens.runtime.pixels.formats.dicom.address import SUFFIXES, WITH_HEADER, frame_of, is_dicom
from fieldlens.runtime.sources.dicom_peek import holds_dicom, may_be_dicom
from fieldlens.runtime.sources.item import Broken, Encoded
from fieldlens.runtime.sources.regular import FILE, kind_of, read_image
from fieldlens.runtime.sources.timing import Timing

WARNINGS = {
    "burnt-in": "DICOM images that say that writing is burnt into their pixels (perhaps a name; it may mislead, too)",
    "secondary": "DICOM images that are secondary captures: made from other images or screens, not by the modality",
}

_MOST_TRIES = 5
_MOST_BESIDE = 1000
"""Entries of a folder among which a DICOM file is looked for."""


class DicomSource:
    """The DICOM files of a run."""

    def __init__(self, names: PrivateNames) -> None:
        self.names = names
        self._warned: dict[str, list[str]] = {}
        self._known_folders: set[Path] = set()

    def takes(self, path: Path) -> bool:
        """Whether the file is to be read here."""
        suffix = path.suffix.lower()
        return may_be_dicom(path.name) and (suffix in SUFFIXES or holds_dicom(str(path)))

    def learn(self, paths: Iterable[Path]) -> None:
        """Look whose images these are: at one DICOM file of each folder, because other files beside it may be called
        after the same patient. The first ones may be damaged."""
        tries: dict[Path, int] = {}
        for path in filter(self.takes, paths):
            self._known_folders.add(path.parent)
            if tries.setdefault(path.parent, 0) < _MOST_TRIES:
                tries[path.parent] += 1
                if self._learnt(path):
                    tries[path.parent] = _MOST_TRIES

    def _learnt(self, path: Path) -> bool:
        try:
            data = read_image(path)
        except SourceError:
            return False
        _, owner = dicom_file.look(data, "DICOM") if is_dicom(data) else (None, None)
        self.names.path(path.name, owner.words if owner is not None else ())
        return owner is not None and owner.certain

    def learn_beside(self, path: Path) -> None:
        """As :meth:`learn`, for a file that was named by itself."""
        if path.parent in self._known_folders:
            return
        self._known_folders.add(path.parent)
        with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
            beside = (Path(entry.path) for entry in itertools.islice(entries, _MOST_BESIDE) if entry.is_file())
            self.learn(itertools.islice((each for each in beside if each != path and self.takes(each)), _MOST_TRIES))

    def addressed(self, name: str) -> tuple[Path, int] | None:
        """``FILE.dcm#k`` where there is no such file, but a FILE.dcm."""
        frame, path = frame_of(name), Path(name.rpartition("#")[0] or name)
        if frame is None or kind_of(name) == FILE or kind_of(str(path)) != FILE:
            return None
        return (path, frame) if self.takes(path) else None

    def items(self, path: Path, root: str = "", frame: int | None = None) -> Iterator[Encoded | Broken]:
        """One item per frame, or the ``frame`` (from 1) that was asked for. ``root``: the folder that was named."""
        began = time.perf_counter()
        try:
            data = read_image(path)
        except SourceError as error:
            yield Broken(*self._shown_error(str(path), self._below(path, root), error))
            return
        if not is_dicom(data):
            yield self._no_dicom(path, root)
            return
        facts, identity = dicom_file.look(data, "DICOM")
        known = identity is not None and (identity.certain or not isinstance(facts, ImageError))
        words = identity.words if identity is not None else ()
        shown = self.names.path(str(path), words) if known else self._below(path, root)
        if isinstance(facts, ImageError):
            message = facts.message.removeprefix("DICOM: ")
            yield Broken(shown, ImageError(f"{shown}: {message}", facts.hint))
            return
        for warning in facts.warnings:
            self._warned.setdefault(warning, []).append(shown)
        for number in range(1, facts.frames + 1) if frame is None else (frame,):
            source = shown if facts.frames == 1 and number == 1 else f"{shown}#{number}"
            read_ms = (time.perf_counter() - began) * 1e3
            yield Encoded(source, data, Timing(began, read_ms))
            began = time.perf_counter()

    def single(self, path: Path) -> Encoded | Broken:
        """The file as one item, for whoever wants one answer for each path. Several frames, and none named: Broken."""
        addressed = self.addressed(str(path))
        where, frame = addressed or (path, None)
        found = list(itertools.islice(self.items(where, frame=frame), 2))
        if len(found) == 1:
            return found[0]
        shown = found[0].source.rpartition("#")[0]
        hint = f"say which: {shown}#1, or stream() the file for all of them"
        return Broken(shown, ImageError(f"{shown}: a DICOM file of several frames", hint))

    def notes(self) -> list[str]:
        """What was said of the files' pixels, with counts and an example."""
        return [
            f"{WARNINGS[kind]}: {len(names)} (for example {names[0]})" for kind, names in sorted(self._warned.items())
        ]

    def _no_dicom(self, path: Path, root: str) -> Broken:
        shown = self._below(path, root)
        message = f"{shown}: not a DICOM file (no DICM behind its first 128 bytes)"
        return Broken(shown, ImageError(message, WITH_HEADER))

    def _below(self, path: Path, root: str) -> str:
        """The path of a file that does not say whose it is."""
        if not root:
            self.learn_beside(path)
        return self.names.known_path(self.names.below(str(path), root))

    @staticmethod
    def _shown_error(path: str, shown: str, error: SourceError) -> tuple[str, SourceError]:
        """An error that names the file, without its name."""
        return shown, SourceError(error.message.replace(path, shown), error.hint.replace(path, shown))
