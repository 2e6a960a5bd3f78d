from __future__ import annotations

import hashlib
import urllib.error
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torchvision import models

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.config import ModelConfig
from fieldlens.train.errors import FitError
from fieldlens.train.model import MEAN, STD, build_model, load_weights, normalise


@pytest.mark.parametrize(("arch", "features"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)])
def test_the_head_is_one_linear_layer(arch: str, features: int) -> None:
    model = build_model(arch, 3)
    assert isinstance(model.fc, torch.nn.Linear)
    assert (model.fc.in_features, model.fc.out_features) == (features, 3)


def test_dropout_comes_before_it() -> None:
    head = build_model("resnet18", 3, 0.5).fc
    assert isinstance(head, torch.nn.Sequential)
    assert [type(layer) for layer in head] == [torch.nn.Dropout, torch.nn.Linear]


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ConfigError):
        build_model("resnet19", 2)


def test_normalise_is_the_graphs() -> None:
    images = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    expected = [(v / 255 - m) / s for v, m, s in zip((0, 128, 255), MEAN, STD, strict=True)]
    assert normalise(images).shape == (1, 3, 1, 1)
    assert normalise(images).flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_a_file_of_weights_keeps_or_drops_its_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = build_model("resnet18", 3)
    path = tmp_path / "w.pt"
    torch.save(source.state_dict(), path)
    same, other = build_model("resnet18", 3, dropout=0.2), build_model("resnet18", 5)
    assert load_weights(same, "resnet18", str(path), Lines()) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "with its head" in capsys.readouterr().out
    assert torch.equal(same.state_dict()["fc.1.weight"], source.state_dict()["fc.weight"])
    load_weights(other, "resnet18", str(path), Lines())
    assert "head dropped" in capsys.readouterr().out
    assert torch.equal(other.state_dict()["conv1.weight"], source.state_dict()["conv1.weight"])


def test_a_checkpoint_of_ours_is_a_file_of_weights(shared_run: Path) -> None:
    model = build_model("resnet18", 2)
    load_weights(model, "resnet18", str(shared_run / "best.pt"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(build_model("resnet34", 2).state_dict(), path)
    with pytest.raises(FitError, match="do not fit"):
        load_weights(build_model("resnet18", 2), "resnet18", str(path))


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_broken_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FitError):
        load_weights(build_model("resnet18", 2), "resnet18", str(path))


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(build_model("resnet18", 2), path)
    with pytest.raises(FitError, match="plain tensors"):
        load_weights(build_model("resnet18", 2), "resnet18", str(path))


def test_imagenet_without_a_network_names_the_two_other_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> Mapping[str, object]:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(FitError) as caught:
        load_weights(build_model("resnet18", 2), "resnet18", "imagenet")
    assert "--weights none" in caught.value.hint
    assert "--weights FILE" in caught.value.hint


def test_imagenet_weights_lose_their_thousand_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    published = models.resnet18(weights=None).state_dict()
    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", lambda *_, **__: published)
    model = build_model("resnet18", 2)
    assert load_weights(model, "resnet18", "imagenet") == "imagenet"
    assert torch.equal(model.state_dict()["layer1.0.conv1.weight"], published["layer1.0.conv1.weight"])


@pytest.mark.parametrize(
    ("output_stride", "stages", "cells", "width"), [(32, 4, 3, 512), (16, 4, 6, 512), (16, 3, 6, 256)]
)
def test_a_finer_stride_gives_four_times_the_cells(output_stride: int, stages: int, cells: int, width: int) -> None:
    model = build_model("resnet18", 2, 0.0, output_stride, stages).eval()
    kept: list[torch.Tensor] = []
    model.get_submodule("layer4").register_forward_hook(lambda _m, _i, out: kept.append(out))
    with torch.no_grad():
        model(torch.zeros(1, 3, 96, 96))
    assert kept[0].shape == (1, width, cells, cells)


def test_a_network_without_its_last_stage_takes_the_others_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, path = build_model("resnet18", 2), tmp_path / "w.pt"
    torch.save(source.state_dict(), path)
    short = build_model("resnet18", 2, 0.0, 16, 3)
    load_weights(short, "resnet18", str(path), Lines())
    assert "it takes 512 features, and this network has 256" in capsys.readouterr().out
    assert torch.equal(short.state_dict()["layer3.1.conv2.weight"], source.state_dict()["layer3.1.conv2.weight"])
    torch.save(short.state_dict(), path)
    with pytest.raises(FitError, match="do not fit resnet18"):
        load_weights(source, "resnet18", str(path))


@pytest.mark.parametrize(
    ("wrong", "words"), [({"output_stride": 24}, "output_stride is 24"), ({"stages": 3}, "ends at a stride of 16"),
                         ({"stages": 2, "output_stride": 16}, "stages")],
)  # fmt: skip
def test_a_shape_that_there_is_not_is_refused(wrong: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ModelConfig(**wrong)  # type: ignore[arg-type]
