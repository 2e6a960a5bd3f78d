"""Answers to a camera's ``401``: Digest (RFC 7616 and the older RFC 2069) or Basic (RFC 7617).

The password is never sent before the camera has said how it wants it, and never as it is where Digest is offered.
Ours, because the standard library's Digest stops at SHA-1 and a client library would be one more package on a device.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.request import parse_http_list

_HASHES = {"SHA-256": "sha256", "SHA-512-256": "sha512_256", "MD5": "md5"}
"""By preference; only what this build of Python has is used."""


@dataclass(frozen=True)
class Login:
    """A user and a password, of which no text of ours shows the second."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Challenge:
    """One way in that a camera offers: ``scheme`` in lower case, its parameters by name in lower case."""

    scheme: str
    parameters: dict[str, str]

    @property
    def stale(self) -> bool:
        """The password may be right, but the nonce is too old."""
        return self.parameters.get("stale", "").lower() == "true"

    @property
    def algorithm(self) -> str:
        """``MD5`` unless it says otherwise, without ``-sess``, in upper case."""
        return self.parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")

    @property
    def rank(self) -> int:
        """The lower the better; -1: not known here."""
        if self.scheme == "basic":
            return len(_HASHES)
        known = [name for name, own in _HASHES.items() if own in hashlib.algorithms_available]
        return known.index(self.algorithm) if self.scheme == "digest" and self.algorithm in known else -1


def challenges(headers: Iterable[str]) -> list[Challenge]:
    """All challenges of the ``WWW-Authenticate`` headers, each of which may hold several."""
    found: list[Challenge] = []
    for item in (item for header in headers for item in parse_http_list(header)):
        scheme, rest = _split(item)
        if scheme:
            found.append(Challenge(scheme.lower(), {}))
        name, equals, value = rest.partition("=")
        if found and equals:
            found[-1].parameters[name.strip().lower()] = _unquoted(value.strip())
    return found


def _split(item: str) -> tuple[str, str]:
    """``Digest realm="x"`` → the scheme and its first parameter; a later parameter has no scheme in front."""
    match = re.fullmatch(r"(?s)([A-Za-z][\w-]*)(?:\s+(.*))?", item.strip())
    return (match[1], match[2] or "") if match else ("", item)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"(?s)\\(.)", r"\1", value[1:-1])
    return value


def best(offered: Iterable[Challenge]) -> Challenge | None:
    """The strongest challenge that can be answered here; None where there is none."""
    return min((each for each in offered if each.rank >= 0), key=lambda each: each.rank, default=None)


def authorization(challenge: Challenge, login: Login, path: str, client_nonce: str = "") -> bytes:
    """The ``Authorization`` header's value for ``GET path``. ``client_nonce``: for tests; default: a random one."""
    if challenge.scheme == "basic":
        return b"Basic " + base64.b64encode(f"{login.user}:{login.password}".encode())
    return _digest(challenge, login, path, client_nonce or secrets.token_hex(16)).encode()


def _digest(challenge: Challenge, login: Login, path: str, client_nonce: str) -> str:
    asked = challenge.parameters
    realm, nonce = asked.get("realm", ""), asked.get("nonce", "")

    def hashed(*parts: str) -> str:
        return hashlib.new(_HASHES[challenge.algorithm], ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    secret = hashed(login.user, realm, login.password)
    if asked.get("algorithm", "").upper().endswith("-SESS"):
        secret = hashed(secret, nonce, client_nonce)
    offered = [word.strip().lower() for word in asked.get("qop", "").split(",")]
    qop = next((word for word in ("auth", "auth-int") if word in offered), "")
    body = (hashed(""),) if qop == "auth-int" else ()
    what = hashed("GET", path, *body)
    hidden = asked.get("userhash", "").lower() == "true"
    quoted = {
        "username": hashed(login.user, realm) if hidden else login.user, "realm": realm, "nonce": nonce, "uri": path,
        "response": hashed(secret, nonce, "00000001", client_nonce, qop, what) if qop else hashed(secret, nonce, what),
    }  # fmt: skip
    if "opaque" in asked:
        quoted["opaque"] = asked["opaque"]
    plain = {"algorithm": asked["algorithm"]} if "algorithm" in asked else {}
    if qop:
        plain |= {"qop": qop, "nc": "00000001"}
    if qop or challenge.parameters.get("algorithm", "").upper().endswith("-SESS"):
        quoted["cnonce"] = client_nonce
    if hidden:
        plain["userhash"] = "true"
    parts = [f"{name}={_quote(value)}" for name, value in quoted.items()]
    return "Digest " + ", ".join([*parts, *(f"{name}={value}" for name, value in plain.items())])


def _quote(value: str) -> str:
    escaped = value.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
