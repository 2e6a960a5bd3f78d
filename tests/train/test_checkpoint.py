from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fieldlens.runtime.errors import KitError
from fieldlens.train.checkpoint import load_run, read_checkpoint, read_split, write_checkpoint
from fieldlens.train.epoch.loop import predict


def test_a_finished_run_is_read_whole(shared_run: Path) -> None:
    run = load_run(shared_run)
    assert run.name == "tiny"
    assert run.class_ids == ("healthy", "ill")
    assert (run.arch, run.dropout, run.weights, run.seed) == ("resnet18", 0.0, "none", 3)
    assert run.config.train.epochs == 2
    assert run.operating_point.decision is not None
    assert run.data.n == {part: list(read_split(shared_run).values()).count(part) for part in ("train", "val", "test")}
    assert run.data.groups == 20
    assert not run.model.training
    assert predict(run.model, torch.zeros(1, 32, 32, 3, dtype=torch.uint8).numpy()).shape == (1, 2)


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = torch.load(run / "best.pt", weights_only=True)
    change(value)
    write_checkpoint(run / "best.pt", value)


def truncated(run: Path) -> None:
    data = (run / "best.pt").read_bytes()
    (run / "best.pt").write_bytes(data[: len(data) // 2])


def other_classes(run: Path) -> None:
    rewrite(run, lambda value: value.update(classes=["ill", "healthy"]))


def other_arch(run: Path) -> None:
    rewrite(run, lambda value: value.update(arch="resnet34"))


def other_stride(run: Path) -> None:
    rewrite(run, lambda value: value.update(output_stride=16))


def nan_weights(run: Path) -> None:
    rewrite(run, lambda value: value["model"]["layer3.0.conv1.weight"].view(-1)[5:6].fill_(float("nan")))


def wrong_shape(run: Path) -> None:
    rewrite(run, lambda value: value["model"].update({"fc.weight": torch.zeros(3, 512)}))


def missing_tensor(run: Path) -> None:
    rewrite(run, lambda value: value["model"].pop("conv1.weight"))


def other_format(run: Path) -> None:
    rewrite(run, lambda value: value.update(format=2))


def run_json(run: Path, **changes: object) -> None:
    value = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(value | changes))


@pytest.mark.parametrize(
    ("damage", "reported"),
    [
        (truncated, "truncated or corrupt"),
        (other_classes, "classes is"),
        (other_arch, "arch is 'resnet34'"),
        (other_stride, "output_stride is 16, config.json says 32"),
        (nan_weights, "not finite"),
        (wrong_shape, "do not fit"),
        (missing_tensor, "do not fit"),
        (other_format, "format 1"),
        (lambda run: (run / "best.pt").unlink(), "is missing"),
        (lambda run: (run / "best.pt").write_bytes(b""), "truncated or corrupt"),
        (lambda run: (run / "run.json").write_text("{"), "cannot be read"),
        (lambda run: (run / "run.json").unlink(), "is missing"),
        (lambda run: run_json(run, format=9), "has format 9"),
        (lambda run: run_json(run, surprise=1), "unknown key 'surprise'"),
        (lambda run: run_json(run, arch="resnet19"), "resnet19"),
        (lambda run: (run / "config.json").write_text('{"train": {"epoch": 1}}'), "epoch"),
        (lambda run: (run / "operating-point.json").write_text('{"temperature": -1, "decision": null}'), "temperature"),
    ],
    ids=lambda value: getattr(value, "__name__", None) if callable(value) else value,
)
def test_broken_runs_are_refused(finished_run: Path, damage: Callable[[Path], object], reported: str) -> None:
    damage(finished_run)
    with pytest.raises(KitError) as caught:
        load_run(finished_run)
    assert reported in caught.value.message


def test_an_unfinished_run_is_told_as_such(finished_run: Path) -> None:
    (finished_run / "operating-point.json").unlink()
    with pytest.raises(KitError) as caught:
        load_run(finished_run)
    assert "unfinished" in caught.value.hint


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="no run folder"):
        load_run(tmp_path / "none")


def test_both_checkpoints_hold_plain_tensors_only(shared_run: Path) -> None:
    best, last = read_checkpoint(shared_run / "best.pt"), read_checkpoint(shared_run / "last.pt")
    assert {"format", "arch", "classes", "dropout", "epoch", "metric", "model", "output_stride", "stages"} == set(best)
    assert {"optimizer", "history"} < set(last)
