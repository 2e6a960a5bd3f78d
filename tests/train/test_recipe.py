from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.pixels.steps import Resize
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.config import Config, StageConfig
from fieldlens.train.recipe import SHIPPED, config_from_json, load_recipe

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


STAGES = """
[train]
schedule = "cosine"
[[train.stages]]
epochs = 2
lr = 0.001
freeze = "head"
[[train.stages]]
epochs = 3
lr = 0.0001
freeze = "blocks"
train_blocks = 2
schedule = "constant"
"""


def test_stages_are_a_list_of_tables_and_survive_json(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(STAGES)
    config = load_recipe(tmp_path / "r.toml")
    assert config.train.stages == (StageConfig(2, 0.001, "head"), StageConfig(3, 0.0001, "blocks", 2, "constant"))
    assert config.train.epochs == 5
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config
    changed = load_recipe(tmp_path / "r.toml", ["train.stages.0.epochs=1", "train.stages.1.lr=0.5"])
    assert [(stage.epochs, stage.lr) for stage in changed.train.stages] == [(1, 0.001), (3, 0.5)]


@pytest.mark.parametrize(
    ("override", "reported"),
    [
        ("train.stages.2.epochs=1", "'2'"),
        ("train.stages.x.epochs=1", "'x'"),
        ("train.stages.0=1", "names no key"),
        ("train.stages.0.epoch=1", "'epoch'"),
        ("train.stages.0.freeze=heads", "freeze"),
        ("train.stages.0.train_blocks=2", "does not go with"),
        ("train.epochs=7", "stages have 5 together"),
        ("train.freeze=head", "beside"),
    ],
)
def test_stages_that_do_not_fit_are_refused(tmp_path: Path, override: str, reported: str) -> None:
    (tmp_path / "r.toml").write_text(STAGES)
    with pytest.raises(ConfigError) as caught:
        load_recipe(tmp_path / "r.toml", [override])
    assert reported in caught.value.message


@pytest.mark.parametrize(
    ("overrides", "reported"),
    [
        (["train.warmup_epochs=1"], "not for one-cycle"),
        (["train.loss=bce"], "several findings"),
        (["data.task=multilabel", "train.loss=cross-entropy"], "one class an image"),
        (["data.task=multilabel", "train.sampling=undersample"], "one class an image"),
        (["train.metric=val_kappa"], "grades in order"),
        (["train.freeze=blocks"], "train_blocks = 0"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(overrides: list[str], reported: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(None, overrides)
    assert reported in caught.value.message


def test_a_bare_name_is_one_of_the_kits_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # where ./deploy.sh demo puts its outputs
    assert load_recipe(Path("demo")) == load_recipe(SHIPPED / "demo.toml")
    with pytest.raises(ConfigError) as caught:
        load_recipe(Path("demmo"))
    assert "did you mean 'demo'?" in caught.value.hint


def test_a_file_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text('[recipe]\nname = "mine"\n')
    assert load_recipe(Path("demo")).recipe.name == "mine"


def test_a_recipe_of_an_older_version_shares_nothing_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.toml").write_text('[data]\nclasses = ["a", "b"]\nshareable = true\n')
    config = load_recipe(tmp_path / "old.toml", reporter=Lines())
    assert config.data.classes == ("a", "b")
    assert "shareable" not in config.to_json()["data"]
    said = capsys.readouterr().out
    assert f"note: {tmp_path / 'old.toml'}: data.shareable is ignored" in said
    assert "--share-images HASH" in said
    with pytest.raises(ConfigError, match=r"there is no data.shareable any more"):
        load_recipe(tmp_path / "old.toml", ["data.shareable=true"])
