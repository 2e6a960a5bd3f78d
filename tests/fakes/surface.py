"""Classes with exactly the names, signatures and enum values of a recorded binding, and nothing else.

A member that a version lacks raises AttributeError; a call that no recorded signature takes raises TypeError. What a
method does comes from a behaviour class; one that has none raises NotImplementedError, so no test passes by accident.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
Classes = dict[str, Any]


@cache
def surface(folder: str, version: str) -> dict[str, Any]:
    """The recorded surface, e.g. ``("tensorrt-api", "8.6.1")``."""
    value: dict[str, Any] = json.loads((FIXTURES / folder / f"{version}.json").read_text())
    return value


def make_enum(name: str, members: dict[str, Any]) -> type:
    """An enum as pybind11 makes them: named values, convertible to int, comparable within their own kind."""

    def compare(self: Any, other: object) -> bool:
        return type(self) is type(other) and self._value == other._value  # type: ignore[attr-defined]

    body: dict[str, Any] = {
        "__int__": lambda self: self._value,
        "__index__": lambda self: self._value,
        "__eq__": compare,
        "__hash__": lambda self: hash((name, self._value)),
        "__repr__": lambda self: f"<{name}.{self._name}: {self._value}>",
    }
    for extra in ("name", "value"):
        if members.get(extra) in ("property", "value"):
            body[extra] = property(attrgetter(f"_{extra}"))
    made: Any = type(name, (), body)
    for member, number in members.items():
        if isinstance(number, int):
            value = made()
            value._name, value._value = member, number
            setattr(made, member, value)
    return cast(type, made)


def is_enum(members: dict[str, Any]) -> bool:
    """Whether a recorded class is an enum."""
    return any(isinstance(value, int) for value in members.values())


def make_class(name: str, members: dict[str, Any], behaviour: type | None, known: Classes) -> type:
    """A class with the recorded members; ``known`` resolves the types in signatures."""
    body: dict[str, Any] = {"_surface": frozenset(members), "__setattr__": _guarded_set}
    for member, recorded in members.items():
        own = getattr(behaviour, member, None) if behaviour and member != "__init__" else None
        if member == "__init__":
            body[member] = _constructor(name, recorded, behaviour, known)
        elif isinstance(recorded, list):
            body[member] = _method(name, member, recorded, own, known)
        elif isinstance(own, property):
            body[member] = own
        elif recorded == "property":
            body[member] = _stored_property(member)
    not_copied = ("__dict__", "__weakref__", "__module__", "__doc__", "__init__")
    own_members = vars(behaviour).items() if behaviour else ()
    body.update({key: value for key, value in own_members if key.startswith("_") and key not in not_copied})
    body["_is_fake"] = True
    return type(name, (), body)


def create(cls: type, **state: Any) -> Any:
    """An instance that Python could not construct, with underscore attributes set."""
    made: Any = object.__new__(cls)
    for name, value in state.items():
        object.__setattr__(made, f"_{name}", value)
    return made


def _guarded_set(self: Any, name: str, value: Any) -> None:
    if "_is_fake" in vars(type(self)) and not name.startswith("_") and name not in self._surface:
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
    object.__setattr__(self, name, value)


def _stored_property(member: str) -> property:
    def get(self: Any) -> Any:
        return self.__dict__.get(f"_property_{member}")

    def put(self: Any, value: Any) -> None:
        self.__dict__[f"_property_{member}"] = value

    return property(get, put)


def _constructor(name: str, recorded: Any, behaviour: type | None, known: Classes) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if recorded == ["?"]:
            raise TypeError(f"{name}: No constructor defined!")
        bound = bind(recorded, args, kwargs, known)
        start = getattr(behaviour, "_init", None)
        if start is not None:
            start(self, *bound.values())

    return __init__


def _method(name: str, member: str, recorded: list[str], own: Any, known: Classes) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = bind(recorded, args, kwargs, known)
        if own is None:
            raise NotImplementedError(f"the fake {name}.{member} does nothing yet")
        return own(self, *bound.values())

    return call


def bind(recorded: list[str], args: tuple[Any, ...], kwargs: dict[str, Any], known: Classes) -> dict[str, Any]:
    """The arguments by name for the first signature that takes them. Raises TypeError, as pybind11 does."""
    for text in recorded:
        parameters = parse(text)
        if parameters is None:
            return {str(index): value for index, value in enumerate(args)} | kwargs
        if (bound := _fit(parameters, args, kwargs, known)) is not None:
            return bound
    raise TypeError(f"incompatible function arguments: {args} {kwargs}; supported: {'; '.join(recorded)}")


@cache
def parse(text: str) -> tuple[tuple[str, str, bool], ...] | None:
    """``(name, type, optional)`` of each parameter but self; None where nothing was recorded."""
    match = re.fullmatch(r"\w+\((.*)\)(?: -> .*)?", text)
    if match is None:
        return None
    parts, depth, current = [], 0, ""
    for letter in match[1]:
        depth += (letter in "[<(") - (letter in "]>)")
        if letter == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += letter
    parts += [current] if current.strip() else []
    parameters = []
    for part in parts:
        declared, equals, _ = part.partition(" = ")
        name, _, kind = declared.partition(":")
        parameters.append((name.strip(), kind.strip(), bool(equals)))
    return tuple(parameter for parameter in parameters if parameter[0] != "self")


def _fit(
    parameters: tuple[tuple[str, str, bool], ...], args: tuple[Any, ...], kwargs: dict[str, Any], known: Classes
) -> dict[str, Any] | None:
    if len(args) > len(parameters) or set(kwargs) - {name for name, _, _ in parameters[len(args) :]}:
        return None
    bound = dict(zip((name for name, _, _ in parameters), args, strict=False)) | kwargs
    for name, kind, optional in parameters:
        if name not in bound:
            if not optional:
                return None
        elif not accepts(bound[name], kind, known):
            return None
    return bound


def accepts(value: Any, kind: str, known: Classes) -> bool:
    """Whether pybind11 converts ``value`` to the C++ type behind ``kind``."""
    if kind in ("int", "SupportsInt"):
        return hasattr(value, "__index__")
    if kind in ("float", "SupportsFloat"):
        return isinstance(value, int | float)
    if kind in ("str", "bool"):
        return isinstance(value, {"str": str, "bool": bool}[kind])
    if kind in ("buffer", "Buffer"):
        return isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "nbytes")
    if kind in ("tuple", "list"):
        return type(value).__name__ == kind
    if kind.startswith(("List[", "list[", "collections.abc.Sequence[")):
        return isinstance(value, list | tuple)
    if kind == "Dims" and isinstance(value, list | tuple):
        return all(hasattr(item, "__index__") for item in value)
    last = re.split(r"::|\.", kind)[-1]
    wanted = known.get(last)
    return value is None or wanted is None or isinstance(value, wanted)
