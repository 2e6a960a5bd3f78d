"""Every form of a signature policy that a disk can hold, for the table of tests."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from fieldlens.runtime.bundle.signature import NAMESPACE

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDnwA6sPEbcZMbtfHNZWtcvxCvHqxhmjTVtbrjJ2fbHk"
SIGNERS = f'maker@clinic namespaces="{NAMESPACE}" {KEY}\n'
GOOD = {"allowed_signers": "allowed_signers", "revoked": "revoked"}
POLICY, FOLDER = "etc/fieldlens/policy.json", "etc/fieldlens"
_KRL = b"SSHKRL\n\0" + struct.pack(">IQQQII", 1, 0, 0, 0, 0, 0)
Form = Callable[[Path], object]


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


REFUSED: dict[str, tuple[Form, str]] = {
    "dangling link": (instead("policy.json", link("nowhere")), "leads nowhere"),
    "link to itself": (instead("policy.json", link("policy.json")), "symbolic links"),
    "links in a circle": (both(instead("policy.json", link("b")), lambda r: link("policy.json")(r / FOLDER / "b")),
                          "symbolic links"),
    "link to an unmounted disk": (moved(POLICY, "mnt/usb/policy.json", keep=False), "leads nowhere"),
    "folder that is a dangling link": (moved(FOLDER, "mnt/usb/fieldlens", keep=False), "leads nowhere"),
    "folder that is a link to an unmounted disk": (emptied(FOLDER, "mnt/usb"), "leads to a folder without it"),
    "folder that is a link in a circle": (both(gone(FOLDER), lambda r: link("fieldlens")(r / FOLDER)),
                                          "symbolic links"),
    "folder that is a file": (both(gone(FOLDER), holds(FOLDER, b"")), "Not a directory"),
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
    "writable by a group": (mode(POLICY, 0o664), "can be written by others"),
    "writable by all": (mode(POLICY, 0o646), "can be written by others"),
    "folder writable by a group": (mode(FOLDER, 0o775), "can be written by others"),
    "folder writable by all": (mode(FOLDER, 0o757), "can be written by others"),
    "folder above writable by all": (mode("etc", 0o777), "can be written by others"),
    "target writable by all": (both(moved(POLICY, "mnt/policy.json"), mode("mnt/policy.json", 0o666)), "by others"),
    "target's folder writable by all": (both(moved(POLICY, "mnt/policy.json"), mode("mnt", 0o777)), "by others"),
    "no policy in a folder writable by all": (both(gone(POLICY), mode(FOLDER, 0o777)),
                                              "can be written by others"),
    **{f"signers: {name}": (form, words) for name, form, words in (
        ("missing", gone(FOLDER + "/allowed_signers"), "is missing"),
        ("dangling link", instead("allowed_signers", link("nowhere")), "leads nowhere"),
        ("FIFO", instead("allowed_signers", os.mkfifo), "a FIFO"),
        ("folder", instead("allowed_signers", Path.mkdir), "a folder"),
        ("10 GB", instead("allowed_signers", sparse), "are allowed"),
        ("not UTF-8", holds(FOLDER + "/allowed_signers", b"\xff"), "utf-8"),
        ("writable by all", mode(FOLDER + "/allowed_signers", 0o666), "by others"),
        ("without a namespace", lambda r: (r / FOLDER / "allowed_signers").write_text(f"a@b {KEY}"), "lacks"),
    )},
    **{f"revocation list: {name}": (form, words) for name, form, words in (
        ("missing", gone(FOLDER + "/revoked"), "is missing"),
        ("dangling link", instead("revoked", link("nowhere")), "leads nowhere"),
        ("FIFO", instead("revoked", os.mkfifo), "a FIFO"),
        ("folder", instead("revoked", Path.mkdir), "a folder"),
        ("empty", holds(FOLDER + "/revoked", b""), "revokes nobody"),
        ("comments only", holds(FOLDER + "/revoked", b"# nobody\n\n"), "revokes nobody"),
        ("binary, empty", holds(FOLDER + "/revoked", _KRL), "revokes nobody"),
        ("binary, cut", holds(FOLDER + "/revoked", _KRL[:-3]), "cut short"),
        ("nonsense", holds(FOLDER + "/revoked", b"none\n"), "line 1 is no public key"),
        ("writable by all", mode(FOLDER + "/revoked", 0o666), "by others"),
    )},
}  # fmt: skip
FOREIGN: dict[str, tuple[Form, str]] = {
    "owned by another user": (given(POLICY), "belongs to another user"),
    "folder owned by another user": (given(FOLDER), "belongs to another user"),
    "folder above owned by another user": (given("etc"), "belongs to another user"),
    "link owned by another user": (both(moved(POLICY, "mnt/policy.json"), given(POLICY)), "belongs to another user"),
    "signers owned by another user": (given(FOLDER + "/allowed_signers"), "belongs to another user"),
    "revocation list owned by another user": (given(FOLDER + "/revoked"), "belongs to another user"),
    "in a folder for all, owned by another user": (both(mode(FOLDER, 0o1777), given(POLICY)), "another user"),
    "no policy in another user's folder": (both(gone(POLICY), given(FOLDER)), "another user"),
}
CLOSED: dict[str, tuple[Form, str]] = {
    "folder may not be searched": (mode(FOLDER, 0o700), "Permission denied"),
    "folder may be listed, not searched": (mode(FOLDER, 0o744), "Permission denied"),
    "folder above may not be searched": (mode("etc", 0o700), "Permission denied"),
    "link's folder may not be searched": (both(moved(POLICY, "mnt/policy.json"), mode("mnt", 0o700)), "Permission"),
    "may not be read": (mode(POLICY, 0o600), "Permission denied"),
    "signers may not be read": (mode(FOLDER + "/allowed_signers", 0o600), "Permission denied"),
    "revocation list may not be read": (mode(FOLDER + "/revoked", 0o600), "Permission denied"),
    "missing, and its folder may not be searched": (both(gone(POLICY), mode(FOLDER, 0o700)),
                                                    "Permission denied"),
}  # fmt: skip
READ: dict[str, Form] = {
    "as it should be": lambda root: None,
    "without a revocation list": policy('{"allowed_signers": "allowed_signers"}'),
    "a link to a good file": moved(POLICY, "mnt/policy.json"),
    "a folder that is a link": moved(FOLDER, "opt/fieldlens"),
    "in a folder where everybody may write but not remove": mode("etc", 0o1777),
    "a signers' file elsewhere": both(policy('{"allowed_signers": "../signers"}'),
                                      lambda r: (r / "etc/signers").write_text(SIGNERS)),
}  # fmt: skip
NONE: dict[str, Form] = {
    "an empty folder": both(gone(FOLDER), lambda root: (root / FOLDER).mkdir()),
    "no folder": gone(FOLDER),
    "no folder above": gone("etc"),
}
