from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.errors import ConfigError
from runtime.steps import Resize
from train.config import Config
from train.recipe import config_from_json, load_recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_kit_loads_and_says_who_it_is(path: Path) -> None:
    config = load_recipe(path)
    assert config.recipe.name == path.stem
    assert config.recipe.title


def test_defaults_then_recipe_then_overrides(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('[train]\nepochs = 7\nlr = 0.01\n[model]\narch = "resnet34"\n', encoding="utf-8")
    config = load_recipe(recipe, ["train.epochs=3", "model.arch=resnet50", 'decision.positive=["a", "b"]'])
    assert (config.train.epochs, config.train.lr) == (3, 0.01)
    assert config.train.batch_size == Config().train.batch_size
    assert config.model.arch == "resnet50"
    assert config.decision.positive == ("a", "b")


def test_the_resolved_configuration_survives_json() -> None:
    config = load_recipe(ROOT / "recipes/demo.toml", ["data.labels.x=clear"])
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config


def test_size_is_a_short_way_to_change_the_resize_step() -> None:
    config = load_recipe(None, ["preprocess.size=96"])
    assert next(step for step in config.preprocess.steps if isinstance(step, Resize)).size == 96


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("train.epoch=3", "epochs"),
        ("trian.epochs=3", "train"),
        ("train.optimizer=adamww", "adamw"),
        ("model.arch=resnet19", "resnet18"),
        ("train.metric=val_acuracy", "val_accuracy"),
    ],
)
def test_what_nobody_knows_suggests_the_nearest(override: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(None, [override])
    assert f"'{hint}'" in caught.value.hint


@pytest.mark.parametrize(
    "override",
    [
        "train.epochs=0", "train.epochs=many", "train.epochs=1.5", "train.lr=nan", "train.epochs=true",
        "augment.rotate_degrees=-1", "data.task=multilable", "decision.positive=ill", "data.classes=[1, 2]",
        'data.classes=["a", "a"]', "data.labels={a = 1}", "preprocess.size=8", "epochs=3", "train.epochs",
        "train.lr.x=1", "data.val_fraction=0",
    ],
)  # fmt: skip
def test_wrong_values_are_refused(override: str, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text("[train]\nlr = 0.01\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        load_recipe(recipe, [override])


@pytest.mark.parametrize("text", ["epochs = 3", "[train", "[train]\nepochs = 3\nepochs = 4"])
def test_a_file_that_is_no_recipe_is_refused_by_name(text: str, tmp_path: Path) -> None:
    recipe = tmp_path / "wrong.toml"
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"wrong\.toml"):
        load_recipe(recipe)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recipe"):
        load_recipe(tmp_path / "none.toml")
