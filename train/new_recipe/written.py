"""The recipe's file, and what is said of it."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.files.printable import printable
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import DataConfig
from fieldlens.train.new_recipe.survey import Survey, survey
from fieldlens.train.new_recipe.values import Choice, Value, choose
from fieldlens.train.recipe import load_recipe

_WIDTH = 52
"""Where the reasons begin."""
_NAMES = (
    ("name", '"unnamed"', "FILL IN: a short name; the bundle is called so"),
    ("title", '""', "FILL IN: a line for people: what is screened, on which images"),
    ("intended_use", '""', "FILL IN: for whom, by whom, with which camera"),
    ("reference_standard", '""', "FILL IN: how the labels were made, and by whom"),
    ("not_for", '""', "FILL IN: where it must not be used"),
)


def new_recipe(path: Path, positive: Sequence[str], out: Path, reporter: Reporter = SILENT) -> None:
    """Look at the data in ``path``, write the recipe ``out``, and say the next command.

    ``positive``: classes to refer; none: a classifier that refers nobody. Raises KitError: an ``out`` that exists, data
    that cannot be read, too few images to learn from.
    """
    if out.exists():
        raise ConfigError(f"{out} exists", "choose another --out, or remove it first")
    if out.suffix != ".toml":
        raise ConfigError(f"--out {out} is not called .toml", f"for example --out {out.stem or 'my'}.toml")
    found = survey(path, positive)
    for line in described(found):
        reporter.say(line)
    choice = choose(found, positive)
    atomic.make_folder(out.parent)
    atomic.write_text(out, recipe_text(found, choice))
    load_recipe(out)  # what was written can be read
    for note in choice.notes:
        reporter.say(f"note: {printable(note)}")
    data, recipe = (shlex.quote(str(each)) for each in (path, out))
    reporter.say(f"wrote {out}. Fill in name, title and intended use in it, and look at the lines with CHECK. Next:")
    reporter.say(f"  fieldlens train fit --recipe {recipe} --data {data} --out {shlex.quote(f'runs/{out.stem}')}")


def described(found: Survey) -> Iterator[str]:
    """What was found, for people."""
    data, looks = found.data, found.looks
    yield f"data: {printable(data.name)}, {found.form}: {len(data.samples)} images of {len(data.classes)} classes"
    sizes = sorted({(look.width, look.height) for look in looks}, key=lambda size: size[0] * size[1])
    several = f" to {sizes[-1][0]}×{sizes[-1][1]}" if len(sizes) > 1 else ""
    bits = " and ".join(str(bits) for bits in sorted({look.bits for look in looks}))
    kind = "colour" if found.colour else "grey"
    yield f"  {sizes[0][0]}×{sizes[0][1]}{several} pixels, {kind}, {bits} bits ({len(looks)} looked at)"
    how = f"by {_how_grouped(found.config)}" if found.groups else "none found"
    yield f"  groups (patients): {found.groups or ''} {how}".replace(":  ", ": ")
    yield f"  sites: {', '.join(map(printable, found.sites)) or 'none named'}"
    own = Counter(sample.split for sample in data.samples if sample.split)
    if own:
        yield f"  its own split: {', '.join(f'{part} {count}' for part, count in own.items())}"


def _how_grouped(config: DataConfig) -> str:
    return f"the pattern {config.group_pattern}" if config.group_pattern else f"the column {config.group_column}"


def recipe_text(found: Survey, choice: Choice) -> str:
    """The whole file."""
    sections = (
        ("recipe", {key: Value(text, why) for key, text, why in _NAMES}),
        ("data", _data(choice)),
    )
    lines = [
        f"# For {printable(found.data.name)}, written by `fieldlens train new-recipe`, which looked at the images.",
        "# FILL IN: only you know. CHECK: a guess from the images. docs/training.md lists every key.",
        *(f"# {line}" for line in described(found)),
        *(f"# Note: {printable(note)}" for note in choice.notes),
        *(line for name, values in sections for line in _section(name, values)),
        *_steps(choice.preprocess),
        *_section("model", {"arch": Value('"resnet18"', "the smallest, and enough for most sets")}),
        "",
        "# From fresh weights. With a few hundred images or fewer, `train fit --weights imagenet` (downloaded once)",
        "# usually gives more.",
        *_section("train", choice.fit)[1:],
        *_section("augment", choice.augment),
        *_section("decision", _decision(choice)),
    ]
    return "\n".join(lines) + "\n"


def _section(name: str, values: dict[str, Value]) -> list[str]:
    return ["", f"[{name}]", *(_line(f"{key} = {value.text}", value.why) for key, value in values.items())]


def _line(text: str, why: str) -> str:
    return f"{text:<{_WIDTH - 1}} # {why}" if why else text


def _steps(steps: Sequence[tuple[str, str]]) -> list[str]:
    return ["", "[preprocess]", "steps = [", *(_line(f"  {text},", why) for text, why in steps), "]"]


def _data(choice: Choice) -> dict[str, Value]:
    """What differs from the defaults, and the names of the classes."""
    data, default = choice.data, DataConfig()
    why = {
        "task": "an image has any number of findings, or none",
        "group_column": "the patient: never on both sides of a split. CHECK",
        "group_pattern": "the patient, in an image's path: never on both sides of a split. CHECK",
        "label_column": "CHECK", "image_column": "CHECK", "site_column": "CHECK", "split_column": "the set's own split",
        "classes": "order of the outputs: " + ", ".join(f"{_plain(n)} {c}" for n, c in choice.counts.items()),
        "val_fraction": "for the checkpoint and the threshold",
        "test_fraction": "opened once, at the end",
    }  # fmt: skip
    always = ("classes", "val_fraction", "test_fraction")
    found = {
        key: Value(_toml(getattr(data, key)), why.get(key, ""))
        for key in vars(default)
        if key in always or getattr(data, key) != getattr(default, key)
    }
    names = ", ".join(f"{_toml(name)} = {_toml(name)}" for name in choice.counts)
    found["display"] = Value(f"{{ {names} }}", "names for people: change those on the right")
    return found


def _plain(name: str) -> str:
    """For a comment, which ends with its line."""
    return printable(name)


def _decision(choice: Choice) -> dict[str, Value]:
    if not choice.positive:
        return {"positive": Value("[]", "a classifier: nobody is referred")}
    return {
        "positive": Value(_toml(choice.positive), "refer these"),
        "target": Value('"sensitivity >= 0.95"', "screening must not miss; or specificity >= 0.95"),
    }


def _toml(value: Any) -> str:
    """A word, a number, or a list of words."""
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
