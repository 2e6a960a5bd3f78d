"""Defaults → TOML recipe → ``--set key=value``. What nobody knows is an error that suggests the nearest name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import Between, nearest
from fieldlens.runtime.files import records
from fieldlens.runtime.pixels.steps import Steps, with_size
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import Config, PreprocessConfig

_HINT = "docs/training.md lists every key and what it may be"
SHIPPED = Path(__file__).parents[1] / "recipes"
"""The kit's own recipes: beside the rooms in a checkout, inside the package where it is installed."""


_RETIRED = "data.shareable"
_SHARING = "no recipe shares images: `fieldlens convert bundle RUN --share-images HASH` does, once, for one data set"


def load_recipe(path: Path | None, overrides: Sequence[str] = (), reporter: Reporter = SILENT) -> Config:
    """Read a recipe (None: the defaults alone) and apply ``--set`` overrides.

    ``path`` may be the bare name of one of the kit's own, ``demo`` for one; a file of that name comes first.
    What an older version of the kit knew and this one ignores is said through ``reporter``.
    Raises ConfigError: no such file, not TOML, an unknown section or key, a value of the wrong type or range.
    """
    value: dict[str, Any] = {}
    if path is not None:
        path = _found(path)
        try:
            value = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError as error:
            raise ConfigError(f"there is no recipe {path}", _shipped_hint(path)) from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path} cannot be read as TOML: {error}", "recipes/demo.toml shows the form") from error
        for name, section in value.items():
            if not isinstance(section, dict):
                raise ConfigError(f"{path}: {name!r} stands outside of a section", "put it below [recipe], [train], …")
    for note in retired(value):
        reporter.say(f"note: {path}: {note}")
    for override in overrides:
        _override(value, override)
    return config_from_json(value)


def _found(path: Path) -> Path:
    """The file, or the kit's own recipe where ``path`` is the bare name of one and no file."""
    bare = path.name == str(path) and not path.suffix
    shipped = SHIPPED / f"{path.name}.toml"
    return shipped if bare and not path.is_file() and shipped.is_file() else path


def _shipped_hint(path: Path) -> str:
    names = sorted(file.stem for file in SHIPPED.glob("*.toml"))
    return f"give a file, or one of the kit's own: {nearest(path.stem, names)}" if names else "give a TOML file"


def retired(value: Any) -> list[str]:
    """What a recipe, or a run's configuration, asks for that this version no longer does: a note for each."""
    data = value.get("data") if isinstance(value, Mapping) else None
    asks = isinstance(data, Mapping) and data.get("shareable") is True
    return [f"{_RETIRED} is ignored; {_SHARING}"] if asks else []


def config_from_json(value: Any) -> Config:
    """Sections as plain values → Config; of older versions too (:func:`retired`). Raises ConfigError."""
    if not isinstance(value, Mapping):
        raise ConfigError("the configuration must be an object of sections", "see recipes/demo.toml for the form")
    known = [section.name for section in fields(Config)]
    for name in value:
        if name not in known:
            raise ConfigError(f"unknown section [{name}]", nearest(name, known))
    if isinstance(value.get("data"), Mapping):
        value = {**value, "data": {key: item for key, item in value["data"].items() if f"data.{key}" != _RETIRED}}
    given = {"preprocess": _preprocess(value["preprocess"])} if "preprocess" in value else {}
    rest = {name: section for name, section in value.items() if name not in given}
    return records.read(Config, rest, "", ConfigError, hint=_HINT, given=given)


def _override(value: dict[str, Any], override: str) -> None:
    """Apply one ``section.key=value``; the value is TOML, or a bare word."""
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or len(parts) < 2 or not all(parts):
        raise ConfigError(f"--set {override!r} is not section.key=value", "for example --set train.epochs=3")
    if ".".join(parts) == _RETIRED:
        raise ConfigError(f"--set {override!r}: there is no {_RETIRED} any more", _SHARING)
    try:
        parsed = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = text.strip()
    place: Any = value
    for part in parts[:-1]:
        if isinstance(place, list):  # one of [[train.stages]], by its number from 0
            place = place[int(part)] if part.isdecimal() and int(part) < len(place) else None
        else:
            place = place.setdefault(part, {})
        if not isinstance(place, dict | list):
            raise ConfigError(f"--set {override!r}: {part!r} is a value, not a section", "one dot less")
    if isinstance(place, list):
        raise ConfigError(f"--set {override!r} names no key of the stage", "for example --set train.stages.0.epochs=1")
    place[parts[-1]] = parsed


@dataclass(frozen=True)
class _PreprocessForm:
    """``steps`` as in the manifest; ``size`` is a short way to change the resize step's."""

    steps: Steps | None = None
    size: Annotated[int, Between(16, 1024)] | None = None


def _preprocess(value: Any) -> PreprocessConfig:
    form = records.read(_PreprocessForm, value, "preprocess", ConfigError, hint=_HINT)
    steps = PreprocessConfig().steps if form.steps is None else form.steps
    return PreprocessConfig(steps if form.size is None else with_size(steps, form.size))
