"""A fit that is stopped at any moment and resumed ends with the weights, bit for bit, of one that is not."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.checkpoint import read_checkpoint, write_checkpoint
from fieldlens.train.config import Config
from fieldlens.train.errors import RunError
from fieldlens.train.fitting import epochs
from fieldlens.train.fitting.fit import fit
from fieldlens.train.fitting.resume import alone_in

Configure = Callable[..., Config]
ROOT = Path(__file__).resolve().parents[3]

EVERYTHING: dict[str, Any] = {
    "schedule": "plateau", "plateau_epochs": 1, "warmup_epochs": 0.5, "ema": 0.9, "sampling": "balanced",
    "clip_norm": 1.0, "patience": 2, "optimizer": "adam", "loss": "focal", "epochs": 4,
    "stages": [{"epochs": 1, "lr": 0.01, "freeze": "head"}, {"epochs": 3, "lr": 0.001}],
}  # fmt: skip
TIMES = ("images_per_second", "seconds")


class Killed(BaseException):
    """Stands for a signal that cannot be caught: nothing in the kit may handle it."""


def table(run: Path) -> list[dict[str, str]]:
    """``metrics.csv`` without what depends on the clock."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def same(value: Any, other: Any) -> bool:
    """Equal through and through, tensors bit for bit, times aside."""
    if isinstance(value, torch.Tensor):
        return torch.equal(value, other)
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(same(value[k], other[k]) for k in value if k not in TIMES)
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(same, value, other))
    return bool(value == other or value != value)


def assert_same_runs(run: Path, other: Path) -> None:
    for name in ("best.pt", "last.pt"):
        assert same(read_checkpoint(run / name), read_checkpoint(other / name)), name
    assert table(run) == table(other)
    assert {path.name for path in run.iterdir()} == {path.name for path in other.iterdir()}
    for name in ("operating-point.json", "gate.json", "run.json", "config.json", "split.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


def stopping_at(write: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th checkpoint from now is not written any more."""
    left = iter(range(write))

    def stop(path: Path, value: dict[str, Any]) -> None:
        if next(left, None) is None:
            (path.parent / f".{path.name}.abc.tmp").write_bytes(b"half")
            raise Killed
        write_checkpoint(path, value)

    monkeypatch.setattr(epochs, "write_checkpoint", stop)


def test_stopped_again_and_again_and_resumed_it_is_the_same_run(
    table_data: Path, tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [{"epochs": 1, "lr": 0.01, "freeze": "head"}, {"epochs": 2, "lr": 0.001}]
    config = configure(train={**EVERYTHING, "optimizer": "sgd", "epochs": 3, "stages": stages})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(config, table_data, whole)
    for write in (1, 2):
        with monkeypatch.context() as patch:
            stopping_at(write, patch)
            with pytest.raises(Killed):
                fit(config, table_data, broken, resume=True)
    history = fit(config, table_data, broken, resume=True)
    assert_same_runs(broken, whole)
    assert [row.stage for row in history.rows] == [1, 2, 2]


def test_a_finished_run_is_left_as_it_is(
    finished_run: Path, shared_run: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_run.iterdir()}
    history = fit(configure(), shared_run.parent / "data", finished_run, resume=True, reporter=Lines())
    assert "finished: nothing to do" in capsys.readouterr().out
    assert [row.epoch for row in history.rows] == [1, 2]
    assert {path: path.stat().st_mtime_ns for path in finished_run.iterdir()} == before


def test_another_recipe_data_or_split_is_refused_and_all_of_it_told(
    finished_run: Path, shared_run: Path, tmp_path: Path, configure: Configure
) -> None:
    (finished_run / "operating-point.json").unlink()
    data = Path(shutil.copytree(shared_run.parent / "data", tmp_path / "data"))
    (data / "images/00-0.png").write_bytes((data / "images/00-1.png").read_bytes())
    config = configure(train={"lr": 0.5}, data={"split_seed": 9})
    with pytest.raises(RunError, match="cannot be resumed") as caught:
        fit(config, data, finished_run, resume=True)
    for reported in ("train.lr: 0.001 in the run, 0.5 now", "data.split_seed: 0", "  data: ", "  split: "):
        assert reported in caught.value.message


def test_what_is_no_run_is_not_resumed(table_data: Path, configure: Configure) -> None:
    with pytest.raises(RunError, match="not empty"):
        fit(configure(), table_data, table_data, resume=True)


def test_a_damaged_state_is_refused(finished_run: Path, shared_run: Path, configure: Configure) -> None:
    (finished_run / "operating-point.json").unlink()
    (finished_run / "last.pt").write_bytes(b"half")
    with pytest.raises(RunError, match="truncated or corrupt"):
        fit(configure(), shared_run.parent / "data", finished_run, resume=True)


def test_two_fits_into_one_folder_are_refused(finished_run: Path, shared_run: Path, configure: Configure) -> None:
    (finished_run / "operating-point.json").unlink()
    with alone_in(finished_run), pytest.raises(RunError, match="another process"):
        fit(configure(), shared_run.parent / "data", finished_run, resume=True)


def command(recipe: Path, data: Path, run: Path) -> list[str]:
    words = [sys.executable, "-m", "train", "fit", "--resume", "--recipe", recipe, "--data", data, "--out", run]
    return [str(word) for word in words]


def killed(process: subprocess.Popen[bytes], moment: Callable[[], bool]) -> None:
    """SIGKILL as soon as ``moment`` has come; the fit must not have ended before."""
    end = time.monotonic() + 120
    while not moment():
        assert process.poll() is None, "the fit ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.full
def test_sigkill_at_random_moments(table_data: Path, tmp_path: Path, configure: Configure) -> None:
    """During an epoch, during the writing of a checkpoint, between epochs; each time resumed, then held against a run
    that nobody disturbed."""
    config = configure(train={**EVERYTHING, "patience": 0, "threads": 1})
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(as_toml(config.to_json()), encoding="utf-8")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(recipe, table_data, whole), cwd=ROOT, check=True)
    draw = random.Random(os.urandom(8))

    def after(condition: Callable[[], bool], seconds: float) -> Callable[[], bool]:
        seen: list[float] = []

        def come() -> bool:
            if not seen and condition():
                seen.append(time.monotonic())
            return bool(seen) and time.monotonic() - seen[0] >= seconds

        return come

    def rows() -> int:
        return len(table(broken)) if (broken / "metrics.csv").exists() else 0

    moments = {
        "in the first epoch": after((broken / "run.json").exists, draw.uniform(0, 1)),
        "writing a checkpoint": after(lambda: any(broken.glob(".last.pt.*.tmp")), draw.uniform(0, 0.02)),
        "between two epochs": after(lambda: rows() >= 2, draw.uniform(0, 0.05)),
    }
    for moment in moments.values():
        killed(subprocess.Popen(command(recipe, table_data, broken), cwd=ROOT), moment)
        assert not (broken / "operating-point.json").exists()
    subprocess.run(command(recipe, table_data, broken), cwd=ROOT, check=True)
    assert_same_runs(broken, whole)


def as_toml(sections: dict[str, Any]) -> str:
    """Each value as TOML; JSON's scalars, lists and strings are TOML's, and tables are inline."""

    def text(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(k)} = {text(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(text, value)) + "]"
        return json.dumps(value)

    lines: list[str] = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {text(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
