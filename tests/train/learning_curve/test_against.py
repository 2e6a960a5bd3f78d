from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from scipy import stats

from fieldlens.train.data.splits import split_hash
from fieldlens.train.errors import RunError
from fieldlens.train.learning_curve.against import gains, lines, other_curve
from fieldlens.train.learning_curve.draws import Draw
from fieldlens.train.learning_curve.kept import Begun, Judged, keep

DRAWS = [Draw(size, number, {"a": "train", f"b{number}": "val"}, size) for size in (50, 100) for number in (1, 2, 3)]


def judged(size: int, draw: int, auc: float | None, accuracy: float = 0.8) -> Judged:
    (own,) = [each for each in DRAWS if (each.size, each.number) == (size, draw)]
    return Judged(size, draw, size, split_hash(own.parts), 1, 1.0, auc, accuracy, ((0.0, 1.0),))


def curve_in(folder: Path, data: str = "d", judges: str = "j", numbers: tuple[int, ...] = (1, 2, 3)) -> Path:
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps(asdict(Begun({}, data, judges, "none"))))
    for draw in DRAWS:
        if draw.number in numbers:
            keep(folder, draw, judged(draw.size, draw.number, 0.9))
    return folder


def test_gains_are_means_of_pairs_with_their_interval() -> None:
    ours = [judged(50, 1, 0.91), judged(50, 2, 0.94), judged(50, 3, 0.93), judged(100, 1, 0.95)]
    theirs = {(50, number): judged(50, number, 0.90) for number in (1, 2, 3)} | {(100, 1): judged(100, 1, 0.9)}
    first, second = gains(ours, theirs)
    assert first.auc is not None
    expected = stats.ttest_1samp([0.01, 0.04, 0.03], 0).confidence_interval()
    assert (first.auc.low, first.auc.high) == pytest.approx((expected.low, expected.high))
    assert first.auc.value == pytest.approx(0.08 / 3)
    assert (second.pairs, second.auc) == (1, None)
    said = lines(Path("runs/base"), [first, second])
    assert said[0].startswith("against base, 50 images, 3 draws in pairs: AUC +0.027 [-0.011, +0.065], accuracy +0.000")
    assert "cannot say" in said[1]


def test_an_auc_that_is_not_defined_is_not_compared() -> None:
    ours = [judged(50, number, None if number == 2 else 0.9) for number in (1, 2, 3)]
    (found,) = gains(ours, {(50, number): judged(50, number, 0.9) for number in (1, 2, 3)})
    assert found.auc is None
    assert found.accuracy is not None


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    ours = curve_in(tmp_path / "ours")
    known = other_curve(curve_in(tmp_path / "some", numbers=(2,)), ours, DRAWS, 1)
    assert sorted(known) == [(50, 2), (100, 2)]
    for folder, words in (
        (curve_in(tmp_path / "data", data="other"), "has other data"),
        (curve_in(tmp_path / "judges", judges="other"), "other images that judge"),
        (curve_in(tmp_path / "none", numbers=()), "none of these draws"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(RunError, match=words):
            other_curve(folder, ours, DRAWS, 1)
