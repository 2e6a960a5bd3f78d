"""The signature policy in every form: read, certainly not there, or refused. Never "no policy" by mistake."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldlens.runtime.bundle import signature
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.signature import SignatureRefused, device_policy, read_lists
from fieldlens.runtime.doctor import checks as doctor
from fieldlens.runtime.doctor.machine_checks import FAIL, OK, WARN
from tests.runtime.policy_forms import (
    CLOSED,
    FOLDER,
    FOREIGN,
    GOOD,
    KEY,
    NONE,
    POLICY,
    READ,
    REFUSED,
    SIGNERS,
    Form,
    instead,
    link,
)

_NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to others (CI has it)")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stands for ``/``: anybody may look into it, and ``etc/fieldlens`` holds a policy that is all right."""
    before = os.umask(0o022)
    folder = Path(tempfile.mkdtemp(prefix="policy-"))
    folder.chmod(0o755)
    (folder / "etc/fieldlens").mkdir(parents=True)
    (folder / "etc/fieldlens/policy.json").write_text(json.dumps(GOOD))
    (folder / "etc/fieldlens/allowed_signers").write_text(SIGNERS)
    (folder / "etc/fieldlens/revoked").write_text(KEY + "\n")
    monkeypatch.setattr(signature, "SYSTEM_POLICY", folder / "etc/fieldlens/policy.json")
    monkeypatch.delenv(signature.POLICY_VARIABLE, raising=False)
    yield folder
    os.umask(before)
    shutil.rmtree(folder, ignore_errors=True)


def judged() -> str:
    """``none``, ``read`` or ``refused: …``; the doctor must say the same."""
    check = doctor.signature_policy()
    try:
        policy = device_policy()
        if policy is not None:
            read_lists(policy)
    except SignatureRefused as error:
        return f"refused: {error.message}" if check.status == FAIL and error.hint else f"doctor says {check}"
    expected = WARN if policy is None else OK
    found = "none" if policy is None else "read"
    return found if check.status == expected else f"doctor says {check}"


def as_nobody() -> str:
    """:func:`judged` by a user without rights, in a process of its own."""
    if os.geteuid() != 0:
        return judged()
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        words = "the child failed"
        try:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            words = judged()
        finally:
            os.write(send, words.encode())
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as file:
        words = file.read().decode()
    os.waitpid(child, 0)
    return words


def check(root: Path, form: Form, words: str, judge: Callable[[], str]) -> None:
    form(root)
    found = judge()
    assert found.startswith("refused: ")
    assert words in found


@pytest.mark.parametrize("name", REFUSED)
def test_a_form_that_is_not_all_right_is_refused(root: Path, name: str) -> None:
    check(root, *REFUSED[name], judged)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_to_a_user_without_rights_too(root: Path, name: str) -> None:
    form, _ = REFUSED[name]
    check(root, form, "", as_nobody)


@root_only
@pytest.mark.parametrize("name", FOREIGN)
def test_what_another_user_could_have_made_is_refused(root: Path, name: str) -> None:
    check(root, *FOREIGN[name], judged)
    assert as_nobody().startswith("refused: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make files that nobody else may read (CI has it)")
@pytest.mark.parametrize("name", CLOSED)
def test_what_we_may_not_look_at_is_refused(root: Path, name: str) -> None:
    check(root, *CLOSED[name], as_nobody)


@pytest.mark.parametrize("name", READ)
def test_what_is_all_right_is_read(root: Path, name: str) -> None:
    READ[name](root)
    assert (judged(), as_nobody()) == ("read", "read")


@pytest.mark.parametrize("name", NONE)
def test_only_what_is_certainly_not_there_is_no_policy(root: Path, name: str) -> None:
    NONE[name](root)
    assert (judged(), as_nobody()) == ("none", "none")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENXIO, errno.ETIMEDOUT, errno.EACCES])
@pytest.mark.parametrize("step", [POLICY, FOLDER, "etc"])
def test_a_disk_or_network_that_fails_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    real = Path.lstat

    def failing(self: Path) -> os.stat_result:
        if self == root / step:
            raise OSError(number, os.strerror(number), str(self))
        return real(self)

    monkeypatch.setattr(Path, "lstat", failing)
    assert judged() == f"refused: the signature policy {root / POLICY} cannot be read: {os.strerror(number)}"


@pytest.mark.parametrize(
    "form", ["", "relative", "{root}/missing.json", "{root}/etc", "{root}/dangling", "{root}/fifo"]
)
def test_a_policy_that_the_environment_names_must_be_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    (root / POLICY).unlink()
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    monkeypatch.setenv(signature.POLICY_VARIABLE, form.format(root=root))
    assert judged().startswith("refused: ")
    monkeypatch.setenv(signature.POLICY_VARIABLE, str(root / "etc/fieldlens/mine.json"))
    (root / "etc/fieldlens/mine.json").write_text(json.dumps(GOOD))
    assert judged() == "read"


def test_a_broken_policy_of_the_system_is_not_replaced_by_another(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = root / "good.json"
    good.write_text(json.dumps({"allowed_signers": "etc/fieldlens/allowed_signers"}))
    monkeypatch.setenv(signature.POLICY_VARIABLE, str(good))
    instead("policy.json", link("nowhere"))(root)
    assert "leads nowhere" in judged()


@pytest.mark.parametrize("name", ["dangling link", "FIFO", "folder writable by all", "revocation list: empty"])
def test_no_bundle_opens_then(root: Path, bundle_folder: Path, name: str) -> None:
    REFUSED[name][0](root)
    for flag in (False, True):
        with pytest.raises(SignatureRefused):
            open_bundle(bundle_folder, allow_unsigned=flag)


# ---------------------------------------------------------------- ssh-keygen


def test_the_callers_path_and_environment_do_not_reach_ssh_keygen(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program of the same name that takes everything, first on PATH; and a library that would be preloaded."""
    false = tmp_path / "ssh-keygen"
    false.write_text("#!/bin/sh\necho maker@clinic\nexit 0\n")
    false.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = device_policy()
    assert found is not None
    with pytest.raises(SignatureRefused, match="signed by nobody"):
        signature.check_signature(b"{}", b"-----BEGIN SSH SIGNATURE-----\n", found)
    seen: list[dict[str, str]] = []

    def recorded(*arguments: object, env: dict[str, str], **options: object) -> subprocess.CompletedProcess[bytes]:
        seen.append(env)
        return subprocess.CompletedProcess([], 0, b"maker@clinic", b"")

    monkeypatch.setenv("LD_PRELOAD", "/nowhere.so")
    monkeypatch.setenv("SSH_SK_PROVIDER", "/nowhere.so")
    monkeypatch.setattr(subprocess, "run", recorded)
    assert signature.check_signature(b"{}", b"x", found) == "maker@clinic"
    assert {frozenset(env) for env in seen} == {frozenset({"LC_ALL", "PATH"})}
    assert all(str(tmp_path) not in env["PATH"] for env in seen)


@pytest.mark.parametrize("bits", [0o777, 0o775, 0o644])
def test_a_program_that_others_can_replace_or_that_may_not_run_is_none(
    root: Path, monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    (root / "ssh-keygen").write_text("#!/bin/sh\n")
    (root / "ssh-keygen").chmod(bits)
    monkeypatch.setattr(signature, "PROGRAMS", (root / "ssh-keygen",))
    with pytest.raises(SignatureRefused, match="not installed"):
        signature.find_program()
