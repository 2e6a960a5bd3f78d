"""Whether the disk below a folder is encrypted, as the kernel shows it: dm-crypt (LUKS) below the file system.

``root`` stands for ``/``, so that the layouts of other machines can be tested anywhere. Not seen: drives that encrypt
themselves, and folders under fscrypt.
"""

from __future__ import annotations

import re
from pathlib import Path

from fieldlens.runtime.machine.host import read

_FILE_SYSTEMS = ("ecryptfs", "fuse.gocryptfs", "fuse.cryfs")
_ESCAPE = re.compile(r"\\([0-7]{3})")


def is_encrypted(folder: Path, root: Path) -> bool | None:
    """None where no disk is visible: in a container, mostly."""
    mount = _mount_of(folder, read(root / "proc/self/mountinfo"))
    if mount is None:
        return None
    device, kind, source = mount
    if kind in _FILE_SYSTEMS:
        return True
    block = root / "sys/dev/block" / device
    if not block.exists():  # btrfs counts its own devices
        if not source.startswith("/dev/"):
            return None
        block = root / "sys/class/block" / (root / source[1:]).resolve().name
        if not block.exists():
            return None
    return _is_crypt(block.resolve())


def _mount_of(folder: Path, mountinfo: str) -> tuple[str, str, str] | None:
    """``major:minor``, file system and source of what is mounted at ``folder`` (proc_pid_mountinfo(5))."""
    here = folder.absolute()
    found: tuple[int, tuple[str, str, str]] | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 2:
            continue
        point = Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        if (point == here or point in here.parents) and (found is None or len(point.parts) >= found[0]):
            found = len(point.parts), (fields[2], rest[0], rest[1])
    return None if found is None else found[1]


def _is_crypt(block: Path, depth: int = 8) -> bool:
    """dm-crypt itself, or everything below it (LVM or RAID on LUKS)."""
    if read(block / "dm/uuid").startswith("CRYPT-"):
        return True
    below = sorted((block / "slaves").glob("*"))
    return bool(below) and depth > 0 and all(_is_crypt(each.resolve(), depth - 1) for each in below)
