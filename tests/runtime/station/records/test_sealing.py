"""Backups and exports for a key of the clinic's: encrypted on the way to the disk, by a program that is there."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from fieldlens.runtime.cli import main
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.station.records import backup, sealing
from fieldlens.runtime.station.records.store import Records
from tests.runtime.station.made_results import check_whole, made

SUBJECT = "SEALED-4711"
AGE_KEY = "age1" + "q" * 58
STAND_IN = """#!/bin/sh
# What age does, as far as a pipe can tell: a first line of its own, then other bytes than came in.
if grep -r -q {subject} "{folder}"; then echo "readable on the stick" >&2; exit 9; fi
echo age-encryption.org/v1
exec tr 'A-Za-z0-9' 'N-ZA-Mn-za-m5-90-4'
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    records = Records(tmp_path / "data")
    for _ in range(3):
        records.add(made(SUBJECT), [("view", b"jpeg" * 50_000)])
    records.close()
    return tmp_path / "data"


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


@pytest.fixture
def age(tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called age; and the file of a public key."""
    place = tmp_path / "bin"
    place.mkdir()
    (place / "age").write_text(STAND_IN.format(subject=SUBJECT, folder=stick))
    (place / "age").chmod(0o755)
    monkeypatch.setattr(sealing, "FOLDERS", f"{place}:{sealing.FOLDERS}")
    (tmp_path / "clinic.pub").write_text(f"# the clinic's\n{AGE_KEY}\n")
    return tmp_path / "clinic.pub"


def test_nothing_readable_is_ever_on_the_stick(data: Path, stick: Path, age: Path) -> None:
    words = ["--data", str(data), "--encrypt-to", str(age)]
    assert main(["station", "backup", str(stick / "b.age"), *words]) == 0
    assert main(["station", "export", str(stick / "r.age"), *words]) == 0
    assert sorted(path.name for path in stick.iterdir()) == ["b.age", "r.age"]
    for path in stick.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert SUBJECT.encode() not in path.read_bytes()
    assert not [path for path in data.iterdir() if path.name.endswith(".records")], "no copy is left"
    with pytest.raises(KitError, match="is encrypted"):
        main(["station", "restore", str(stick / "b.age"), "--data", str(stick / "new")])


def test_a_backup_without_a_key_says_so(data: Path, stick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["station", "backup", str(stick / "b.tar"), "--data", str(data)])
    assert "not encrypted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo 'no such recipient' >&2; exit 1", "no such recipient"), ("exit 3", "exit code 3"),
     ("cat; exit 1", "code 1"), ("kill -9 $$", "exit code -9")],
    ids=["refuses", "says nothing", "fails at the end", "is killed"],
)  # fmt: skip
def test_a_program_that_fails_leaves_nothing(data: Path, stick: Path, age: Path, script: str, said: str) -> None:
    (age.parent / "bin" / "age").write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(KitError, match=said):
        backup.make(data, stick / "b.age", sealing.recipient_of(age))
    assert list(stick.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a public key"),
        ("hello", "not a public key"),
        (f"{AGE_KEY}\nhello", "not a public key"),
        (f"{AGE_KEY}\n" * 2000, "not a public key"),
        ("AGE-SECRET-KEY-1QQQ", "a secret key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "a secret key"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "a secret key"),
    ],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(KitError, match=said):
        sealing.recipient_of(tmp_path / "key")


@pytest.mark.parametrize("text", [AGE_KEY, "ssh-ed25519 AAAAC3Nz ada@clinic", "-----BEGIN PGP PUBLIC KEY BLOCK-----"])
def test_a_missing_program_is_named(
    tmp_path: Path, data: Path, stick: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(sealing, "FOLDERS", str(tmp_path / "nothing"))
    (tmp_path / "key").write_text(text)
    with pytest.raises(KitError, match="is not installed, so nothing was written"):
        main(["station", "backup", str(stick / "b"), "--data", str(data), "--encrypt-to", str(tmp_path / "key")])
    assert list(stick.iterdir()) == []


@pytest.mark.skipif(shutil.which("gpg") is None, reason="GnuPG is not installed")
def test_gnupg_for_real(data: Path, stick: Path, tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*words: object, given: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *words]
        done = subprocess.run(list(map(str, command)), input=given, capture_output=True, check=True)
        return done.stdout

    try:
        gpg("--quick-generate-key", "clinic", "future-default", "default", "never")
        (tmp_path / "clinic.asc").write_bytes(gpg("--armor", "--export", "clinic"))
        backup.make(data, stick / "b.gpg", sealing.recipient_of(tmp_path / "clinic.asc"))
        sealed = (stick / "b.gpg").read_bytes()
        assert sealed.startswith(sealing.SEALED)
        assert SUBJECT.encode() not in sealed
        (stick / "b.tar").write_bytes(gpg("--decrypt", given=sealed))
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    backup.restore(stick / "b.tar", tmp_path / "new")
    assert check_whole(tmp_path / "new", []) == 3


@pytest.mark.skipif(shutil.which("age") is None, reason="age is not installed")
def test_age_for_real(data: Path, stick: Path, tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", str(tmp_path / "secret")], check=True, capture_output=True)
    done = subprocess.run(["age-keygen", "-y", str(tmp_path / "secret")], check=True, capture_output=True)
    (tmp_path / "clinic.pub").write_bytes(done.stdout)
    backup.make(data, stick / "b.age", sealing.recipient_of(tmp_path / "clinic.pub"))
    command = ["age", "--decrypt", "-i", str(tmp_path / "secret"), str(stick / "b.age")]
    plain = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert "records.db" in archive.getnames()


def test_a_plain_backup_is_as_before(data: Path, stick: Path) -> None:
    backup.make(data, stick / "b.tar")
    assert [path.name for path in stick.iterdir()] == ["b.tar"]
    with tarfile.open(stick / "b.tar") as archive:
        assert len(archive.getnames()) == 6
