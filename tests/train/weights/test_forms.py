"""Files of weights as trainers, frameworks and hubs write them: the same tensors, or named for what they are."""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as safetensors
from torch import Tensor, nn

from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.errors import FitError
from fieldlens.train.model import _fitting_head
from fieldlens.train.weights.file import read_weights
from fieldlens.train.weights.names import check_trunk, named

State = dict[str, Tensor]
BLOCKS = [f"layer{stage}.{block}." for stage in (1, 2, 3, 4) for block in (0, 1)]


def norm(prefix: str) -> State:
    numbers = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    return {f"{prefix}{name}": torch.full((2,), value) for name, value in numbers.items()} | {
        f"{prefix}num_batches_tracked": torch.tensor(7)
    }


def small(classes: int = 3) -> State:
    """A ResNet-18's names with tensors of a few numbers."""
    state = {"conv1.weight": torch.ones(2, 3, 1, 1), **norm("bn1.")}
    for prefix in BLOCKS:
        state |= {f"{prefix}conv1.weight": torch.ones(2, 2, 1, 1), **norm(f"{prefix}bn1.")}
        state |= {f"{prefix}conv2.weight": torch.ones(2, 2, 1, 1), **norm(f"{prefix}bn2.")}
    return state | {"fc.weight": torch.arange(classes * 2.0).reshape(classes, 2), "fc.bias": torch.zeros(classes)}


def put(prefix: str) -> Callable[[State], Any]:
    return lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()}


def numbered(state: State) -> Any:
    """``Sequential(*resnet.children())``."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7", "fc": "9"}
    return {f"{places[name.split('.')[0]]}.{name.partition('.')[2]}": tensor for name, tensor in state.items()}


def renamed_head(state: State) -> Any:
    return {f"backbone.{n}" if not n.startswith("fc.") else n.replace("fc", "head.fc"): t for n, t in state.items()}


FORMS: dict[str, Callable[[State], Any]] = {
    "plain": dict,
    "ordered": OrderedDict,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
    "model": lambda state: {"model": state, "loss": 0.2},
    "ema alone": lambda state: {"ema": state, "step": 5},
    "model and its average": lambda state: {"model": state, "ema": {n: t * 0 for n, t in state.items()}},
    "one in the other": lambda state: {"model": {"state_dict": {"module": state}}},
    "an averaged model": lambda state: {"n_averaged": torch.tensor(4), **put("module.")(state)},
    "a namespace and numbers beside": lambda state: {
        "state_dict": state, "args": argparse.Namespace(lr=1), "best": np.float64(0.9), "out": pathlib.PosixPath("x"),
    },
    "module.": put("module."),
    "_orig_mod.": put("_orig_mod."),
    "module._orig_mod.": put("module._orig_mod."),
    "model.": put("model."),
    "backbone.": put("backbone."),
    "net.": put("net."),
    "module.module.model.net.": put("module.module.model.net."),
    "_orig_mod. inside": lambda state: {n.replace("layer1.", "layer1._orig_mod."): t for n, t in state.items()},
    "numbered": numbered,
    "numbered behind a name": lambda state: put("features.")(numbered(state)),
    "a head of another name": renamed_head,
    "dropout": lambda state: {n.replace("fc.", "fc.1."): t for n, t in state.items()},
    "without counters": lambda state: {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")},
    "a profiler's counters": lambda state: {**state, "total_ops": torch.zeros(1), "total_params": torch.ones(1)},
    "half": lambda state: {n: t.half() if t.is_floating_point() else t for n, t in state.items()},
    "bfloat16": lambda state: {n: t.bfloat16() if t.is_floating_point() else t for n, t in state.items()},
    "double": lambda state: {n: t.double() if t.is_floating_point() else t for n, t in state.items()},
    "parameters": lambda state: {n: nn.Parameter(t) if t.is_floating_point() else t for n, t in state.items()},
    "no bias": lambda state: {n: t for n, t in state.items() if n != "fc.bias"},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_same_network_in_every_form(form: Callable[[State], Any], tmp_path: Path) -> None:
    torch.save(form(small()), tmp_path / "w.pt")
    weights = read_weights(tmp_path / "w.pt")
    found = named(weights.tensors, "w.pt")
    trunk = check_trunk(found, small(), "resnet18", "w.pt", "hint")
    wanted = {name: tensor for name, tensor in small().items() if not name.startswith("fc.")}
    assert trunk.keys() == wanted.keys()
    assert all(torch.equal(trunk[name].float(), tensor.float()) for name, tensor in wanted.items())
    assert found.linear is not None
    assert torch.equal(found.linear[0].float(), small()["fc.weight"])
    assert weights.beside == ("ema" if "ema" in form(small()) and "model" in form(small()) else "")


@pytest.mark.parametrize("prefix", ["", "module.", "model.backbone."])
def test_safetensors(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(put(prefix)(small())))
    found = named(read_weights(tmp_path / "model.safetensors").tensors, "x")
    assert torch.equal(found.trunk["conv1.weight"], small()["conv1.weight"])


@pytest.mark.parametrize("cut", [9, 200, -1])
def test_damaged_safetensors(cut: int, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(safetensors(small())[:cut])
    with pytest.raises(FitError, match="damaged safetensors"):
        read_weights(tmp_path / "w.safetensors")


class Evil:
    """Unpickled, it would make a folder."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def saved(value: Any, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def scripted() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:  # what torch.jit.save writes, by its names
        for name in ("data.pkl", "code/__torch__/m.py", "constants.pkl", "version"):
            file.writestr(f"archive/{name}", b"x")
    return archive.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


OTHERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "code beside": (lambda: saved({"state_dict": small(), "x": Evil()}), r"pickled objects \(.*mkdir\); code in it is"),
    "code, legacy": (lambda: saved({"model": small(), "x": Evil()}, legacy=True), "code in it is never run"),
    "code alone": (lambda: saved(Evil()), "code in it is never run"),
    "a module": (lambda: saved(nn.Linear(2, 2)), "a whole pickled model"),
    "a module in a checkpoint": (lambda: saved({"model": nn.Conv2d(1, 1, 1)}), "a whole pickled model"),
    "a scripted module": (scripted, r"a scripted module \(TorchScript\)"),
    "ONNX": (lambda: b"\x08\x08\x12\x07pytorch" + bytes(40), "an ONNX model"),
    "Keras": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(40), "a Keras or HDF5 file"),
    "TensorFlow Lite": (lambda: b"\x1c\0\0\0TFL3" + bytes(40), "a TensorFlow Lite model"),
    "an engine": (lambda: b"ftrt" + bytes(40), "a TensorRT engine"),
    "an npz": (array, "a NumPy archive"),
    "a page": (lambda: b"<!DOCTYPE html><html>", "text"),
    "a pointer": (lambda: b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    "an empty file": (lambda: b"", "is empty"),
    "noise": (lambda: bytes(range(200, 256)) * 9, "not a file of plain tensors, or it is damaged"),
    "cut off": (lambda: saved(small())[:3000], "a damaged or cut-off archive"),
    "cut off, legacy": (lambda: saved(small(), legacy=True)[:3000], "not a file of plain tensors, or it is damaged"),
    "a tensor": (lambda: saved(torch.zeros(3)), "holds no state dict but a tensor"),
    "an optimizer": (lambda: saved({"optimizer": {"state": {}, "param_groups": []}}), r"no state dict \(it holds"),
    "a list of averages": (lambda: saved({"decay": 0.9, "shadow_params": [torch.zeros(2)]}), "holds no state dict"),
    "nothing": (lambda: saved({}), "holds no state dict"),
    "NaN": (lambda: saved({**small(), "layer2.0.conv1.weight": torch.full((2, 2, 1, 1), float("nan"))}),
            r"layer2\.0\.conv1\.weight is not finite: 4 of its 4 values"),
    "infinite": (lambda: saved({**small(), "fc.bias": torch.full((3,), torch.inf)}), "fc.bias is not finite"),
    "a negative variance": (lambda: saved({**small(), "bn1.running_var": -torch.ones(2)}), "negative variances"),
    "complex": (lambda: saved({**small(), "fc.bias": torch.zeros(3, dtype=torch.complex64)}), "sparse, complex"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "reported"), OTHERS.values(), ids=OTHERS)
def test_other_files_are_named_for_what_they_are_and_never_run(
    content: Callable[[], bytes], reported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.pt").write_bytes(content())
    with pytest.raises(FitError, match=reported) as caught:
        read_weights(Path("w.pt"))
    assert caught.value.hint
    assert not Path("evil").exists()


def test_a_folder_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, reported in ((tmp_path, "Is a directory"), (tmp_path / "none.pt", "No such file")):
        with pytest.raises(FitError, match=reported):
            read_weights(path)


UNFIT: dict[str, tuple[Callable[[State], State], str]] = {
    "two networks": (lambda s: {**put("student.")(s), **put("teacher.")(s)}, r"hold 2 networks \('student\.', 't"),
    "another family": (lambda s: {"features.0.weight": torch.ones(2, 3, 3, 3)}, "not of a torchvision ResNet"),
    "a block less": (
        lambda s: {n: t for n, t in s.items() if not n.startswith("layer4.1")}, r"fit resnet18: 10 tensors differ",
    ),
    "a block more": (
        lambda s: {**s, **{n.replace("layer3.1", "layer3.2"): t for n, t in s.items() if "layer3.1" in n}}, "10 tensors"
    ),
    "another shape": (
        lambda s: {**s, "conv1.weight": torch.ones(2, 1, 1, 1)}, r"conv1\.weight: \[2, 1, 1, 1\], not \[2, 3, 1, 1\]",
    ),
    "something inside": (lambda s: {**s, "layer1.0.se.fc1.weight": torch.ones(2)}, r"for example layer1\.0\.se\.fc1"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "reported"), UNFIT.values(), ids=UNFIT)
def test_a_trunk_that_does_not_fit(spoil: Callable[[State], State], reported: str) -> None:
    with pytest.raises(FitError, match=reported):
        check_trunk(named(spoil(small()), "w.pt"), small(), "resnet18", "w.pt", "hint")


HEADS: dict[str, tuple[Callable[[State], State], str]] = {
    "other classes": (
        lambda s: {**s, "fc.weight": torch.zeros(5, 2), "fc.bias": torch.zeros(5)},
        "it has 5 classes, and",
    ),
    "other features": (lambda s: {**s, "fc.weight": torch.zeros(3, 9)}, "it takes 9 features, and this network has 2"),
    "none": (lambda s: {n: t for n, t in s.items() if not n.startswith("fc.")}, "the file has no head"),
    "deeper": (lambda s: {**s, "fc.3.weight": torch.zeros(3, 3)}, "2 linear layers in their head"),
    "a norm in it": (lambda s: {**s, **norm("fc.2.")}, "fc.2.weight behind the trunk"),
}


@pytest.mark.parametrize(("spoil", "reason"), HEADS.values(), ids=HEADS)
def test_another_head_is_dropped_for_the_true_reason(spoil: Callable[[State], State], reason: str) -> None:
    tensors, sentence = _fitting_head(named(spoil(small()), "w.pt"), small())
    assert not tensors
    assert reason in sentence


def test_what_else_a_checkpoint_held_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fieldlens.train.model import build_model, load_weights

    model = build_model("resnet18", 2)
    torch.save({"model": model.state_dict(), "ema": {"conv1.weight": torch.zeros(1)}}, tmp_path / "w.pt")
    load_weights(build_model("resnet18", 2), "resnet18", str(tmp_path / "w.pt"), Lines())
    assert "also holds ema: not taken" in capsys.readouterr().out
