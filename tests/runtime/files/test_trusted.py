"""Files that decide something: only ordinary ones, measured first, from folders that others cannot fill."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldlens.runtime.files.trusted import UntrustedError, check_private_folder, make_private_folder, read_regular


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "fifo": (os.mkfifo, "a FIFO"),
    "folder": (Path.mkdir, "a folder"),
    "socket": (_socket, "a socket"),
    "link": (lambda path: path.symlink_to("/etc/hostname"), "a symbolic link"),
    "link-to-nothing": (lambda path: path.symlink_to("nowhere"), "a symbolic link"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_ordinary_files_are_read_and_nothing_waits(tmp_path: Path, kind: str) -> None:
    make, words = KINDS[kind]
    make(tmp_path / "x")
    with pytest.raises(UntrustedError, match=words):
        read_regular(tmp_path / "x", 100)


def test_the_size_is_known_before_a_byte_is_read(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(10**13)
    with pytest.raises(UntrustedError, match="10000000000000 bytes; 100 are allowed"):
        read_regular(tmp_path / "x", 100)
    os.truncate(tmp_path / "x", 100)
    assert read_regular(tmp_path / "x", 100) == bytes(100)


def test_a_missing_file_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "x", 100)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_private_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "x").write_bytes(b"1")
    assert read_regular(tmp_path / "x", 1, private=True) == b"1"
    (tmp_path / "x").chmod(mode)
    assert read_regular(tmp_path / "x", 1) == b"1"
    with pytest.raises(UntrustedError, match="can be written by others"):
        read_regular(tmp_path / "x", 1, private=True)


def test_a_folder_that_others_can_fill_is_refused(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "a" / "b").chmod(0o770)
    with pytest.raises(UntrustedError, match="can be written by others"):
        make_private_folder(tmp_path / "a" / "b")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for path in (tmp_path / "link", tmp_path / "missing"):
        with pytest.raises(UntrustedError):
            check_private_folder(path)
