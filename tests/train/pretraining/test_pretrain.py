from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.terminal.reporter import Silent
from fieldlens.train.cli import main
from fieldlens.train.errors import FitError
from fieldlens.train.model import build_model, load_weights
from fieldlens.train.pretraining import pretrain as module
from fieldlens.train.pretraining.pretrain import PretrainOptions, pretrain
from fieldlens.train.pretraining.record import making_of
from fieldlens.train.weights.file import read_weights
from tests.train.small_network import take_small_networks

OPTIONS = PretrainOptions(images=160, classes=4, size=32, batch=16, device="cpu")


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_networks(monkeypatch)


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Kill the training in a step, with the state on disk that the step before has left."""
    real = module._Pretraining._learn
    monkeypatch.setattr(module, "_SAVE_EVERY_S", -1.0)

    def killed(self: Any, step: int) -> tuple[float, float]:
        if step == steps:
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(module._Pretraining, "_learn", killed)


def test_fit_starts_from_the_file(tmp_path: Path) -> None:
    """The real network, by the door that every file of weights goes through."""
    out = tmp_path / "formula.safetensors"
    made = pretrain(out, replace(OPTIONS, images=32))
    heard, model = Heard(), build_model("resnet18", 2)
    before = model.state_dict()["fc.weight"].clone()
    recorded = load_weights(model, "resnet18", str(out), heard)
    assert recorded == read_weights(out).sha256
    assert heard.lines == [f"weights: {out}, head new: the file has no head"]
    stored = load_file(out)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert not any(name.startswith("fc.") for name in stored)
    assert torch.equal(model.state_dict()["layer4.1.conv2.weight"], stored["layer4.1.conv2.weight"].float())
    assert torch.equal(model.state_dict()["fc.weight"], before)
    assert making_of(out) == made
    assert made.images == 32
    assert made.command.startswith("fieldlens train pretrain --arch resnet18 --images 32 --classes 4 --size 32")
    with pytest.raises(FitError, match="look like resnet18"):
        load_weights(build_model("resnet34", 2), "resnet34", str(out))


@pytest.mark.usefixtures("small")
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    pretrain(whole, OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            pretrain(broken, OPTIONS)
    assert not broken.exists()
    with pytest.raises(FitError, match=r"other settings \(classes: 4 there, 5 now\)"):
        pretrain(broken, replace(OPTIONS, classes=5))
    heard = Heard()
    pretrain(broken, OPTIONS, heard)
    assert heard.lines[0] == "going on after 96 images"
    assert not (tmp_path / "broken.safetensors.part").exists()
    first, second = load_file(whole), load_file(broken)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name

    heard = Heard()
    pretrain(broken, OPTIONS, heard)
    assert heard.lines == [f"{broken} is finished: nothing to do"]
    with pytest.raises(FitError, match="seed: 0 there, 1 now"):
        pretrain(broken, replace(OPTIONS, seed=1))
    pretrain(other := tmp_path / "other.safetensors", replace(OPTIONS, seed=1))
    assert not torch.equal(load_file(other)["trunk.0.0.weight"], first["trunk.0.0.weight"])


@pytest.mark.usefixtures("small")
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the command that a file names makes it again."""
    first, again = tmp_path / "first.safetensors", tmp_path / "again.safetensors"
    words = f"pretrain --images 64 --classes 4 --size 64 --batch 16 --seed 3 --device cpu --out {first}"
    assert run_cli(lambda: main(words.split())) == 0
    assert f"fieldlens train fit --weights {first} …" in capsys.readouterr().out
    made = making_of(first)
    assert made is not None
    command = made.command.removeprefix("fieldlens train ").replace(first.name, str(again))
    assert run_cli(lambda: main([*command.split(), "--device", "cpu"])) == 0
    for name, tensor in load_file(first).items():
        assert torch.equal(tensor, load_file(again)[name]), name


@pytest.mark.usefixtures("small")
def test_minutes_become_images(tmp_path: Path) -> None:
    heard = Heard()
    made = pretrain(tmp_path / "w.safetensors", replace(OPTIONS, images=0, minutes=0.01), heard)
    assert made.images >= 2 * OPTIONS.batch
    assert heard.lines[0].endswith(f"{made.images:,} images in 0.01 minutes")
    assert f"--images {made.images} " in made.command


@pytest.mark.usefixtures("small")
def test_the_classes_can_be_learnt(tmp_path: Path) -> None:
    """New images all the time: four classes are told apart more often than by chance, which is a quarter."""
    made = pretrain(tmp_path / "w.safetensors", replace(OPTIONS, images=4000, batch=32))
    assert made.right > 0.4


def test_what_is_in_the_way(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    out.write_bytes(b"something else")
    with pytest.raises(FitError, match="pretrain did not make it"):
        pretrain(out, OPTIONS)
    out.unlink()
    (tmp_path / "w.safetensors.part").write_bytes(b"cut off")
    with pytest.raises(FitError) as caught:
        pretrain(out, OPTIONS)
    assert "remove" in caught.value.hint
    assert "w.safetensors.part" in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU there is nothing to refuse")
def test_no_gpu(tmp_path: Path) -> None:
    with pytest.raises(FitError, match="CUDA"):
        pretrain(tmp_path / "w.safetensors", replace(OPTIONS, device="cuda"))
