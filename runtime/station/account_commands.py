"""``fieldlens station init``, ``account`` and ``token``: from a shell on the machine, whether or not a station runs."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import sqlite3
import sys
from pathlib import Path

from fieldlens.runtime.audit.chain import AuditEntry
from fieldlens.runtime.errors import EXIT_OK, KitError
from fieldlens.runtime.files.printable import json_text
from fieldlens.runtime.station.clock import CLOCK
from fieldlens.runtime.station.records import accounts
from fieldlens.runtime.station.records.audit_key import change
from fieldlens.runtime.station.records.database import DATABASE, open_database
from fieldlens.runtime.station.serving import certificate

NAMES = "names"
"""The fact that lists what others call this machine."""
_SHELL = "shell"
_ADMIN = "admin"


def names_if_ready(data: Path) -> list[str] | None:
    """What others call this machine; None where no admin was made. Raises KitError."""
    if not (data / DATABASE).is_file():
        return None
    with contextlib.closing(open_database(data / DATABASE)) as connection:
        ready = any(account.role == _ADMIN for account in accounts.listed(connection))
        row = connection.execute("SELECT value FROM facts WHERE name = ?", (NAMES,)).fetchone()
    return list(json.loads(row["value"])) if ready and row is not None else None


def init(data: Path, arguments: argparse.Namespace) -> int:
    """The first admin and a certificate: after this the station may listen beyond this machine."""
    names = [certificate.check_name(name) for name in arguments.name]
    if (arguments.certificate is None) != (arguments.key is None):
        raise KitError("--certificate and --key belong together", "give both, or neither for a self-signed one")
    with contextlib.closing(open_database(data / DATABASE)) as connection:
        if any(account.role == _ADMIN for account in accounts.listed(connection)):
            raise KitError(
                f"{data}: has an admin already", "another passphrase: fieldlens station account admin --role admin"
            )
    secret = _secret(_ADMIN, _ADMIN)
    if arguments.certificate is None:
        files = certificate.make(data, names)
    else:
        files = certificate.take(data, arguments.certificate, arguments.key)

    def work(connection: sqlite3.Connection) -> None:
        accounts.put(connection, _ADMIN, _ADMIN, secret)
        statement = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        connection.execute(statement, (NAMES, json_text(names)))

    change(data, work, AuditEntry("settings", _SHELL, detail=f"init, certificate {files.fingerprint}"))
    print(f"account: {_ADMIN}")
    print(f"certificate: SHA-256 {files.fingerprint}")
    print("compare it with what the browser shows on its first visit")
    return EXIT_OK


def account(data: Path, arguments: argparse.Namespace) -> int:
    """List, make, change or remove accounts."""
    name = arguments.name
    if name is None:
        with contextlib.closing(open_database(data / DATABASE)) as connection:
            for each in accounts.listed(connection):
                print(f"{each.role:9} {each.name}")
        return EXIT_OK
    if arguments.remove:
        change(data, lambda connection: accounts.remove(connection, name), AuditEntry("account", _SHELL, name, "gone"))
        print(f"{name}: removed; its sessions have ended")
        return EXIT_OK
    role, secret = arguments.role, _secret(name, arguments.role)
    entry = AuditEntry("account", _SHELL, name, f"{role}, new secret")
    change(data, lambda connection: accounts.put(connection, name, role, secret), entry)
    print(f"{name}: {role}; older sessions have ended")
    return EXIT_OK


def token(data: Path, arguments: argparse.Namespace) -> int:
    """A token for a machine, shown once; or the end of one."""
    name, role, now = arguments.name, arguments.role, CLOCK.stamp()
    if arguments.revoke:
        entry = AuditEntry("token", _SHELL, name, "revoked")
        change(data, lambda connection: accounts.revoke_token(connection, name, now), entry)
        print(f"{name}: revoked")
        return EXIT_OK
    entry = AuditEntry("token", _SHELL, name, f"made, {role}")
    print(change(data, lambda connection: accounts.add_token(connection, name, role, now), entry))
    print("note: it is not shown again; send it as `Authorization: Bearer …`", file=sys.stderr)
    return EXIT_OK


def _secret(name: str, role: str) -> str:
    """Typed twice without an echo; or the first line of standard input where that is no terminal."""
    word = "PIN" if role == "operator" else "passphrase"
    if not sys.stdin.isatty():
        secret = sys.stdin.readline().rstrip("\n")
    else:
        secret = getpass.getpass(f"{word} for {name}: ")
        if secret != getpass.getpass("again: "):
            raise KitError("the two differ", "type the same twice")
    accounts.check_secret(role, secret)
    return secret
