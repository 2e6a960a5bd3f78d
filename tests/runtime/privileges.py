"""Commands as somebody for whom the rights of files count, also where the tests run as root."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

from tests.runtime.test_classify import ROOT

_PR_CAPBSET_DROP = 24
_MOST_CAPABILITIES = 64


def without_privileges() -> None:
    """In a child, before its exec: give up every capability for good. Root is then a user as any other.

    Another user's id would not do: he may not even look into the tests' own folders, nor where Python lies. Without
    root there is nothing to give up, and the calls fail.
    """
    library = ctypes.CDLL(None)
    for number in range(_MOST_CAPABILITIES):
        library.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)


def can_unshare() -> bool:
    """Whether a mount namespace of our own may be made: by root, outside of most containers."""
    program = shutil.which("unshare")
    if program is None:
        return False
    tried = subprocess.run([program, "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


def read_only_everywhere(command: list[str], writable: Path) -> list[str]:
    """The command where all file systems are read-only but ``writable``, which is empty and in memory, and where the
    system's folder for temporary files is one of them."""
    script = (
        "mount --make-rprivate / && mkdir -p $1 && mount -t tmpfs tmpfs $1 && "
        "awk '{print $5}' /proc/self/mountinfo | sort -u | while read -r place; do "
        'case "$place" in "$1"|/proc*|/dev*|/sys*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null ;; esac; done; '
        'if touch /tmp/x-$$ 2>/dev/null; then echo "not read-only" >&2; exit 99; fi; '
        'writable=$1; shift; cd "$0" && exec "$@"'
    )
    return ["unshare", "-m", "sh", "-c", script, str(ROOT), str(writable), *command]
