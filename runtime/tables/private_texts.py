"""What is wrong with a set of images, said without a patient: DICOM files that a sentence names are looked at first.

An error names a file or its row before anybody has read whose image it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files.private_names import PrivateNames
from fieldlens.runtime.pixels import dicom_file
from fieldlens.runtime.pixels.formats.dicom.address import SUFFIXES
from fieldlens.runtime.sources.dicom_peek import holds_dicom, may_be_dicom
from fieldlens.runtime.sources.walk import walk
from fieldlens.runtime.tables.problems import Problem

_MOST_LOOKS = 300
_DRIVE = re.compile("[A-Za-z]:")
_ENDING = "|".join(suffix[1:] for suffix in sorted(SUFFIXES))
_NAMED = re.compile(
    rf"(?<=')[^'\n]*\.(?:{_ENDING})(?=['#])|(?<=\")[^\"\n]*\.(?:{_ENDING})(?=[\"#])|[^\s'\"(),;]+\.(?:{_ENDING})\b",
    re.IGNORECASE,
)


class PrivateTexts:
    """Hides patients in sentences about files below ``root``; ``names`` is asked where there is something to hide."""

    def __init__(self, root: Path, names: Callable[[], PrivateNames] = PrivateNames) -> None:
        self._root = root
        self._names = names

    def problems(self, found: Iterable[Problem]) -> list[Problem]:
        """The problems, each without a patient."""
        listed = list(found)
        if not listed:
            return []
        shown = self._hiding("\n".join(text for each in listed for text in each))
        return [Problem(shown(each.text), shown(each.hint)) for each in listed]

    def error(self, error: KitError) -> KitError:
        """The error without a patient, to be raised in its place."""
        shown = self._hiding(f"{error.message}\n{error.hint}")
        return type(error)(shown(error.message), shown(error.hint))

    def _hiding(self, text: str) -> Callable[[str], str]:
        files, folders = self._dicom_in(text)
        if not files and not _NAMED.search(text):
            return str
        names, open_names = self._names(), set[str]()
        for file in files:
            _look(self._root, file, names, open_names)

        def hidden(sentence: str) -> str:
            return _NAMED.sub(
                lambda m: m[0] if m[0] in open_names else _unknown(m[0], names, folders), names.known_in(sentence)
            )

        return hidden

    def _dicom_in(self, text: str) -> tuple[list[str], set[str]]:
        """DICOM files of which the text holds a part of the path: those by their names, and one of each folder. And the
        names of all folders."""
        below = walk(self._root, ordered=False)
        folders = {os.path.basename(folder) for folder in below.folders}  # noqa: PTH119
        found: dict[str, str] = {}
        for file in below.relative():
            name, folder = file.rpartition("/")[2], file.rpartition("/")[0]
            if not may_be_dicom(name):
                continue
            stem = name.rpartition(".")[0] or name
            if stem in text:
                found[file] = file
            elif any(part in text for part in folder.split("/") if part):
                found.setdefault(folder, file)
            if len(found) == _MOST_LOOKS:
                break
        return [file for file in found.values() if holds_dicom(f"{self._root}/{file}")], folders


def _look(root: Path, file: str, names: PrivateNames, open_names: set[str]) -> None:
    try:
        facts, owner = dicom_file.look((root / file).read_bytes(), "DICOM")
    except OSError:
        names.whole(file)
        return
    if owner is None or not (owner.certain or not isinstance(facts, KitError)):
        names.whole(file)
    elif names.path(file, owner.words) == file:
        open_names.update((file, file.rpartition("/")[2]))


def _unknown(path: str, names: PrivateNames, folders: set[str]) -> str:
    """A path that nobody has looked at: hidden but for folders that are there."""
    parts = re.split(r"([/\\\\]+)", path)  # two backslashes: a path of Windows as Python shows it
    return "".join(
        part
        if number % 2 or part in folders or part.startswith("dicom-") or _DRIVE.fullmatch(part)
        else names.whole(part)
        for number, part in enumerate(parts)
    )
