"""The recipe that is written: readable, fitting, or refused with what is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.errors import KitError
from fieldlens.runtime.pixels.steps import Orient, Resize, Window
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.cli import main
from fieldlens.train.config import Config
from fieldlens.train.data.load import load_split
from fieldlens.train.decide.operating_point import check_decision
from fieldlens.train.new_recipe.survey import survey
from fieldlens.train.new_recipe.values import choose
from fieldlens.train.new_recipe.written import new_recipe
from fieldlens.train.recipe import load_recipe
from tests.train.new_recipe.sets import folders, grey16, xray


def made(data: Path, out: Path, *positive: str) -> Config:
    """The recipe, read, and tried on its data as far as ``fit`` goes before torch."""
    new_recipe(data, positive, out)
    config = load_recipe(out)
    found, _ = load_split(data, config.data)
    check_decision(config.decision, found.classes, config.data.task)
    return config


def test_photographs(tmp_path: Path) -> None:
    config = made(folders(tmp_path / "set", {"ill": 10, "well": 30}), tmp_path / "my.toml", "ill")
    assert config.data.classes == ("ill", "well")
    assert config.preprocess.steps == (Orient(), Resize(64, "crop"))
    assert config.train.class_weights == "balanced"
    assert (config.train.batch_size, config.train.epochs) == (8, 40)
    assert config.augment.colour > 0
    assert config.augment.flip_horizontal
    assert config.decision.positive == ("ill",)
    assert (config.recipe.name, config.recipe.title, config.recipe.intended_use) == ("unnamed", "", "")


def test_grey_images_are_neither_tinted_nor_mirrored(tmp_path: Path) -> None:
    config = made(folders(tmp_path / "set", {"ill": 9, "well": 9}, xray), tmp_path / "my.toml", "ill")
    assert (config.augment.colour, config.augment.flip_horizontal) == (0.0, False)
    assert config.augment.rotate_degrees < 10
    assert config.train.class_weights == "none"


@pytest.mark.parametrize(("images", "share", "again"), [(60, 0.9, True), (300, 0.9, False), (1400, 0.0, False)])
def test_few_validation_images_choose_among_the_last_epochs_and_are_learnt_from_in_the_end(
    tmp_path: Path, images: int, share: float, again: bool
) -> None:
    config = made(folders(tmp_path / "set", {"ill": images, "well": images}, xray), tmp_path / "my.toml", "ill")
    assert config.train.judge_from == share
    assert config.train.refit == again


def test_sixteen_bits_get_a_window(tmp_path: Path) -> None:
    config = made(folders(tmp_path / "set", {"ill": 9, "well": 9}, grey16), tmp_path / "my.toml", "ill")
    window = next(step for step in config.preprocess.steps if isinstance(step, Window))
    assert 1900 < window.level < 2100
    assert 1800 < window.width < 2100


@pytest.mark.parametrize(
    ("sides", "size", "mode"),
    [((640, 480), 224, "crop"), ((150, 140), 128, "crop"), ((28, 28), 64, "crop"), ((900, 300), 224, "pad")],
)
def test_the_size_fits_the_images(tmp_path: Path, sides: tuple[int, int], size: int, mode: str) -> None:
    found = survey(folders(tmp_path / "set", {"ill": 8, "well": 8}), ["ill"])
    looks = tuple(replace(look, width=sides[0], height=sides[1]) for look in found.looks)
    text = choose(replace(found, looks=looks), ["ill"]).preprocess[-1][0]
    assert f'size = {size}, mode = "{mode}"' in text


def test_names_of_any_kind_survive(tmp_path: Path) -> None:
    names = ('a "quoted" one', "back\\slash", "naïve möle", "with, comma", "# no comment")
    config = made(folders(tmp_path / "set", dict.fromkeys(names, 7)), tmp_path / "my.toml", names[0])
    assert set(config.data.classes) == set(names)
    assert config.data.display == {name: name for name in names}


def test_several_findings_and_a_classifier(tmp_path: Path) -> None:
    marks = np.stack([np.arange(60) % 2, np.arange(60) // 2 % 2], axis=1)
    np.savez(tmp_path / "set.npz", train_images=np.zeros((60, 28, 28), np.uint8), train_labels=marks)
    config = made(tmp_path / "set.npz", tmp_path / "several.toml", "1")
    assert config.data.task == "multilabel"
    assert made(tmp_path / "set.npz", tmp_path / "none.toml").decision.positive == ()


@pytest.mark.parametrize(
    ("counts", "positive", "message", "hint"),
    [
        ({"ill": 5, "well": 40}, "ill", "class 'ill' has 5 images: too few to learn from", "at least 6 images, better"),
        ({"ill": 9, "well": 9}, "il", "'il' is not a class of set (its classes: ill, well)", "did you mean 'ill'"),
        ({"ill": 9, "well": 9}, "ill,well", "--positive names every class", "those that are to be referred"),
        ({"ill": 9}, "ill", "all 9 images have one class (ill)", "add images of the other class"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_what_is_needed(
    tmp_path: Path, counts: dict[str, int], positive: str, message: str, hint: str
) -> None:
    folders(tmp_path / "set", counts)
    with pytest.raises(KitError) as caught:
        new_recipe(tmp_path / "set", positive.split(","), tmp_path / "my.toml")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert not (tmp_path / "my.toml").exists()


def test_patients_are_counted_not_their_images(tmp_path: Path) -> None:
    for name in ("ill", "well"):
        for patient in range(4):
            folders(tmp_path / "set" / name, {f"{name}-{patient}": 5})
    with pytest.raises(KitError, match=r"class 'ill' has 20 images of 4 groups \(patients\): too few") as caught:
        new_recipe(tmp_path / "set", ["ill"], tmp_path / "my.toml")
    assert "at least 6 patients" in caught.value.hint


def test_it_says_what_it_saw_and_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folders(tmp_path / "my set", {"ill": 9, "well": 9})
    new_recipe(data, ["ill"], tmp_path / "my.toml", Lines())
    said = capsys.readouterr().out
    assert "18 images of 2 classes" in said
    assert "80×60 pixels, colour, 8 bits (18 looked at)" in said
    assert "the bundle will be FP32 only, without INT8" in said
    assert said.endswith(f"--recipe {tmp_path / 'my.toml'} --data '{data}' --out runs/my\n")


def test_a_file_that_exists_or_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("mine")
    for name, message in (("my.toml", "exists"), ("my.txt", "is not called .toml")):
        with pytest.raises(KitError, match=message):
            new_recipe(tmp_path, ["ill"], tmp_path / name)
    assert (tmp_path / "my.toml").read_text() == "mine"


def test_the_classes_to_refer_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["new-recipe", "data", "--out", "my.toml"])
    assert "--positive" in capsys.readouterr().err
