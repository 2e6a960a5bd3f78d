"""Names as they may be shown: a file's name can hold a newline, a terminal's command or text that runs backwards.

Lines for people, reports, overlays and the live view show every such character as an escape, so that no name can forge
a line or hide what follows it. JSON and CSV keep the exact name, because results must be matched to files; what of it
is not UTF-8 is ``\\udcXX`` there too, from which :func:`unescaped` makes the name again.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from typing import Any

_NOT_UTF8 = re.compile("[\ud800-\udfff]")
_LIKE_NOT_UTF8 = re.compile(r"\\ud[89a-f][0-9a-f]{2}")
_LIKE_AN_ESCAPE = re.compile(r"\\(?:[nrt\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
_OUTSIDE_ASCII = re.compile(r"[^\n\x20-\x7e]")


def printable(text: str) -> str:
    r"""``text`` on one line, what does not print as Python writes it: ``\n``, ``\x1b``, ``\u202e``, ``\udcff``.

    Escaped are control characters, marks of direction and of no width, line and paragraph separators, and the bytes of
    a file's name that are not UTF-8. Spaces of all kinds stay. Applying it twice changes nothing more.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """As :func:`printable`, for a message that may have several lines: all but the first are indented, so that no
    name in it can pass for a line of ours."""
    first, *others = map(printable, text.split("\n"))
    return "\n".join([first, *(line if line.startswith(" ") else f"  {line}" for line in others)])


def escaped(name: str) -> str:
    r"""``name`` for CSV: as it is, but what is not UTF-8 as ``\udcXX``. Where it holds such bytes, or these letters
    themselves, every backslash is doubled, so that :func:`unescaped` gives the name again."""
    if not _NOT_UTF8.search(name) and not _LIKE_NOT_UTF8.search(name):
        return name
    return _NOT_UTF8.sub(lambda found: f"\\u{ord(found[0]):04x}", name.replace("\\", "\\\\"))


def unescaped(text: str) -> str:
    """The name that :func:`escaped` wrote."""
    return _resolved(text) if _LIKE_NOT_UTF8.search(text) else text


def shown_name(name: str) -> str:
    r"""``name`` for a line of text: as :func:`printable`, and it can be told apart from a name that holds such an
    escape's letters: there, and beside escapes, every backslash is doubled. :func:`name_shown` is the way back."""
    if name.isprintable() and not _LIKE_AN_ESCAPE.search(name):
        return name
    return printable(name.replace("\\", "\\\\"))


def name_shown(text: str) -> str:
    """The name that :func:`shown_name` wrote."""
    return _resolved(text) if _LIKE_AN_ESCAPE.search(text) else text


def _resolved(text: str) -> str:
    return _LIKE_AN_ESCAPE.sub(lambda found: _LETTERS.get(found[0][1]) or chr(int(found[0][2:], 16)), text)


def html_text(text: str) -> str:
    """``text`` for a page: printable, and nothing in it is markup."""
    return html.escape(printable(text))


def json_text(value: Any, indent: int | None = None) -> str:
    """``value`` as JSON in which every string is exact, without a character that would break a line or move a cursor.

    JSON's own escapes stand for them; a byte of a name that is not UTF-8 is ``\\udcXX``, from which ``os.fsencode``
    makes the byte again. Refuses NaN and infinity, which are not JSON (ValueError).
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    if text.isascii() and "\x7f" not in text:
        return text
    return _OUTSIDE_ASCII.sub(lambda found: _in_json(found[0]), text)


def _shown(character: str) -> str:
    return character if _prints(character) else repr(character)[1:-1]


def _in_json(character: str) -> str:
    return character if _prints(character) else json.dumps(character)[1:-1]


def _prints(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"
