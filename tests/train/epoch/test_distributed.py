"""Two processes on the CPU (gloo), started as a user would start them."""

from __future__ import annotations

import csv
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fieldlens.runtime.errors import ConfigError
from fieldlens.train.checkpoint import load_run, read_checkpoint
from fieldlens.train.epoch.distributed import ALONE, Ranks, joined, started_as

ROOT = Path(__file__).resolve().parents[3]

RECIPE = """
[data]
val_fraction = 0.3
test_fraction = 0.2
[preprocess]
size = 32
[train]
epochs = {epochs}
batch_size = 8
lr = 0.0005
ema = 0.9
device = "cpu"
threads = 1
[augment]
flip_horizontal = true
[decision]
positive = ["ill"]
rounds = 50
"""


def fitted(processes: int, data: Path, out: Path, epochs: int, **environment: str) -> Any:
    """``torchrun … fit``, into ``out/run``; the finished process, its output as text."""
    out.mkdir()
    recipe = out / "recipe.toml"
    recipe.write_text(RECIPE.format(epochs=epochs), encoding="utf-8")
    fit = ["fit", "--recipe", recipe, "--data", data, "--out", out / "run"]
    words = ["--nproc-per-node", processes, "-m", "tests.train.witness", out, *fit]
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", *map(str, words)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def trained_on(run: Path) -> int:
    with (run / "split.csv").open(encoding="utf-8", newline="") as file:
        return sum(row["split"] == "train" for row in csv.DictReader(file))


def check_ranks(out: Path, epochs: int) -> None:
    """Each image once an epoch over both, and the same weights on both, which are those that were stored."""
    ranks = [torch.load(out / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]
    steps = len(ranks[0]["shown"]) // epochs
    for epoch in range(epochs):
        batches = [batch for rank in ranks for batch in rank["shown"][epoch * steps : (epoch + 1) * steps]]
        assert sorted(itertools.chain(*batches)) == list(range(trained_on(out / "run")))
        assert min(map(len, batches)) >= 2
    stored = read_checkpoint(out / "run/last.pt")["model"]
    for name, tensor in ranks[0]["model"].items():
        assert torch.equal(tensor, ranks[1]["model"][name]), name
        assert torch.equal(tensor, stored[name]), name


@pytest.mark.full
def test_two_processes_share_every_epoch_and_end_alike(table_data: Path, tmp_path: Path) -> None:
    done = fitted(2, table_data, tmp_path / "two", epochs=2)
    assert done.returncode == 0, done.stderr
    check_ranks(tmp_path / "two", epochs=2)
    assert load_run(tmp_path / "two/run").classes[1].id == "ill"
    assert done.stdout.count("kept epoch") == done.stdout.count("decoded once") == 1
    assert not (tmp_path / "two/run/.cache-train.npy").exists()


@pytest.mark.full
def test_two_processes_are_as_good_as_one(tmp_path: Path) -> None:
    from tests.train.conftest import make_table_data

    data = make_table_data(tmp_path / "data", subjects=60)
    for processes in (1, 2):
        done = fitted(processes, data, tmp_path / str(processes), epochs=8)
        assert done.returncode == 0, done.stderr
    check_ranks(tmp_path / "2", epochs=8)
    one, two = (read_checkpoint(tmp_path / f"{count}/run/best.pt")["metric"]["value"] for count in (1, 2))
    assert abs(one - two) <= 0.02
    assert two > 0.9


@pytest.mark.full
def test_a_rank_that_fails_stops_all_and_says_why(table_data: Path, tmp_path: Path) -> None:
    done = fitted(2, table_data, tmp_path / "two", epochs=2, FAIL="1")
    assert done.returncode != 0
    assert "error: the loss became nan in epoch 1, step 3, on images/" in done.stderr
    assert "RuntimeError" not in done.stderr
    assert not (tmp_path / "two/run/operating-point.json").exists()


def test_alone_everything_is_its_own() -> None:
    assert ALONE.main
    assert ALONE.same("a") == "a"
    assert ALONE.total(1.0, 2.0) == [1.0, 2.0]
    assert list(ALONE.share(np.arange(5))) == [0, 1, 2, 3, 4]
    model = torch.nn.Linear(2, 2)
    assert ALONE.wrap(model) is model is ALONE.synchronised(model)
    with joined(torch.device("cpu")) as ranks:
        assert ranks == ALONE


def test_shares_are_disjoint_and_whole() -> None:
    shares = [Ranks(rank, 3).share(np.arange(11)) for rank in range(3)]
    assert sorted(np.concatenate(shares)) == list(range(11))


def test_several_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="several machines"):
        started_as()
