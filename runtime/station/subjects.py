"""Subject IDs: typed, scanned, or made here. Never a name: what identifies a person stays on the clinic's own paper."""

from __future__ import annotations

import re
import secrets

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$"
_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without 0 O 1 I L: the ID is read aloud and written by hand. 31 signs, a prime, so that the check digit finds every
wrong sign and every swap of neighbours (weighted sum modulo a prime, as ISBN-10 has it)."""


def new_subject() -> str:
    """``S-7K3F-9Q2M-X``: 40 bits of chance and a check sign."""
    number, body = secrets.randbelow(len(_LETTERS) ** 8), ""
    for _ in range(8):
        number, place = divmod(number, len(_LETTERS))
        body += _LETTERS[place]
    return f"S-{body[:4]}-{body[4:]}-{_check(body)}"


def mistyped(subject: str) -> bool:
    """Whether it has the form of an ID made here, and its check sign is wrong."""
    found = re.fullmatch(rf"S-([{_LETTERS}]{{4}})-([{_LETTERS}]{{4}})-([{_LETTERS}])", subject)
    return found is not None and _check(found[1] + found[2]) != found[3]


def _check(body: str) -> str:
    return _LETTERS[sum(_LETTERS.index(sign) * place for place, sign in enumerate(body, 1)) % len(_LETTERS)]
