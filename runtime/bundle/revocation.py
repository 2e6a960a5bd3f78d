"""Does a revocation list revoke anything? ``ssh-keygen -Y verify -r`` takes an empty one for a list of nobody.

Two formats: OpenSSH's binary key revocation list (its PROTOCOL.krl), and public keys in lines.
"""

from __future__ import annotations

import base64
import binascii
import struct

_MAGIC = b"SSHKRL\n\0"
_CERTIFICATES, _KEYS, _SHA1, _SIGNATURE, _SHA256, _EXTENSION = 1, 2, 3, 4, 5, 255
_KINDS = ("ssh-", "ecdsa-", "sk-")


def entries(data: bytes) -> int:
    """How many keys (or sets of certificates) are revoked. Raises ValueError for what is neither format, or cut."""
    if data.startswith(_MAGIC):
        return _binary(data)
    return sum(_is_key(line, number) for number, line in enumerate(data.decode("utf-8").splitlines(), 1))


def _is_key(line: str, number: int) -> bool:
    """False for comments and empty lines."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return False
    try:
        blob = base64.b64decode(words[1], validate=True) if words[0].startswith(_KINDS) else b""
        kind, _ = _text(blob)
    except (IndexError, binascii.Error, ValueError):
        kind = b""
    if kind.decode(errors="replace") != words[0]:
        raise ValueError(f"line {number} is no public key")
    return True


def _binary(data: bytes) -> int:
    left = data[len(_MAGIC) + 4 + 8 + 8 + 8 :]
    for _ in ("reserved", "comment"):
        _, left = _text(left)
    count = 0
    while left:
        kind, (content, left) = left[0], _text(left[1:])
        if kind == _CERTIFICATES:
            count += _certificates(content)
        elif kind in (_KEYS, _SHA1, _SHA256):
            count += _texts(content)
        elif kind != _EXTENSION:
            raise ValueError(f"it has a section of an unknown kind ({kind})")
    return count


def _certificates(content: bytes) -> int:
    """Subsections with something in them."""
    for _ in ("authority", "reserved"):
        _, content = _text(content)
    count = 0
    while content:
        part, content = _text(content[1:])
        count += bool(part)
    return count


def _texts(content: bytes) -> int:
    count = 0
    while content:
        part, content = _text(content)
        count += bool(part)
    return count


def _text(data: bytes) -> tuple[bytes, bytes]:
    """One string of the SSH protocol (RFC 4251), and what follows it."""
    if len(data) < 4:
        raise ValueError("it is cut short")
    (size,) = struct.unpack(">I", data[:4])
    if len(data) < 4 + size:
        raise ValueError("it is cut short")
    return data[4 : 4 + size], data[4 + size :]
