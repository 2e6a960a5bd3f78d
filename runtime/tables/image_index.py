"""Which file a table's cell means."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fieldlens.runtime.pixels.formats.dicom.address import frame_of
from fieldlens.runtime.sources.dicom_peek import holds_dicom, may_be_dicom
from fieldlens.runtime.sources.walk import is_image, natural, walk
from fieldlens.runtime.tables.cells import said
from fieldlens.runtime.tables.problems import Problem

_AMBIGUOUS = "write the image's path into the table, set data.image_folders, or remove the copy"
_NOT_THERE = "add the image, or remove its row"
_NUMBER = re.compile(r"(\d+)(?:\.0+)?", re.ASCII)
_LONGEST_NUMBER = 30
_DRIVE = re.compile(r"[A-Za-z]:|\\\\[?.]\\(?:[A-Za-z]:)?")
"""``C:``, also in its long form ``\\\\?\\C:``."""
_ODD = re.compile(r"[\0\r\n]")


class ImageIndex:
    """Finds a path, a name, a name without its suffix, or a number (``7`` → ``007.png``).

    A path counts from the table's folder ``beside`` (below ``root``), then from the root. Anything else is looked for
    in ``folders``, then in every folder below the root: public sets come in parts (``images_001/images/…``) or unpack
    into a folder of their own (``head_ct/head_ct/…``). Two files that a cell may mean are never chosen between.
    ``without``: a folder below the root whose files are no images of the set (masks). ``elsewhere``: cells with the
    path of another machine, or in another case, and the file that their name found.
    """

    def __init__(self, root: Path, folders: Iterable[str] = (), beside: str = "", without: str = "") -> None:
        self._root = root
        self._without = f"{without.strip('/')}/" if without.strip("/") else "\0"
        self._tops = tuple(dict.fromkeys((str(root.absolute()).rstrip("/"), os.path.realpath(root))))
        self._bases = tuple(dict.fromkeys((beside, "")))
        self._folders = tuple(f"{folder.strip('/')}/" for folder in folders if folder.strip("/"))
        self._names: dict[str, list[str]] | None = None
        self.elsewhere: dict[str, str] = {}

    def find(self, cell: str) -> str | Problem:
        """The sample id (posix path relative to the root), with ``#k`` for a frame of a DICOM file. Never a file
        outside of the root."""
        found = self._find(cell)
        if isinstance(found, Problem) and (frame := frame_of(cell)) is not None:
            file = self._find(cell.rpartition("#")[0])
            if isinstance(file, str) and holds_dicom(f"{self._root}/{file}"):
                return f"{file}#{frame}"
        return found

    def _find(self, cell: str) -> str | Problem:
        if not cell or _ODD.search(cell):
            return Problem(f"no image file for {cell!r}", _NOT_THERE)
        plain = _plain(cell)
        if found := self._at(cell) or (self._at(plain) if plain != cell else None):
            return found
        parts = [part for part in plain.split("/") if part not in ("", ".")]
        foreign = _foreign(cell)
        if not parts or (".." in parts and not foreign):
            return Problem(f"no image file for {cell!r}", _NOT_THERE)
        candidates = self._candidates(parts[-1], bare=len(parts) == 1 and not foreign)
        if (len(candidates) > 1 and foreign) or (len(parts) > 1 and not foreign):
            candidates = _best(candidates, parts, whole=not foreign)
        if len(candidates) == 1:
            if len(parts) > 1 or foreign or (is_image(parts[-1]) and _name(candidates[0]) != parts[-1]):
                self.elsewhere[cell] = candidates[0]
            return candidates[0]
        if candidates:
            return Problem(f"{cell!r} may be {' or '.join(candidates[:3])}", _AMBIGUOUS)
        return Problem(f"no image file for {cell!r}", _NOT_THERE)

    def strays(self, known: Iterable[str]) -> list[str]:
        """Images below the root that nobody names."""
        names = {name.rpartition("#")[0] if frame_of(name) is not None else name for name in known}
        return sorted((name for name in self._all if name not in names), key=natural)

    def _at(self, cell: str) -> str | None:
        """The file at this path, from the table's folder or the root; an absolute one only where it lies below."""
        named = is_image(_name(cell))
        if not named and not may_be_dicom(_name(cell)):
            return None
        if cell.startswith("/"):
            top = next((top for top in self._tops if cell.startswith(f"{top}/")), None)
            return self._at(cell[len(top) :].lstrip("/")) if top else None
        for base in self._bases:
            inside = os.path.normpath(f"{base}/{cell}" if base else cell)
            path = f"{self._root}/{inside}"
            if not inside.startswith("..") and (os.path.isfile(path) if named else holds_dicom(path)):  # noqa: PTH113
                return inside
        return None

    def _candidates(self, name: str, *, bare: bool) -> list[str]:
        """Files by this name, or (``bare``) by it as an id; those in the declared folders where there are any."""
        names = self._below()
        alike = names.get(_folded(name), [])
        found = [sample for sample in alike if name in (_name(sample), _name(sample).rpartition(".")[0])]
        if not is_image(name) or not found:
            # Also in another Unicode form, or another case: file systems differ in what is one name.
            found = found or alike
            number = _NUMBER.fullmatch(name)
            if bare and number and len(name) <= _LONGEST_NUMBER:
                found = [*found, *(other for other in names.get(f"\0#{int(number[1])}", []) if other not in found)]
        declared = [sample for sample in found if sample.startswith(self._folders)] if self._folders else []
        return declared or found

    @functools.cached_property
    def _all(self) -> list[str]:
        """All images below the root, but masks."""
        found = walk(self._root, ordered=False).relative()
        return sorted(name for name in found if not name.startswith(self._without))

    def _below(self) -> dict[str, list[str]]:
        """All images below the root by name, stem and number, looked for once, and only if something is not at its
        path."""
        if self._names is None:
            self._names = {}
            for sample in self._all:
                self._add(sample, _name(sample))
        return self._names

    def _add(self, sample: str, name: str) -> None:
        assert self._names is not None
        stem = name.rpartition(".")[0]
        number = [f"\0#{int(stem)}"] if stem.isascii() and stem.isdigit() and len(stem) <= _LONGEST_NUMBER else []
        for key in (_folded(name), _folded(stem), *number):
            self._names.setdefault(key, []).append(sample)


def _folded(name: str) -> str:
    """One key for what other file systems take for the same name."""
    return said(name).casefold()


def _plain(cell: str) -> str:
    """The path as this system writes it: Windows' separators and drive, and a file's URL, become a plain path."""
    path = re.sub(r"^file:/+", "/", cell) if cell.startswith("file:") else cell
    if drive := _DRIVE.match(path):
        path = f"/{path[drive.end() :]}"
    return path.replace("\\", "/")


def _foreign(cell: str) -> bool:
    """Whether it is an absolute path, of this or another system."""
    return cell.startswith(("/", "\\", "~/", "file:")) or _DRIVE.match(cell) is not None


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _best(candidates: Sequence[str], parts: Sequence[str], *, whole: bool) -> list[str]:
    """Those whose folders agree with the path's for the longest way back; ``whole``: with all of it."""
    agree = {sample: _agreeing(sample.split("/"), parts) for sample in candidates}
    longest = max(agree.values(), default=0)
    if whole and longest < len(parts):
        return []
    return [sample for sample, length in agree.items() if length == longest]


def _agreeing(own: Sequence[str], parts: Sequence[str]) -> int:
    """How many parts of two paths are equal from the end; the name itself counts as equal."""
    length = 1
    for mine, theirs in zip(own[-2::-1], parts[-2::-1], strict=False):
        if mine != theirs and said(mine).casefold() != said(theirs).casefold():
            break
        length += 1
    return length
