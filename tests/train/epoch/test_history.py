from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

from fieldlens.train.epoch.history import EpochRow, History


def row(epoch: int, auc: float = 0.5, loss: float = 1.0) -> EpochRow:
    return EpochRow(epoch, 0.001, 1.0, 0.5, loss, 0.5, 0.5, auc, 100.0, 2.0)


def test_the_named_metric_chooses() -> None:
    by_auc, by_loss = History("val_auc"), History("val_loss")
    given = [row(1, 0.6, 0.9), row(2, 0.8, 1.5), row(3, 0.7, 0.2), row(4, 0.8, 1.6)]
    assert [by_auc.add(r) for r in given] == [True, True, False, False]
    assert [by_loss.add(r) for r in given] == [True, False, True, False]
    assert (by_auc.best.epoch, by_loss.best.epoch) == (2, 3)


def test_among_equals_the_smaller_loss_chooses_and_renews_patience() -> None:
    """On thirty images an AUC of 1 comes early; the epochs after it still learn."""
    history = History("val_auc")
    assert [history.add(row(epoch, 1.0, loss)) for epoch, loss in enumerate((0.6, 0.3, 0.4, 0.3), 1)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert history.best.epoch == 2
    assert not history.stale(3)
    assert history.stale(2)


def test_nan_is_never_better_but_the_first_epoch_is_kept() -> None:
    history = History("val_auc")
    assert history.add(row(1, math.nan))
    assert not history.add(row(2, math.nan))
    assert history.add(row(3, 0.1))


def test_patience() -> None:
    history = History("val_auc")
    for epoch, value in enumerate((0.5, 0.9, 0.8, 0.7), 1):
        history.add(row(epoch, value))
    assert history.stale(2)
    assert not history.stale(3)
    assert not history.stale(0)


def test_before_judgement_begins_no_epoch_is_best_for_long_and_patience_waits() -> None:
    history = History("val_auc")
    early, late = replace(row(1, 0.9), judged=False), row(3, 0.7)
    assert history.add(early)
    assert not history.add(replace(row(2, 0.8), judged=False))
    assert not history.stale(1)
    assert history.add(late)
    assert history.best == late
    assert not history.stale(1)
    assert not history.add(row(4, 0.6))
    assert not history.add(row(5, 0.5))
    assert history.stale(1)
    assert History.from_plain("val_auc", history.to_plain()).best == late


def test_patience_counts_within_a_stage() -> None:
    history = History("val_auc", [row(1, 0.9), row(2, 0.5), replace(row(3, 0.6), stage=2)])
    assert history.stale(1)
    assert not history.stale(1, stage=2)
    assert not history.stale(1, stage=3)
    assert history.merits(2) == [(0.6, -1.0)]


def test_it_can_be_stored_and_has_a_column_for_kappa_only_where_there_is_one(tmp_path: Path) -> None:
    history = History("val_auc", [row(1, 0.9)])
    assert History.from_plain("val_auc", history.to_plain()).rows[0].val_auc == 0.9
    history.write(tmp_path / "metrics.csv")
    assert "kappa" not in (tmp_path / "metrics.csv").read_text()
    History("val_kappa", [replace(row(1), val_kappa=0.25)]).write(tmp_path / "metrics.csv")
    assert "val_kappa" in (tmp_path / "metrics.csv").read_text()


def test_the_table_is_readable_csv(tmp_path: Path) -> None:
    history = History("val_auc")
    history.add(row(1, 0.123456789))
    history.write(tmp_path / "metrics.csv")
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["epoch"] == "1"
    assert float(lines[0]["val_auc"]) == 0.123457


def test_epochs_on_shrunk_images_are_best_only_until_the_devices_size_begins() -> None:
    history = History("val_auc", first_stage=2)
    assert history.add(row(1, 0.9))
    assert not history.add(row(2, 0.8))
    assert history.add(replace(row(3, 0.5), stage=2))
    assert not history.add(replace(row(4, 0.4), stage=2))
    assert history.best.epoch == 3
    assert History.from_plain("val_auc", history.to_plain(), 2).best.epoch == 3
