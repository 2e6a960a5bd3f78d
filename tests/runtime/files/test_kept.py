"""What a device keeps: whole and its own, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.runtime.files import kept
from fieldlens.runtime.files.kept import DamagedError
from fieldlens.runtime.files.trusted import UntrustedError

IDENTITY = {"kind": "test", "sizes": [1, 2]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file.kept"
    kept.save(path, IDENTITY, b"payload\nwith a second line")
    return path


def test_it_comes_back_and_is_ours_alone(path: Path) -> None:
    assert kept.load(path, IDENTITY) == b"payload\nwith a second line"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_is_none(tmp_path: Path) -> None:
    assert kept.load(tmp_path / "none", IDENTITY) is None
    assert kept.load(tmp_path / "none" / "none", IDENTITY) is None


def test_every_flipped_bit_and_every_cut_is_found(path: Path) -> None:
    whole = path.read_bytes()
    for index in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:index] + bytes([whole[index] ^ (1 << bit)]) + whole[index + 1 :])
            with pytest.raises(DamagedError):
                kept.load(path, IDENTITY)
        path.write_bytes(whole[:index])
        with pytest.raises(DamagedError):
            kept.load(path, IDENTITY)


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"{", b"[" * 100_000, b"null\n", b"[]\n", b'{"format": 1}\n', b"\xff\n", b'{"format": 2}\n']
)
def test_nonsense_is_damage(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(DamagedError):
        kept.load(path, IDENTITY)


def test_a_whole_file_of_something_else_is_refused(path: Path) -> None:
    with pytest.raises(DamagedError, match="something else"):
        kept.load(path, {**IDENTITY, "sizes": [1, 3]})


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_not_used(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(UntrustedError):
        kept.load(path, IDENTITY)


def test_a_folder_that_others_can_write_is_not_used(path: Path) -> None:
    path.parent.chmod(0o777)
    with pytest.raises(UntrustedError):
        kept.load(path, IDENTITY)
    with pytest.raises(UntrustedError):
        kept.save(path, IDENTITY, b"")


def test_a_link_is_not_followed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    with pytest.raises((DamagedError, UntrustedError)):
        kept.load(path, IDENTITY)
