"""Bundles from weights that somebody already has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from fieldlens.convert.assembly import make_from
from fieldlens.convert.cli import main
from fieldlens.convert.measure.verify import verify
from fieldlens.convert.origin.origin import BundleOptions
from fieldlens.convert.origin.sharing import STATISTICS
from fieldlens.convert.origin.weights import Weights, from_weights
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import load_backend
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.pixels.steps import Orient, Resize
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.model import normalise
from tests.convert.conftest import ALL, picture, trained_looking

State = dict[str, Any]


@pytest.fixture(scope="module")
def state() -> State:
    return dict(trained_looking("resnet18").state_dict())


@pytest.fixture(scope="module")
def weights(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "theirs.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images in two folders."""
    folder = tmp_path_factory.mktemp("images")
    for index in range(48):
        (folder / f"site{index % 2}").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"site{index % 2}" / f"{index}.png"), picture(index % 2, index, 80)[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def bundle(weights: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "theirs.bundle"
    arguments = ["bundle", "--weights", weights, "--arch", "resnet18", "--classes", "a,b,c", "--size", 64]
    assert main([*map(str, arguments), "--calibration", str(pictures), "--out", str(out)]) == 0
    return out


def test_the_bundle_is_a_general_classifier(bundle: Path, weights: Path) -> None:
    found = open_bundle(bundle)
    manifest = found.manifest
    assert manifest.decision is None
    assert manifest.class_ids == ("a", "b", "c")
    assert manifest.precisions == ALL
    assert set(manifest.tolerances) == set(ALL)
    assert manifest.preprocess == (Orient(), Resize(64, "crop", 256 / 224))
    assert manifest.provenance["weights"].startswith("theirs.pth, SHA-256 ")
    assert manifest.provenance["calibration"] == {"images": 38, "from": "folder"}
    assert manifest.provenance["golden"]["from"] == STATISTICS
    assert str(weights.parent) not in (bundle / "manifest.json").read_text()
    assert "nobody gave labelled data" in (bundle / "card.md").read_text()


def test_it_answers_as_the_network_did(bundle: Path, state: State) -> None:
    found = open_bundle(bundle)
    with Classifier(found, load_backend(found, "onnxruntime", "fp32", LoadOptions())) as classifier:
        image = cv2.imencode(".png", picture(1, 7, 64)[..., ::-1])[1].tobytes()
        answered = classifier.classify_bytes(image, "image.png")
        tensor = classifier.preprocess.from_bytes(image, "image.png")
    network = trained_looking("resnet18")
    wanted = torch.softmax(network(normalise(torch.from_numpy(tensor[None]))), dim=1)[0].tolist()
    assert str(answered.outcome) == "classified"
    assert list(answered.probabilities.values()) == pytest.approx(wanted, abs=1e-4)


def test_it_can_be_verified_on_labelled_data(bundle: Path, tmp_path: Path) -> None:
    for index in range(24):
        (tmp_path / "abc"[index % 3]).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "abc"[index % 3] / f"{index}.png"), picture(index % 2, 50 + index, 80))
    found = verify(bundle, tmp_path, "all", "auto")
    assert [row.precision for row in found.figures] == list(ALL)
    assert found.figures[0].accuracy is not None


def test_without_images_there_is_no_int8(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = BundleOptions(targets=("cpu", "tensorrt10"))
    reported, mine = Lines(), Weights("resnet18", weights, "a,b,c", size=64)
    made = make_from(lambda: from_weights(mine, options, reported), tmp_path / "o", options, reported)
    assert open_bundle(made.path).manifest == made.manifest
    assert made.manifest.precisions == ("fp32", "fp16")
    printed = capsys.readouterr().out
    assert "no INT8" in printed
    assert "64 synthetic images" in printed


def test_a_recipe_gives_names_and_preprocess(weights: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[recipe]\nname = "eyes"\n[data]\nclasses = ["a", "b", "c"]\ndisplay = {b = "Bee"}\n'
        '[[preprocess.steps]]\nstep = "resize"\nsize = 64\nmode = "pad"\n'
    )
    origin = from_weights(Weights("resnet18", weights, recipe=recipe), BundleOptions())
    assert origin.draft.name == "eyes"
    assert [info.display for info in origin.draft.classes] == ["a", "Bee", "c"]
    assert origin.draft.preprocess == (Resize(64, "pad"),)


def wrapped(state: State) -> State:
    return {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}


def dropout(state: State) -> State:
    return {name.replace("fc.", "fc.1."): value for name, value in state.items()}


@pytest.mark.parametrize("form", [wrapped, dropout])
def test_common_forms_are_understood(form: Callable[[State], State], state: State, tmp_path: Path) -> None:
    torch.save(form(state), tmp_path / "theirs.pth")
    origin = from_weights(Weights("resnet18", tmp_path / "theirs.pth", "a,b,c", size=64), BundleOptions())
    assert torch.equal(origin.network.get_parameter("fc.weight"), state["fc.weight"])


class Evil:
    """Unpickled, it would run a command."""

    def __reduce__(self) -> Any:
        return os.system, ("echo evil",)


def code(state: State) -> Any:
    return {"state_dict": state, "more": Evil()}


def deeper_head(state: State) -> Any:
    return {**state, "fc.3.weight": torch.zeros(3, 3)}


def other_classes(state: State) -> Any:
    return {**state, "fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(5)}


def other_network(state: State) -> Any:
    return {name: value for name, value in state.items() if not name.startswith("layer4.1")}


def not_finite(state: State) -> Any:
    return {**state, "fc.bias": torch.tensor([0.0, float("nan"), 0.0])}


def whole_module(state: State) -> Any:
    return torch.nn.Linear(2, 2)


FAULTS: list[tuple[Callable[[State], Any], str]] = [
    (code, "code in it is never run"),
    (deeper_head, "2 linear layers in their head"),
    (other_classes, "the weights have 5 classes, --classes names 3"),
    (other_network, "do not fit resnet18"),
    (not_finite, "fc.bias is not finite: 1 of its 3 values"),
    (whole_module, "is a whole pickled model, not a file of plain tensors"),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_weights_that_do_not_fit_are_refused(
    spoil: Callable[[State], Any], message: str, state: State, tmp_path: Path
) -> None:
    torch.save(spoil(state), tmp_path / "theirs.pth")
    with pytest.raises(KitError, match=message):
        from_weights(Weights("resnet18", tmp_path / "theirs.pth", "a,b,c"), BundleOptions())


def test_too_few_images_are_refused(weights: Path, pictures: Path) -> None:
    with pytest.raises(KitError, match="leaves 19 images to calibrate with"):
        from_weights(Weights("resnet18", weights, "a,b,c", size=64), BundleOptions(calibration=pictures / "site0"))


def test_imagenet_weights_from_a_file(tmp_path: Path) -> None:
    torch.save(trained_looking("resnet18", classes=1000).state_dict(), tmp_path / "resnet18.pth")
    origin = from_weights(Weights("resnet18", tmp_path / "resnet18.pth", size=64, pretrained=True), BundleOptions())
    ids = origin.draft.class_ids
    assert len(set(ids)) == 1000
    assert ids[:2] == ("tench", "goldfish")
    assert origin.draft.name == "resnet18-imagenet"
    assert origin.draft.decision is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "a bundle is made from one of"),
        (("run", "--pretrained", "resnet18"), "a bundle is made from one of"),
        (("--weights", "w.pth"), "a bundle is made from one of"),
        (("--arch", "resnet18"), "--arch needs the --weights FILE"),
        (("run", "--calibration", "x"), "--calibration is for weights"),
        (("--pretrained", "resnet18", "--classes", "a,b"), "--pretrained brings ImageNet's 1000 classes"),
        (("--pretrained", "resnet18", "--data", "x"), "--data belongs to a RUN"),
        (("--weights", __file__, "--arch", "resnet18", "--classes", "a"), "--classes names 1 classes"),
        (("--weights", "none.pth", "--arch", "resnet18", "--classes", "a,b"), "--weights none.pth does not exist"),
        (("run", "--targets", "cpu,gpu"), "gpu is no target"),
    ],
)
def test_words_that_do_not_go_together(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(lambda: main(["bundle", *words, "--out", str(tmp_path / "o.bundle")])) == 2
    assert message in capsys.readouterr().err
