"""Every recipe from images to an answer, through the commands that a person types, on made data of its set's form."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fieldlens.convert import cli as convert
from fieldlens.runtime import cli as runtime
from fieldlens.runtime.bundle.decision import Outcome
from fieldlens.runtime.commands import COMMANDS
from fieldlens.train import cli as train
from fieldlens.train.model import build_model
from fieldlens.train.recipe import load_recipe
from tests.made_sets import SETS, write

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "recipes"
SHORT = ("ham10000-binary", "chest-xray14", "head-ct")
"""These differ most from each other; the rest runs with ``--full``."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Images this small gain nothing from threads that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sets_of(name: str) -> list[str]:
    """The recipe made small: its network, its epochs and its images, and nothing else."""
    stages = load_recipe(RECIPES / f"{name}.toml").train.stages
    epochs = [f"train.stages.{n}.epochs=1" for n in range(len(stages))] or ["train.epochs=2"]
    values = ["model.arch=resnet18", "preprocess.size=32", "train.batch_size=16", "train.device=cpu", *epochs]
    return [word for value in (*values, "decision.rounds=20") for word in ("--set", value)]


def fitted(name: str, tmp_path: Path) -> Path:
    data = SETS[name](tmp_path / "data")
    run = tmp_path / "run"
    arguments = ["fit", "--recipe", str(RECIPES / f"{name}.toml"), "--data", str(data), "--out", str(run)]
    assert train.main([*arguments, *sets_of(name)]) == 0
    return run


def bundled(tmp_path: Path, *made_from: str) -> Path:
    bundle = tmp_path / "mine.bundle"
    assert convert.main(["bundle", *made_from, "--out", str(bundle), "--targets", "cpu"]) == 0
    return bundle


def classified(bundle: Path, tmp_path: Path, *pictures: Path) -> list[dict]:
    out = tmp_path / "answers.jsonl"
    words = ["--bundle", str(bundle), "--json", str(out), "--state", str(tmp_path / "state"), "--top-k", "3"]
    arguments = runtime.build_parser().parse_args(["classify", *map(str, pictures), *words])
    assert COMMANDS["classify"](arguments) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def images_of(tmp_path: Path) -> list[Path]:
    found = [
        path for path in sorted((tmp_path / "data").rglob("*")) if path.suffix in (".png", ".jpg", ".jpeg", ".bmp")
    ]
    return found[:: max(1, len(found) // 5)]


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.full) for name in SETS]
)
def test_from_images_to_an_answer(name: str, tmp_path: Path) -> None:
    config = load_recipe(RECIPES / f"{name}.toml")
    run = fitted(name, tmp_path)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert bool(facts["data"]["groups"]) == (name not in ("cleft", "cleft-types", "head-ct", "pneumonia"))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert train.main(["evaluate", str(run)]) == 0
    assert "95%" in said.getvalue() or "[" in said.getvalue()
    pictures = [] if name == "pneumonia" else images_of(tmp_path)
    if name == "pneumonia":
        images = tmp_path / "images"
        assert train.main(["export-images", str(tmp_path / "data/pneumoniamnist.npz"), "--out", str(images)]) == 0
        pictures = sorted(images.glob("*.png"))[:5]
    answers = classified(bundled(tmp_path, str(run)), tmp_path, *pictures)
    assert len(answers) == len(pictures)
    point = json.loads((run / "operating-point.json").read_text(encoding="utf-8"))
    assert point["decision"]["rule"] == ("any" if config.data.task == "multilabel" else "sum")
    for answer in answers:
        assert answer["error"] is None
        assert answer["outcome"] in {str(outcome) for outcome in Outcome} - {str(Outcome.CLASSIFIED)}
        assert list(answer["probabilities"]) == [info["id"] for info in facts["classes"]]
        total = sum(answer["probabilities"].values())
        assert config.data.task == "multilabel" or total == pytest.approx(1.0)


def test_imagenets_thousand_classes_without_training(tmp_path: Path) -> None:
    """With a state dict of torchvision's shape in place of the download."""
    torch.manual_seed(0)
    torch.save(build_model("resnet18", 1000, 0.0).state_dict(), tmp_path / "resnet18.pth")
    words = ["--pretrained", "resnet18", "--weights", str(tmp_path / "resnet18.pth"), "--size", "64"]
    bundle = bundled(tmp_path, *words, "--recipe", str(RECIPES / "imagenet.toml"))
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "imagenet"
    assert manifest["decision"] is None
    write(tmp_path / "photograph.jpg", [3, 4], 0)
    [answer] = classified(bundle, tmp_path, tmp_path / "photograph.jpg")
    assert answer["outcome"] == "classified"
    assert len(answer["probabilities"]) == 1000
    assert "tabby" in answer["probabilities"]


def test_every_recipe_is_tested_and_described() -> None:
    names = {path.stem for path in RECIPES.glob("*.toml")} - {"demo", "imagenet"}
    assert names == set(SETS)
    page = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    assert [name for name in names if f"{name}.toml" not in page] == []
