"""Values that fit a set, each with its reason in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fieldlens.runtime.fields import nearest
from fieldlens.train.config import DataConfig
from fieldlens.train.data.samples import class_counts, marks
from fieldlens.train.data.splits import split, split_problems
from fieldlens.train.errors import DataError, Problem, all_at_once
from fieldlens.train.new_recipe.survey import Survey

LEAST = 6
"""Images (of as many patients, where groups are known) of each class: four to learn from, one to choose by, one to
judge by. That is where training runs, not where it is any good."""
ENOUGH = 100
"""Of each class: below this the recipe says that figures will be rough."""
INT8 = 32
"""Groups that the converter calibrates with at least (``convert.quantization.calibrate``)."""
STEADY = 200
"""Validation images: with fewer, an early epoch's AUC is the best by luck too often."""
DEAR = 60
"""Validation images: with fewer, they are too large a part of the set not to learn from them in the end."""
_SIZES = (64, 96, 128, 160, 192, 224)


@dataclass(frozen=True)
class Value:
    """A TOML value as text, and why."""

    text: str
    why: str = ""


@dataclass(frozen=True)
class Choice:
    """What a recipe is written from. ``train``: images to fit with; ``counts``: images of each class."""

    data: DataConfig
    positive: tuple[str, ...]
    counts: dict[str, int]
    train: int
    train_groups: int
    notes: tuple[str, ...]
    preprocess: list[tuple[str, str]]
    fit: dict[str, Value]
    augment: dict[str, Value]


def choose(found: Survey, positive: Sequence[str]) -> Choice:
    """Raises DataError: a positive class that is none, too few images to learn from or to split."""
    classes = found.data.classes
    _check_positive(found, positive)
    counts = dict(zip(classes, class_counts(found.data.samples, classes).tolist(), strict=True))
    _check_enough(found, counts)
    fraction = 0.2 if min(counts.values()) < ENOUGH else 0.15
    data = replace(found.config, classes=classes, val_fraction=fraction, test_fraction=fraction)
    if problems := split_problems(found.data, data):
        raise all_at_once(found.data.name, problems)
    parts = split(found.data, data)
    chosen = [sample for sample in found.data.samples if parts[sample.id] == "train"]
    judges = sum(part == "val" for part in parts.values())
    groups = len({f"#{s.id}" if s.group is None else f"={s.group}" for s in chosen})
    return Choice(
        data, tuple(positive), counts, len(chosen), groups, tuple(_notes(found, counts, groups)),
        _preprocess(found), _fit(found, counts, len(chosen), judges), _augment(found),
    )  # fmt: skip


def _check_positive(found: Survey, positive: Sequence[str]) -> None:
    classes = found.data.classes
    for name in positive:
        if name not in classes:
            raise DataError(
                f"--positive: {name!r} is not a class of {found.data.name} (its classes: {', '.join(classes)})",
                nearest(name, classes),
            )
    if found.config.task == "multiclass" and len(set(positive)) == len(classes):
        raise DataError("--positive names every class", "name those that are to be referred")


def _check_enough(found: Survey, counts: dict[str, int]) -> None:
    have = marks(found.data.samples, found.data.classes).astype(bool)
    names = np.array([f"#{s.id}" if s.group is None else f"={s.group}" for s in found.data.samples])
    problems = []
    for index, (name, count) in enumerate(counts.items()):
        groups = len(set(names[have[:, index]]))
        if groups < LEAST:
            people = f" of {groups} groups (patients)" if found.groups else ""
            problems.append(f"class {name!r} has {count} images{people}: too few to learn from")
    if problems:
        of = "patients" if found.groups else "images"
        hint = (
            f"each class needs at least {LEAST} {of}, better {ENOUGH} or more; add images, merge classes, or remove one"
        )
        raise all_at_once(found.data.name, [Problem(text, hint) for text in problems])


def _notes(found: Survey, counts: dict[str, int], groups: int) -> list[str]:
    notes = list(found.data.notes)
    if not found.groups:
        notes.append("nothing says which images are of one patient: they may be on both sides of the split")
    if min(counts.values()) < ENOUGH:
        notes.append(f"fewer than {ENOUGH} images of a class: the figures will be rough, and the threshold, too")
    if groups < INT8:
        of = "groups (patients)" if found.groups else "images"
        notes.append(f"{groups} training {of}, fewer than {INT8}: the bundle will be FP32 only, without INT8")
    if found.unreadable:
        notes.append(f"{len(found.unreadable)} of the images looked at cannot be read: {found.unreadable[0]}")
    if found.deep and len(found.deep) < len(found.looks):
        notes.append(f"{len(found.deep)} of {len(found.looks)} images have 16 bits, the others 8: export them alike")
    return notes


def _preprocess(found: Survey) -> list[tuple[str, str]]:
    """Steps as TOML, each with its reason."""
    steps = [('{ step = "orient" }', "some cameras write EXIF instead of turning the pixels")]
    if found.deep:
        low = float(np.median([look.low for look in found.deep]))
        high = max(float(np.median([look.high for look in found.deep])), low + 1)
        window = f'{{ step = "window", level = {(low + high) / 2:.0f}, width = {high - low:.0f} }}'
        steps.append((window, f"16 bits: grey values {low:.0f} to {high:.0f} hold 99% of an image. CHECK"))
    middle = found.sides[len(found.sides) // 2]
    size = max([side for side in _SIZES if side <= middle], default=_SIZES[0])
    ratios = sorted(max(look.width, look.height) / min(look.width, look.height) for look in found.looks)
    long = ratios[len(ratios) // 2] > 1.5
    mode = "pad" if long else "crop"
    why = "long images: whole, with black bars" if long else 'the centred square; "pad" keeps the edges'
    steps.append((f'{{ step = "resize", size = {size}, mode = "{mode}" }}', f"shorter sides are {middle} px; {why}"))
    return steps


def _fit(found: Survey, counts: dict[str, int], train: int, judges: int) -> dict[str, Value]:
    """``train`` and ``judges``: images of the training and the validation part."""
    batch, epochs = next(
        (batch, epochs)
        for most, batch, epochs in ((100, 8, 40), (500, 16, 40), (2000, 16, 26), (10_000, 32, 20), (10**12, 32, 10))
        if train <= most
    )
    uneven = max(counts.values()) > 1.5 * min(counts.values())
    ratio = f"the largest class is {max(counts.values()) / min(counts.values()):.1f} times the smallest"
    found_loss = "bce or focal" if found.config.task == "multilabel" else "cross-entropy"
    return {
        "epochs": Value(str(epochs), f"{train} training images: about {epochs * -(-train // batch)} steps"),
        "batch_size": Value(str(batch), "small sets need steps more than parallelism"),
        "lr": Value("0.001", "the peak of the cycle"),
        **_few(judges),
        "weight_decay": Value("0.05"),
        "label_smoothing": Value("0.0" if found.config.task == "multilabel" else "0.05", "labels are not certain"),
        "loss": Value('"auto"', found_loss),
        "class_weights": Value('"balanced"' if uneven else '"none"', ratio),
        "seed": Value("0"),
    }


def _few(judges: int) -> dict[str, Value]:
    """At 200 images these brought more than all else that was tried (docs/results.md, "Two hundred images")."""
    late = Value("0.9", f"only the last epochs may be kept: {judges} validation images choose by luck")
    again = Value("true", f"one more network learns from these {judges} as well, and is kept; twice the time")
    return ({"judge_from": late} if judges < STEADY else {}) | ({"refit": again} if judges < DEAR else {})


def _augment(found: Survey) -> dict[str, Value]:
    """By kind: grey images (X-ray, CT, ultrasound) keep their sides; photographs vary in light and colour as well."""
    if not found.colour:
        return {
            "rotate_degrees": Value("7", "grey images, as X-rays or ultrasound: a patient lies a little askew"),
            "zoom": Value("0.1"),
            "shift": Value("0.05"),
            "flip_horizontal": Value("false", "left and right may matter. CHECK"),
            "brightness": Value("0.15", "exposure"),
            "contrast": Value("0.15"),
        }
    return {
        "rotate_degrees": Value("20", "photographs. 180 and flip_vertical = true if there is no up and down. CHECK"),
        "zoom": Value("0.15", "distance of the camera"),
        "shift": Value("0.08", "aim of the hand"),
        "flip_horizontal": Value("true", "false if left and right matter. CHECK"),
        "brightness": Value("0.2", "lamp"),
        "contrast": Value("0.2"),
        "colour": Value("0.08", "another site's camera"),
    }
