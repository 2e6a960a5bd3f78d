"""Reading typed values out of parsed JSON, with errors that name the place and suggest the nearest key."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from fieldlens.runtime.errors import KitError

T = TypeVar("T")


def nearest(word: str, known: Iterable[str]) -> str:
    """A "did you mean" clause, or the list of what is known."""
    options = list(known)
    close = difflib.get_close_matches(word, options, n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(options)


def shown(value: Any, most: int = 80) -> str:
    """A value as an error message may hold it: on one line and not long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


class Fields:
    """A JSON object being read: each ``take`` checks the type and consumes the key; ``done`` refuses leftovers."""

    def __init__(self, value: Any, where: str, error: Callable[[str, str], KitError]) -> None:
        self._where = where
        self._error = error
        if not isinstance(value, Mapping):
            raise self.fail(f"{where} must be an object, not {type(value).__name__}")
        self._left = dict(value)
        self._seen: list[str] = []

    def fail(self, message: str, hint: str = "make the file again with the tool that wrote it") -> KitError:
        """The caller's kind of error for this place."""
        return self._error(message, hint)

    def take(self, key: str, kind: type[T] | tuple[type, ...], default: Any = ...) -> Any:
        """The value of ``key``; ints pass as floats; booleans never pass as numbers; NaN and infinity never pass."""
        self._seen.append(key)
        if key not in self._left:
            if default is ...:
                raise self.fail(f"{self._where}: {key!r} is missing")
            return default
        value = self._left.pop(key)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if float in kinds and isinstance(value, int) and not isinstance(value, bool):
            try:
                value = float(value)
            except OverflowError:
                raise self.fail(f"{self._where}: {key!r} is a number of {value.bit_length()} bits") from None
        if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            raise self.fail(f"{self._where}: {key!r} must be {wanted}, not {shown(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.fail(f"{self._where}: {key!r} must be finite, not {value!r}")
        return value

    def number(self, key: str, low: float, high: float, default: Any = ...) -> float:
        """A float within ``[low, high]``."""
        value = self.take(key, float, default)
        if not low <= value <= high:
            raise self.fail(f"{self._where}: {key!r} must be between {low} and {high}, not {value}")
        return float(value)

    def integer(self, key: str, low: int, high: int, default: Any = ...) -> int:
        """An int within ``[low, high]``."""
        value = self.take(key, int, default)
        if not low <= value <= high:
            raise self.fail(f"{self._where}: {key!r} must be between {low} and {high}, not {value}")
        return int(value)

    def choice(self, key: str, options: tuple[str, ...], default: Any = ...) -> str:
        """One of ``options``."""
        value = self.take(key, str, default)
        if value not in options:
            raise self.fail(f"{self._where}: {key!r} is {shown(value)}; {nearest(value[:80], options)}")
        return str(value)

    def child(self, key: str) -> Fields:
        """A nested object."""
        return Fields(self.take(key, dict), f"{self._where}.{key}", self._error)

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._left:
            raise self.fail(f"{self._where}: unknown key {shown(key)}", nearest(key[:80], self._seen))
