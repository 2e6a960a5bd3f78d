"""JSON from outside, read strictly and within limits: what is accepted means the same to every reader.

Python's own reader takes keys twice (the last wins), NaN, half of a surrogate pair and numbers of any length, and ends
with a RecursionError where somebody wrote ten thousand brackets. RFC 8259 leaves all of these to the implementation.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

DEPTH = 24
"""Of objects and lists inside each other."""
_DIGITS = 40
"""Of one number; a float64 needs 17, with sign, point and exponent 24."""
_TOKEN = re.compile(rb'["\\\[\]{}]')
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonError(ValueError):
    """What is wrong with the JSON, in words that go after a colon."""


def loads(data: bytes, limit: int) -> Any:
    """The value in ``data``, UTF-8 of at most ``limit`` bytes.

    Raises JsonError: too long, not UTF-8, not JSON, nested deeper than DEPTH, a key twice in an object, a number of
    more than 40 characters or beyond float64, NaN, infinity, half of a surrogate pair.
    """
    if len(data) > limit:
        raise JsonError(f"it has {len(data)} bytes; {limit} are allowed")
    _check_depth(data)
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise JsonError(f"it is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"it is not JSON ({error.msg}, line {error.lineno})") from None
    except RecursionError:
        raise JsonError("it is nested too deeply") from None
    if b"\\u" in data:
        _check_texts(value)
    return value


def _check_depth(data: bytes) -> None:
    """Brackets outside of texts, counted before anything recurses."""
    depth, inside, escaped = 0, False, -1
    for token in _TOKEN.finditer(data):
        sign, place = token[0], token.start()
        if inside:
            if sign == b"\\" and place != escaped:
                escaped = place + 1
            elif sign == b'"' and place != escaped:
                inside = False
        elif sign == b'"':
            inside = True
        elif sign in b"[{":
            depth += 1
            if depth > DEPTH:
                raise JsonError(f"it is nested more than {DEPTH} deep")
        elif sign in b"]}":
            depth -= 1


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise JsonError("a text holds half of a surrogate pair")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key)
            _check_texts(item)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise JsonError(f"the key {key[:40]!r} is there twice")
        value[key] = item
    return value


def _integer(text: str) -> int:
    return int(_short(text))


def _number(text: str) -> float:
    value = float(_short(text))
    if not math.isfinite(value):
        raise JsonError(f"the number {text} is beyond what a float64 holds")
    return value


def _short(text: str) -> str:
    if len(text) > _DIGITS:
        raise JsonError(f"a number of {len(text)} characters")
    return text


def _constant(text: str) -> NoReturn:
    raise JsonError(f"{text} is not JSON")
