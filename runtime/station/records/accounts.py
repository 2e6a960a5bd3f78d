"""Accounts and tokens: rows, secrets under scrypt, and the lock-out that grows with every wrong one.

Functions take a connection inside of a transaction that writes, so that a running station and the command line share
them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
from dataclasses import dataclass

from fieldlens.runtime.errors import KitError

ROLES = ("operator", "clinician", "admin")
LEAST_PIN, LEAST_PASSPHRASE = 6, 12
FREE_TRIES, FIRST_LOCK_S, LONGEST_LOCK_S = 5, 30.0, 3600.0
_NAME = re.compile(r"[\w][\w .@-]{0,62}", re.ASCII)
_LONGEST = 200
_TOKEN = "flt_"
_NOBODY = "00" * 16 + "$" + "00" * 32


class AccountError(KitError):
    """An account or token that cannot be as asked."""


@dataclass(frozen=True)
class Account:
    """Who may log in. ``changed`` grows with every new secret and role: sessions from before it end."""

    name: str
    role: str
    changed: int


@dataclass(frozen=True)
class LoginAttempt:
    """How a log-in ended: an account, or None; ``wait_s`` above 0 where the account is locked for so long."""

    account: Account | None
    wait_s: float = 0.0


def check_secret(role: str, secret: str) -> None:
    """Operators: at least six digits, or a passphrase; others: a passphrase. Raises AccountError."""
    if role == "operator" and secret.isascii() and secret.isdigit():
        short, dull = len(secret) < LEAST_PIN, len(set(secret)) == 1 or secret in "01234567890 9876543210"
        if short or dull:
            raise AccountError("this PIN is too easy to guess", f"at least {LEAST_PIN} digits, not 123456 or 111111")
    elif len(secret) < LEAST_PASSPHRASE:
        raise AccountError(
            "this passphrase is too short", f"at least {LEAST_PASSPHRASE} characters: four words do well"
        )
    if len(secret) > _LONGEST:
        raise AccountError("this passphrase is too long", f"at most {_LONGEST} characters")


def put(connection: sqlite3.Connection, name: str, role: str, secret: str) -> None:
    """A new account; or another secret and role for one that there is, which unlocks it. Raises AccountError."""
    if not _NAME.fullmatch(name) or role not in ROLES:
        raise AccountError(f"{name}: not an account's name", "letters, digits and . _ @ - and spaces; at most 63")
    check_secret(role, secret)
    if role != "admin":
        _keep_an_admin(connection, name)
    row = connection.execute("SELECT coalesce(max(changed), 0) + 1 FROM accounts").fetchone()
    connection.execute(
        "INSERT INTO accounts (name, role, secret, changed) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
        "role = excluded.role, secret = excluded.secret, changed = excluded.changed, failures = 0, locked_until = 0",
        (name, role, hashed(secret), row[0]),
    )


def remove(connection: sqlite3.Connection, name: str) -> None:
    """Raises AccountError where there is none, or it is the last admin."""
    _keep_an_admin(connection, name)
    if connection.execute("DELETE FROM accounts WHERE name = ?", (name,)).rowcount == 0:
        raise AccountError(f"{name}: there is no such account", "see the names: fieldlens station account")


def _keep_an_admin(connection: sqlite3.Connection, name: str) -> None:
    roles = {row[0]: row[1] for row in connection.execute("SELECT name, role FROM accounts")}
    if roles.get(name) == "admin" and list(roles.values()).count("admin") == 1:
        raise AccountError(f"{name} is the last admin", "make another one first")


def listed(connection: sqlite3.Connection) -> list[Account]:
    """All accounts."""
    return [Account(*row) for row in connection.execute("SELECT name, role, changed FROM accounts ORDER BY name")]


def attempt(connection: sqlite3.Connection, name: str, secret: str, now_s: float) -> LoginAttempt:
    """Try a secret. After five wrong ones the account is locked for 30 s, and twice as long after each further one.

    ``now_s``: seconds since 1970. A clock that was set back locks for the longest time at most. An unknown name takes
    as long as a wrong secret.
    """
    row = connection.execute("SELECT * FROM accounts WHERE name = ?", (name,)).fetchone()
    wait_s = 0.0 if row is None else row["locked_until"] - now_s
    if 0 < wait_s <= LONGEST_LOCK_S:
        return LoginAttempt(None, wait_s)
    right = matches(secret[:_LONGEST], _NOBODY if row is None else row["secret"])
    if row is None:
        return LoginAttempt(None)
    failures = 0 if right else row["failures"] + 1
    lock_s = min(LONGEST_LOCK_S, FIRST_LOCK_S * 2 ** min(failures - FREE_TRIES, 10)) if failures >= FREE_TRIES else 0.0
    connection.execute(
        "UPDATE accounts SET failures = ?, locked_until = ? WHERE name = ?", (failures, now_s + lock_s, name)
    )
    return LoginAttempt(Account(row["name"], row["role"], row["changed"])) if right else LoginAttempt(None, lock_s)


def hashed(secret: str) -> str:
    """Salt and scrypt hash (N 2¹⁴, r 8, p 1: 16 MB), as stored."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${_scrypt(secret, salt).hex()}"


def matches(secret: str, stored: str) -> bool:
    """Whether ``stored`` was made of ``secret``."""
    salt, _, digest = stored.partition("$")
    return hmac.compare_digest(_scrypt(secret, bytes.fromhex(salt)), bytes.fromhex(digest))


def _scrypt(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32)


def add_token(connection: sqlite3.Connection, name: str, role: str, created_utc: str) -> str:
    """A token for a machine: shown once, here. Raises AccountError."""
    if not _NAME.fullmatch(name) or role not in ROLES:
        raise AccountError(f"{name}: not a token's name", "letters, digits and . _ @ - and spaces; at most 63")
    token = _TOKEN + secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO tokens (name, role, sha256, created_utc) VALUES (?, ?, ?, ?)",
        (name, role, token_hash(token), created_utc),
    )
    return token


def revoke_token(connection: sqlite3.Connection, name: str, at_utc: str) -> None:
    """All tokens of that name. Raises AccountError where none is in use."""
    statement = "UPDATE tokens SET revoked_utc = ? WHERE name = ? AND revoked_utc IS NULL"
    if connection.execute(statement, (at_utc, name)).rowcount == 0:
        raise AccountError(f"{name}: no such token is in use", "the name that it was made with")


def token_hash(token: str) -> str:
    """As stored. 256 bits of chance need no scrypt."""
    return hashlib.sha256(token.encode()).hexdigest()


def of_token(connection: sqlite3.Connection, token: str) -> tuple[str, str] | None:
    """Name and role of a token that is in use, or None."""
    statement = "SELECT name, role FROM tokens WHERE sha256 = ? AND revoked_utc IS NULL"
    row = connection.execute(statement, (token_hash(token),)).fetchone()
    return None if row is None else (row["name"], row["role"])
