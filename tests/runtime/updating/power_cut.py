"""What a power cut leaves on a disk: the file operations of a process are recorded, and replayed up to any point.

A model of a journal-less disk, which is worse than most: names in a folder last when the folder was synced (fsync(2)),
a file's bytes when the file was. After a cut, every folder that was not synced shows its old names, its new names, or,
in the mixed case, some of each; every file that was not synced is empty.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

OPERATIONS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.chmod"}
"""Audit events of what changes names; opening a file for writing, and fsync, are seen besides."""

Names = dict[str, int]
"""A folder's: name → node."""


@dataclass
class Disk:
    """Nodes by their number: what they hold now, and what would be there after a cut. Numbers are never used again."""

    root: int = 0
    folders: dict[int, Names] = field(default_factory=dict)
    files: dict[int, bytes] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """The disk between two operations: as the process sees it, and as it would be after a cut."""

    operation: str
    now: Disk
    lasting: Disk


class Recorder:
    """Looks at everything below ``root`` before each operation. ``moments`` are what it saw, in order."""

    def __init__(self, root: Path) -> None:
        self.root, self.moments = root, list[Moment]()
        self._numbers: dict[tuple[int, int], int] = {}
        self._held: list[int] = []
        self._on = False
        self._lasting = self._look()  # everything was synced long ago

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what the block does."""
        sync = os.fsync

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if self._on and (event in OPERATIONS or (event == "open" and _writes(arguments))):
                self._note(event)

        def synced(handle: int) -> None:
            self._note("fsync")
            sync(handle)
            self._keep(handle)

        sys.addaudithook(watch)  # stays for the process's life, switched off
        self._on = True
        os.fsync = synced  # type: ignore[assignment]
        try:
            yield
        finally:
            self._on = False
            os.fsync = sync
            for handle in self._held:
                os.close(handle)
        self._note("end")

    def _note(self, operation: str) -> None:
        on, self._on = self._on, False
        self.moments.append(Moment(operation, self._look(), _copy(self._lasting)))
        self._on = on

    def _keep(self, handle: int) -> None:
        """An fsync: names of a folder, or bytes of a file, are on the disk from now on."""
        on, self._on = self._on, False
        found, now = os.fstat(handle), self._look()
        number = self._numbers.get((found.st_dev, found.st_ino))
        if number in now.folders:
            self._lasting.folders[number] = dict(now.folders[number])
            for child in now.folders[number].values():  # a link's target is part of its name
                if child in now.links:
                    self._lasting.links[child] = now.links[child]
        elif number in now.files:
            self._lasting.files[number] = now.files[number]
        self._on = on

    def _look(self) -> Disk:
        disk = Disk()
        disk.root = self._walk(self.root, disk)
        return disk

    def _walk(self, path: Path, disk: Disk) -> int:
        found = path.lstat()
        number = self._number(path, found)
        if stat.S_ISLNK(found.st_mode):
            disk.links[number] = str(path.readlink())
        elif stat.S_ISDIR(found.st_mode):
            disk.folders[number] = {child.name: self._walk(child, disk) for child in sorted(path.iterdir())}
        else:
            disk.files[number] = path.read_bytes()
        return number

    def _number(self, path: Path, found: os.stat_result) -> int:
        """A node that is held open keeps its inode's number from being given to another one."""
        key = (found.st_dev, found.st_ino)
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers)
            kind = os.O_PATH | os.O_NOFOLLOW if stat.S_ISLNK(found.st_mode) else os.O_RDONLY
            self._held.append(os.open(path, kind))
        return self._numbers[key]


def after_a_cut(moment: Moment, target: Path, kind: str) -> str:
    """Lay out in ``target`` what the cut leaves; a digest of it. ``kind``: everything, synced, or mixed-N."""
    shutil.rmtree(target, ignore_errors=True)
    chance = random.Random(f"{moment.operation}-{kind}")
    lines: list[str] = []
    _lay(moment, moment.now.root, target, kind, chance, lines)
    return "\n".join(lines)


def _lay(moment: Moment, node: int, path: Path, kind: str, chance: random.Random, lines: list[str]) -> None:
    now, lasting = moment.now, moment.lasting
    link = now.links.get(node) or lasting.links.get(node)
    if link is not None:
        path.symlink_to(link)
        lines.append(f"{path.name} -> {link}")
    elif node in now.folders or node in lasting.folders:
        path.mkdir()
        lines.append(f"{path.name}/")
        for name, child in sorted(_names(moment, node, kind, chance).items()):
            _lay(moment, child, path / name, kind, chance, lines)
    else:
        everything = kind == "everything" and node in now.files
        data = now.files[node] if everything else lasting.files.get(node, b"")
        path.write_bytes(data)
        lines.append(f"{path.name} {hash(data)}")


def _names(moment: Moment, node: int, kind: str, chance: random.Random) -> Names:
    new, old = moment.now.folders.get(node, {}), moment.lasting.folders.get(node, {})
    if kind == "everything":
        return new if node in moment.now.folders else old
    if kind == "synced":
        return old
    picked = {}
    for name in sorted({*new, *old}):
        node_then = chance.choice((new, old)).get(name)
        if node_then is not None:
            picked[name] = node_then
    return picked


def _copy(disk: Disk) -> Disk:
    folders = {number: dict(names) for number, names in disk.folders.items()}
    return Disk(disk.root, folders, dict(disk.files), dict(disk.links))


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
