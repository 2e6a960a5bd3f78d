"""The one reader of records (recipes, manifests, what a device keeps): a dataclass says what its JSON may be.

A field's annotation is its type, and may carry rules (:mod:`fieldlens.runtime.fields`). Errors name the place and
suggest the nearest key. The inverse is :func:`dataclasses.asdict`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.fields import EXACT, Count, Tagged, Unfit, nearest, shown

T = TypeVar("T")
ErrorKind = Callable[[str, str], KitError]
"""Makes the caller's kind of error from a message and a hint."""
Rule = Callable[[Any], None]

_HINT = "make the file again with the tool that wrote it"
_WORDS = {dict: "an object", list: "a list", type(None): "null"}


def read(
    kind: type[T], value: Any, where: str, error: ErrorKind, *,
    hint: str = _HINT, renew: str = "", given: Mapping[str, Any] | None = None, noted: list[str] | None = None,
) -> T:  # fmt: skip
    """A ``kind`` (a dataclass) from parsed JSON or TOML. ``where`` names the file, or the place in it; may be empty.

    Ints pass as floats; booleans never pass as numbers; NaN and infinity never pass; lists become tuples. ``given``:
    fields that the caller has already, which the object must not have. ``renew``: what to do about a file that this kit
    wrote itself, said with every error; else ``hint`` is said where there is nothing better. ``noted``: takes the
    places of unknown keys, which are then no error.

    Raises ``error``: no object, a missing or unknown key, another type, a value that breaks a rule.
    """
    return _Reader(error, hint, renew, noted).record(kind, value, where, given or {})  # type: ignore[no-any-return]


def read_as(kind: Any, value: Any, where: str, error: ErrorKind, *, hint: str = _HINT, renew: str = "") -> Any:
    """As :func:`read`, for any type that a field may have, with its rules."""
    return _Reader(error, hint, renew, None).value(kind, value, where, where)


def read_file(kind: type[T], path: Path, error: ErrorKind, renew: str) -> T:
    """As :func:`read`, from a JSON file that this kit wrote. Raises ``error`` for one that cannot be read, too."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as reason:
        raise error(f"{path} cannot be read: {reason}", renew) from reason
    return read(kind, value, str(path), error, renew=renew)


def check(record: Any, where: str, error: ErrorKind, hint: str = "") -> None:
    """The rules of ``record``'s fields, for one that was not read but made. Raises ``error``."""
    made: Any = type(record)
    for name, (kind, _) in _declared(made).items():
        for rule in (*_rules(kind, True), *_rules(kind, False)):
            try:
                rule(getattr(record, name))
            except Unfit as unfit:
                raise error(f"{where}: {name!r} {unfit.message}", unfit.suggestion or hint) from None


@functools.cache
def _declared(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Field → its annotation, and whether it has a default."""
    hints = typing.get_type_hints(kind, include_extras=True)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is not missing or field.default_factory is not missing)
        for field in dataclasses.fields(kind)
        if field.init
    }


@functools.cache
def _bare(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


@functools.cache
def _marks(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind)[1:] if typing.get_origin(kind) is Annotated else ()


@functools.cache
def _rules(kind: Any, early: bool) -> tuple[Rule, ...]:
    return tuple(mark for mark in _marks(kind) if callable(mark) and getattr(mark, "early", False) is early)


@functools.cache
def _options(kind: Any) -> tuple[Any, ...]:
    """The members of a union; of anything else itself."""
    union = typing.get_origin(_bare(kind)) in (typing.Union, types.UnionType)
    return typing.get_args(_bare(kind)) if union else (kind,)


@functools.cache
def _plain(kind: Any) -> type:
    """The type that JSON has for ``kind``."""
    bare = _bare(kind)
    origin = typing.get_origin(bare) or bare
    if dataclasses.is_dataclass(bare) or origin is dict:
        return dict
    return list if origin is tuple else origin


@dataclass(frozen=True)
class _Reader:
    error: ErrorKind
    hint: str
    renew: str
    noted: list[str] | None

    def fail(self, message: str, suggestion: str = "") -> KitError:
        if self.renew:
            return self.error(f"{message} ({suggestion})" if suggestion else message, self.renew)
        return self.error(message, suggestion or self.hint)

    def record(self, kind: Any, value: Any, where: str, given: Mapping[str, Any]) -> Any:
        if not isinstance(value, Mapping):
            raise self.fail(f"{where or 'this'} must be an object, not {_name(value)}")
        declared = {name: entry for name, entry in _declared(kind).items() if name not in given}
        for key in value:
            if key not in declared:
                self.unknown(key, where, declared)
        found = dict(given)
        for name, (inner, has_default) in declared.items():
            place, path = _place(where, name), f"{where}.{name}" if where else name
            if name in value:
                found[name] = self.value(inner, value[name], place, path)
            elif not has_default:
                raise self.fail(f"{place} is missing")
        try:
            return kind(**found)
        except Unfit as unfit:
            raise self.fail(f"{where}: {unfit.message}", unfit.suggestion) from None

    def unknown(self, key: Any, where: str, known: Iterable[str]) -> None:
        if self.noted is not None:
            self.noted.append(_at(where, key))
            return
        raise self.fail(
            f"{where}: unknown key {shown(key)}" if where else f"unknown key {shown(key)}", nearest(key, known)
        )

    def value(self, kind: Any, value: Any, place: str, path: str) -> Any:
        """A value of the annotated type ``kind``. ``place``: what it is called in an error; ``path``: what is in it."""
        marks = _marks(kind)
        if EXACT in marks and self.noted is not None:
            return dataclasses.replace(self, noted=None).value(kind, value, place, path)
        tag = next((mark.key for mark in marks if isinstance(mark, Tagged)), "")
        option = self.option(kind, value, place, path, tag)
        self.obey(_rules(kind, True), value, place)
        if option is kind:
            found = self.plain(kind, value, place, path)
        else:  # a member of a union, which may have rules of its own
            found = self.value(option, self.without(value, tag), place, path)
        self.obey(_rules(kind, False), found, place)
        return found

    def obey(self, rules: Iterable[Rule], value: Any, place: str) -> None:
        for rule in rules:
            try:
                rule(value)
            except Unfit as unfit:
                raise self.fail(f"{place} {unfit.message}", unfit.suggestion) from None

    def without(self, value: Any, tag: str) -> Any:
        return {key: item for key, item in value.items() if key != tag} if tag else value

    def option(self, kind: Any, value: Any, place: str, path: str, tag: str) -> Any:
        """The member of a union that ``value`` is meant as: by its tag, else by its type."""
        options = _options(kind)
        if tag:
            known = {getattr(option, tag): option for option in options}
            word = value.get(tag) if isinstance(value, Mapping) else None
            if not isinstance(word, str):
                raise self.fail(f"{path} must be an object with a {tag!r}, not {shown(value)}")
            if word not in known:
                raise self.fail(f"{path}: unknown {tag} {shown(word)}", nearest(word, known))
            return known[word]
        for option in options:
            if _bare(option) is Any or _is(value, _plain(option)):
                return option
        wanted = " or ".join(_WORDS.get(plain) or plain.__name__ for plain in map(_plain, options))
        raise self.fail(f"{place} must be {wanted}, not {shown(value)}")

    def plain(self, kind: Any, value: Any, place: str, path: str) -> Any:
        """A value whose type is known to fit: what is in it, item by item."""
        bare = _bare(kind)
        plain, inner = _plain(kind), typing.get_args(bare)
        if dataclasses.is_dataclass(bare):
            return self.record(bare, value, path, {})
        if plain is dict and inner:
            return {key: self.value(inner[1], item, at, at) for key, item in value.items() for at in [_at(path, key)]}
        if plain is list and inner:
            kinds = [inner[0]] * len(value) if inner[-1] is ... else inner
            self.obey([Count(len(kinds), len(kinds))], value, place)
            items = enumerate(zip(kinds, value, strict=True))
            return tuple(self.value(each, item, f"{path}[{i}]", f"{path}[{i}]") for i, (each, item) in items)
        return self.number(value, place) if plain is float else value

    def number(self, value: float, place: str) -> float:
        try:
            number = float(value)
        except OverflowError:
            raise self.fail(f"{place} is a number of {int(value).bit_length()} bits") from None
        if not math.isfinite(number):
            raise self.fail(f"{place} must be finite, not {number!r}")
        return number


def _is(value: Any, plain: type) -> bool:
    if isinstance(value, bool):
        return plain is bool
    return isinstance(value, {float: (int, float), list: (list, tuple)}.get(plain, plain))


def _name(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _place(where: str, key: str) -> str:
    return f"{where}: {key!r}" if where else repr(key)


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if key.isidentifier() and len(key) <= 80 else f"{path}[{shown(key)}]"
