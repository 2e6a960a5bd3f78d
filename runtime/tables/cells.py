"""What a cell says: its text in one Unicode form, and whether it says that nothing is known."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

_MISSING = frozenset(
    {
        "", "nan", "-nan", "na", "<na>", "n/a", "n.a.", "n.a", "#n/a", "#n/a n/a", "#na", "1.#ind", "-1.#ind",
        "1.#qnan", "-1.#qnan", "nat", "none", "null", "(null)", "<null>", "[null]", "nil", "\\n", "-", "--", "---",
        "?", "??", ".", "..", "_", "missing", "<missing>", "not available", "(blank)", "blank", "empty", "(empty)",
        "undefined",
        "#value!", "#ref!", "#name?", "#div/0!", "#null!", "#num!", "#spill!", "#calc!",
    }
)  # fmt: skip
"""What pandas, R, databases and spreadsheets write for a value that is not there, in lower case."""
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-"))


def said(cell: str) -> str:
    """The cell in Unicode's composed form (NFC), every kind of space a plain one, nothing invisible, no border.

    macOS writes é as two characters and Windows as one; web pages and spreadsheets write spaces that do not break.
    """
    if cell.isascii():
        return cell.strip()
    composed = unicodedata.normalize("NFC", _INVISIBLE.sub("", cell))
    return "".join(" " if unicodedata.category(c) == "Zs" else c for c in composed).strip()


def alike(word: str) -> str:
    """A key that words share which a reader would take for one: case, spaces, Unicode's forms, ``1.0`` and ``1``."""
    if word.isascii() and word.isalnum():
        return word.casefold()
    folded = " ".join(unicodedata.normalize("NFKC", said(word)).translate(_DASHES).casefold().split())
    return re.sub(r"^(\d+)\.0+$", r"\1", folded)


def is_missing(word: str, named: Container[str] = ()) -> bool:
    """Whether a word means "not known", unless the recipe names it (``none`` may be a class)."""
    return word not in named and word.translate(_DASHES).casefold() in _MISSING
