"""Which file a table's cell means."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fieldlens.train.data.samples import IMAGE_SUFFIXES
from fieldlens.train.errors import Problem


class ImageIndex:
    """Finds a path, a name, a name without its suffix, or a number (``7`` → ``007.png``).

    Sought in the table's own folder, then in ``folders`` beside it, then in every folder below: public sets come in
    parts (``images_001/images/…``) or unpack into a folder of their own (``head_ct/head_ct/…``).
    """

    def __init__(self, root: Path, folders: Iterable[str]) -> None:
        self._root = root
        self._near: dict[str, list[str]] = {}
        for folder in dict.fromkeys((".", *folders)):
            for path in sorted((root / folder).glob("*")):
                if is_image(path.name):
                    self._add(self._near, path.relative_to(root).as_posix(), shadowed=True)
        self._all: dict[str, list[str]] | None = None

    def find(self, cell: str) -> str | Problem:
        """The sample id (posix path relative to the root). Never a file outside of the root."""
        path = Path(cell)
        if cell and not path.is_absolute() and ".." not in path.parts:
            near = self._near.get(cell)
            if near:
                return near[0]
            if is_image(path.name) and (self._root / path).is_file():
                return path.as_posix()
            number = f"#{int(cell)}" if cell.isascii() and cell.isdigit() else ""
            found = self._near.get(number) or self._below().get(cell) or self._below().get(number) or []
            if len(found) == 1:
                return found[0]
            if found:
                return Problem(
                    f"{cell!r} may be {' or '.join(found[:3])}",
                    "write the image's path into the table, or set data.image_folders",
                )
        return Problem(f"no image file for {cell!r}", "add the image, or remove its row")

    def strays(self, known: Iterable[str]) -> list[str]:
        """Images beside the known ones, in their folders, that nobody names."""
        names = set(known)
        folders = sorted({Path(name).parent for name in names})
        beside = (
            path.relative_to(self._root).as_posix()
            for folder in folders
            for path in sorted((self._root / folder).glob("*"))
            if is_image(path.name)
        )
        return [name for name in beside if name not in names]

    def _below(self) -> dict[str, list[str]]:
        """All images below the root, looked for once, and only if something is not near."""
        if self._all is None:
            self._all = {}
            for folder, folders, files in os.walk(self._root):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(files):
                    if is_image(name):
                        self._add(self._all, Path(folder, name).relative_to(self._root).as_posix(), shadowed=False)
        return self._all

    @staticmethod
    def _add(index: dict[str, list[str]], sample: str, *, shadowed: bool) -> None:
        """Under its name, its stem and its number; ``shadowed``: what came first under a name wins."""
        path = Path(sample)
        number = [f"#{int(path.stem)}"] if path.stem.isascii() and path.stem.isdigit() else []
        for key in (path.name, path.stem, *number):
            places = index.setdefault(key, [])
            if not places or not shadowed:
                places.append(sample)


def is_image(name: str) -> bool:
    """By its suffix; hidden files are none."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)
