"""The signature policy in every form: read, certainly not there, or refused. Never "no policy" by mistake."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldlens.runtime.bundle import signature
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.signature import NAMESPACE, SignatureRefused, device_policy, read_lists
from fieldlens.runtime.doctor import checks as doctor
from fieldlens.runtime.doctor.machine_checks import FAIL, OK, WARN

_NOBODY = 65534
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDnwA6sPEbcZMbtfHNZWtcvxCvHqxhmjTVtbrjJ2fbHk"
_SIGNERS = f'maker@clinic namespaces="{NAMESPACE}" {_KEY}\n'
_GOOD = {"allowed_signers": "allowed_signers", "revoked": "revoked"}
_KRL = b"SSHKRL\n\0" + struct.pack(">IQQQII", 1, 0, 0, 0, 0, 0)
Form = Callable[[Path], object]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to others (CI has it)")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stands for ``/``: anybody may look into it, and ``etc/fieldlens`` holds a policy that is all right."""
    before = os.umask(0o022)
    folder = Path(tempfile.mkdtemp(prefix="policy-"))
    folder.chmod(0o755)
    (folder / "etc/fieldlens").mkdir(parents=True)
    (folder / "etc/fieldlens/policy.json").write_text(json.dumps(_GOOD))
    (folder / "etc/fieldlens/allowed_signers").write_text(_SIGNERS)
    (folder / "etc/fieldlens/revoked").write_text(_KEY + "\n")
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


# ---------------------------------------------------------------- forms


def policy(text: str | bytes) -> Form:
    data = text.encode() if isinstance(text, str) else text
    return lambda root: (root / "etc/fieldlens/policy.json").write_bytes(data)


def instead(name: str, make: Form) -> Form:
    """Something else in the place of ``etc/fieldlens/NAME``."""

    def change(root: Path) -> None:
        (root / "etc/fieldlens" / name).unlink()
        make(root / "etc/fieldlens" / name)

    return change


def link(target: str) -> Form:
    return lambda path: path.symlink_to(target)


def mode(name: str, bits: int) -> Form:
    return lambda root: (root / name).chmod(bits)


def given(name: str) -> Form:
    """Owned by somebody else."""
    return lambda root: os.chown(root / name, 12345, 12345, follow_symlinks=False)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**10)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def moved(name: str, target: str, keep: bool = True) -> Form:
    """``name`` becomes a link to ``target``, where it now lies (or, without ``keep``, no longer does)."""

    def change(root: Path) -> None:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(root / target)
        (root / name).symlink_to(root / target)
        if not keep:
            shutil.rmtree(root / target) if (root / target).is_dir() else (root / target).unlink()

    return change


def emptied(name: str, target: str) -> Form:
    """``name`` is a link to a mount point on which nothing is mounted."""

    def change(root: Path) -> None:
        moved(name, target, keep=False)(root)
        (root / target).mkdir()

    return change


def both(*forms: Form) -> Form:
    return lambda root: [form(root) for form in forms]


def gone(name: str) -> Form:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def holds(name: str, data: bytes) -> Form:
    return lambda root: (root / name).write_bytes(data)


_POLICY, _FOLDER = "etc/fieldlens/policy.json", "etc/fieldlens"
REFUSED: dict[str, tuple[Form, str]] = {
    "dangling link": (instead("policy.json", link("nowhere")), "leads nowhere"),
    "link to itself": (instead("policy.json", link("policy.json")), "symbolic links"),
    "links in a circle": (both(instead("policy.json", link("b")), lambda r: link("policy.json")(r / _FOLDER / "b")),
                          "symbolic links"),
    "link to an unmounted disk": (moved(_POLICY, "mnt/usb/policy.json", keep=False), "leads nowhere"),
    "folder that is a dangling link": (moved(_FOLDER, "mnt/usb/fieldlens", keep=False), "leads nowhere"),
    "folder that is a link to an unmounted disk": (emptied(_FOLDER, "mnt/usb"), "leads to a folder without it"),
    "folder that is a link in a circle": (both(gone(_FOLDER), lambda r: link("fieldlens")(r / _FOLDER)),
                                          "symbolic links"),
    "folder that is a file": (both(gone(_FOLDER), holds(_FOLDER, b"")), "Not a directory"),
    "FIFO": (instead("policy.json", os.mkfifo), "a FIFO"),
    "folder in its place": (instead("policy.json", Path.mkdir), "a folder"),
    "socket": (instead("policy.json", bound), "a socket"),
    "link to a device": (instead("policy.json", link("/dev/zero")), "/dev/zero"),
    "empty": (policy(""), "not JSON"),
    "nonsense": (policy("allow all"), "not JSON"),
    "zeros": (policy(bytes(512)), "not JSON"),
    "a list": (policy("[]"), "must be an object"),
    "null": (policy("null"), "must be an object"),
    "deep nesting": (policy("[" * 30_000 + "]" * 30_000), "nested"),
    "deep nesting in a value": (policy('{"allowed_signers": ' + '{"a":' * 5000 + "1" + "}" * 5001), "nested"),
    "10 GB": (instead("policy.json", sparse), "are allowed"),
    "a key twice": (policy('{"allowed_signers": "a", "allowed_signers": "allowed_signers"}'), "twice"),
    "override twice": (policy('{"allowed_signers": "a", "override": false, "override": true}'), "twice"),
    "not UTF-8": (policy(b'{"allowed_signers": "\xff"}'), "not UTF-8"),
    "byte order mark": (policy(b"\xef\xbb\xbf{}"), "not JSON"),
    "unknown key": (policy('{"allowed_signers": "allowed_signers", "revokde": "x"}'), "unknown key"),
    "no signers": (policy("{}"), "'allowed_signers' is missing"),
    "signers that are a number": (policy('{"allowed_signers": 1}'), "must be str"),
    "signers without a name": (policy('{"allowed_signers": ""}'), "names no file"),
    "signers with a zero byte": (policy('{"allowed_signers": "a\\u0000b"}'), "names no file"),
    "signers with a name of 5,000 letters": (policy(json.dumps({"allowed_signers": "a" * 5000})), "too long"),
    "override that is text": (policy('{"allowed_signers": "allowed_signers", "override": "no"}'), "must be bool"),
    "revocation list without a name": (policy('{"allowed_signers": "allowed_signers", "revoked": ""}'), "names no"),
    "revocation list that is null": (policy('{"allowed_signers": "allowed_signers", "revoked": null}'), "must be str"),
    "writable by a group": (mode(_POLICY, 0o664), "can be written by others"),
    "writable by all": (mode(_POLICY, 0o646), "can be written by others"),
    "folder writable by a group": (mode(_FOLDER, 0o775), "can be written by others"),
    "folder writable by all": (mode(_FOLDER, 0o757), "can be written by others"),
    "folder above writable by all": (mode("etc", 0o777), "can be written by others"),
    "target writable by all": (both(moved(_POLICY, "mnt/policy.json"), mode("mnt/policy.json", 0o666)), "by others"),
    "target's folder writable by all": (both(moved(_POLICY, "mnt/policy.json"), mode("mnt", 0o777)), "by others"),
    "no policy in a folder writable by all": (both(gone(_POLICY), mode(_FOLDER, 0o777)),
                                              "can be written by others"),
    **{f"signers: {name}": (form, words) for name, form, words in (
        ("missing", gone(_FOLDER + "/allowed_signers"), "is missing"),
        ("dangling link", instead("allowed_signers", link("nowhere")), "leads nowhere"),
        ("FIFO", instead("allowed_signers", os.mkfifo), "a FIFO"),
        ("folder", instead("allowed_signers", Path.mkdir), "a folder"),
        ("10 GB", instead("allowed_signers", sparse), "are allowed"),
        ("not UTF-8", holds(_FOLDER + "/allowed_signers", b"\xff"), "utf-8"),
        ("writable by all", mode(_FOLDER + "/allowed_signers", 0o666), "by others"),
        ("without a namespace", lambda r: (r / _FOLDER / "allowed_signers").write_text(f"a@b {_KEY}"), "lacks"),
    )},
    **{f"revocation list: {name}": (form, words) for name, form, words in (
        ("missing", gone(_FOLDER + "/revoked"), "is missing"),
        ("dangling link", instead("revoked", link("nowhere")), "leads nowhere"),
        ("FIFO", instead("revoked", os.mkfifo), "a FIFO"),
        ("folder", instead("revoked", Path.mkdir), "a folder"),
        ("empty", holds(_FOLDER + "/revoked", b""), "revokes nobody"),
        ("comments only", holds(_FOLDER + "/revoked", b"# nobody\n\n"), "revokes nobody"),
        ("binary, empty", holds(_FOLDER + "/revoked", _KRL), "revokes nobody"),
        ("binary, cut", holds(_FOLDER + "/revoked", _KRL[:-3]), "cut short"),
        ("nonsense", holds(_FOLDER + "/revoked", b"none\n"), "line 1 is no public key"),
        ("writable by all", mode(_FOLDER + "/revoked", 0o666), "by others"),
    )},
}  # fmt: skip
FOREIGN: dict[str, tuple[Form, str]] = {
    "owned by another user": (given(_POLICY), "belongs to another user"),
    "folder owned by another user": (given(_FOLDER), "belongs to another user"),
    "folder above owned by another user": (given("etc"), "belongs to another user"),
    "link owned by another user": (both(moved(_POLICY, "mnt/policy.json"), given(_POLICY)), "belongs to another user"),
    "signers owned by another user": (given(_FOLDER + "/allowed_signers"), "belongs to another user"),
    "revocation list owned by another user": (given(_FOLDER + "/revoked"), "belongs to another user"),
    "in a folder for all, owned by another user": (both(mode(_FOLDER, 0o1777), given(_POLICY)), "another user"),
    "no policy in another user's folder": (both(gone(_POLICY), given(_FOLDER)), "another user"),
}
CLOSED: dict[str, tuple[Form, str]] = {
    "folder may not be searched": (mode(_FOLDER, 0o700), "Permission denied"),
    "folder may be listed, not searched": (mode(_FOLDER, 0o744), "Permission denied"),
    "folder above may not be searched": (mode("etc", 0o700), "Permission denied"),
    "link's folder may not be searched": (both(moved(_POLICY, "mnt/policy.json"), mode("mnt", 0o700)), "Permission"),
    "may not be read": (mode(_POLICY, 0o600), "Permission denied"),
    "signers may not be read": (mode(_FOLDER + "/allowed_signers", 0o600), "Permission denied"),
    "revocation list may not be read": (mode(_FOLDER + "/revoked", 0o600), "Permission denied"),
    "missing, and its folder may not be searched": (both(gone(_POLICY), mode(_FOLDER, 0o700)),
                                                    "Permission denied"),
}  # fmt: skip
READ: dict[str, Form] = {
    "as it should be": lambda root: None,
    "without a revocation list": policy('{"allowed_signers": "allowed_signers"}'),
    "a link to a good file": moved(_POLICY, "mnt/policy.json"),
    "a folder that is a link": moved(_FOLDER, "opt/fieldlens"),
    "in a folder where everybody may write but not remove": mode("etc", 0o1777),
    "a signers' file elsewhere": both(policy('{"allowed_signers": "../signers"}'),
                                      lambda r: (r / "etc/signers").write_text(_SIGNERS)),
}  # fmt: skip
NONE: dict[str, Form] = {
    "an empty folder": both(gone(_FOLDER), lambda root: (root / _FOLDER).mkdir()),
    "no folder": gone(_FOLDER),
    "no folder above": gone("etc"),
}


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
@pytest.mark.parametrize("step", [_POLICY, _FOLDER, "etc"])
def test_a_disk_or_network_that_fails_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    real = Path.lstat

    def failing(self: Path) -> os.stat_result:
        if self == root / step:
            raise OSError(number, os.strerror(number), str(self))
        return real(self)

    monkeypatch.setattr(Path, "lstat", failing)
    assert judged() == f"refused: the signature policy {root / _POLICY} cannot be read: {os.strerror(number)}"


@pytest.mark.parametrize(
    "form", ["", "relative", "{root}/missing.json", "{root}/etc", "{root}/dangling", "{root}/fifo"]
)
def test_a_policy_that_the_environment_names_must_be_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    (root / _POLICY).unlink()
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    monkeypatch.setenv(signature.POLICY_VARIABLE, form.format(root=root))
    assert judged().startswith("refused: ")
    monkeypatch.setenv(signature.POLICY_VARIABLE, str(root / "etc/fieldlens/mine.json"))
    (root / "etc/fieldlens/mine.json").write_text(json.dumps(_GOOD))
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
