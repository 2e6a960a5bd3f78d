"""Whether the disk is encrypted: plain, LUKS, LVM on LUKS, half of a RAID, btrfs, a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldlens.runtime.doctor import machine_checks
from fieldlens.runtime.doctor.machine_checks import OK, WARN
from fieldlens.runtime.machine.encryption import is_encrypted
from tests.runtime.layouts import link, write

DATA = Path("/srv/clinic data/station")
ROOT_LINE = "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``/`` on a plain partition; the folder of the records is on what a test mounts."""
    write(tmp_path, "proc/self/mountinfo", ROOT_LINE)
    block(tmp_path, "8:2", "sda2")
    return tmp_path


def block(root: Path, number: str, name: str, uuid: str = "", below: tuple[str, ...] = ()) -> None:
    """A block device as in sysfs."""
    write(root, f"sys/devices/{name}/size", 1)
    if uuid:
        write(root, f"sys/devices/{name}/dm/uuid", uuid)
    for other in below:
        link(root, f"sys/devices/{name}/slaves/{other}", f"sys/devices/{other}")
    link(root, f"sys/dev/block/{number}", f"sys/devices/{name}")
    link(root, f"sys/class/block/{name}", f"sys/devices/{name}")


def mount(root: Path, number: str, kind: str = "ext4", source: str = "/dev/mapper/data") -> None:
    line = rf"40 22 {number} / /srv/clinic\040data rw,relatime - {kind} {source} rw"
    write(root, "proc/self/mountinfo", f"{ROOT_LINE}\n{line}")


def test_a_plain_partition(root: Path) -> None:
    assert is_encrypted(DATA, root) is False
    check = machine_checks.encryption(root, DATA)
    assert (check.status, "LUKS" in check.fix) == (WARN, True)


def test_luks(root: Path) -> None:
    mount(root, "253:0")
    block(root, "253:0", "dm-0", "CRYPT-LUKS2-0f1e-luks")
    assert is_encrypted(DATA, root) is True
    assert is_encrypted(Path("/home/ada"), root) is False, "another disk"
    assert machine_checks.encryption(root, DATA).status == OK


@pytest.mark.parametrize(("second", "encrypted"), [("CRYPT-LUKS2-b", True), ("", False)])
def test_all_below_a_volume_has_to_be(root: Path, second: str, encrypted: bool) -> None:
    mount(root, "253:2")
    block(root, "253:0", "dm-0", "CRYPT-LUKS2-a")
    block(root, "253:1", "dm-1", second)
    block(root, "253:2", "dm-2", "LVM-x", below=("dm-0", "dm-1"))
    assert is_encrypted(DATA, root) is encrypted


def test_btrfs_counts_its_own_devices(root: Path) -> None:
    mount(root, "0:33", "btrfs")
    block(root, "253:0", "dm-0", "CRYPT-LUKS2-a")
    write(root, "dev/dm-0", "")
    link(root, "dev/mapper/data", "dev/dm-0")
    assert is_encrypted(DATA, root) is True


@pytest.mark.parametrize(("kind", "source", "encrypted"), [("overlay", "overlay", None), ("ecryptfs", "/x", True)])
def test_what_has_no_disk(root: Path, kind: str, source: str, encrypted: bool | None) -> None:
    mount(root, "0:50", kind, source)
    assert is_encrypted(DATA, root) is encrypted
    assert machine_checks.encryption(root, DATA).status == OK


@pytest.mark.parametrize("text", ["", "nonsense", "1 2 3 - ", "22 1 8:2 / /elsewhere rw - ext4 /dev/sda2 rw"])
def test_what_cannot_be_read_is_not_guessed(tmp_path: Path, text: str) -> None:
    write(tmp_path, "proc/self/mountinfo", text)
    assert is_encrypted(DATA, tmp_path) is None
