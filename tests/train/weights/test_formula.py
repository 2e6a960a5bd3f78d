from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fieldlens.runtime.terminal.reporter import SILENT
from fieldlens.train.cli import build_parser
from fieldlens.train.errors import FitError
from fieldlens.train.model import build_model, load_weights
from fieldlens.train.weights import formula


def test_without_the_file_the_error_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formula, "FOLDER", tmp_path)
    with pytest.raises(FitError) as caught:
        load_weights(build_model("resnet34", 2), "resnet34", "formula", SILENT)
    assert "no formula-resnet34.safetensors" in caught.value.message
    assert "fieldlens train pretrain --arch resnet34 --out formula.safetensors" in caught.value.hint
    (tmp_path / "data").mkdir()
    words = ["fit", "--recipe", "demo", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    arguments = build_parser().parse_args([*words, "--weights", "formula"])
    with pytest.raises(FitError, match=r"no formula-resnet18\.safetensors"):
        arguments.begin(arguments)


def test_with_the_file_the_name_stands_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formula, "FOLDER", tmp_path)
    trunk = {
        name: tensor.half() for name, tensor in build_model("resnet18", 2).state_dict().items() if "fc" not in name
    }
    path = tmp_path / "formula-resnet18.safetensors"
    save_file(trunk, path)
    model = build_model("resnet18", 2)
    recorded = load_weights(model, "resnet18", "formula", SILENT)
    assert recorded == load_weights(build_model("resnet18", 2), "resnet18", str(path), SILENT)
    assert torch.equal(model.state_dict()["conv1.weight"], trunk["conv1.weight"].float())


def test_every_other_word_stays_as_it_is() -> None:
    assert [formula.source_of(word, "resnet18") for word in ("none", "imagenet", "a.pt")] == [
        "none",
        "imagenet",
        "a.pt",
    ]
