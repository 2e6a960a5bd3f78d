"""The figures, on answers whose figures are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from fieldlens.convert.measure.answer import PrecisionAnswers
from fieldlens.convert.measure.evaluate import Figures, Labels, compare
from fieldlens.convert.measure.tolerance import allowed, broken
from fieldlens.runtime.bundle.manifest import Manifest, Tolerance
from fieldlens.runtime.bundle.open import open_bundle

LIMITS = Tolerance(auc_loss=0.002, accuracy_loss=0.01, decisions_changed=0.02, logit=0.5)


@pytest.fixture(scope="module")
def manifest(bundle_folder: Path) -> Manifest:
    found = open_bundle(bundle_folder).manifest
    assert found.decision is not None
    return replace(found, temperature=1.0, decision=replace(found.decision, thresholds={"spot": 0.5}, band=(0.4, 0.5)))


def answers(precision: str, margins: npt.NDArray[np.floating]) -> PrecisionAnswers:
    """Logits ``[0, margin]``."""
    logits = np.stack([np.zeros_like(margins), margins], axis=1).astype(np.float32)
    return PrecisionAnswers(precision, "fake", "1", precision, 1000, logits, 1.0)


def labels(truth: npt.NDArray[np.integer]) -> Labels:
    return Labels(truth.astype(np.int64), tuple(map(str, range(len(truth)))))


def spread(n: int) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.integer]]:
    """Margins from -3 to 3 and their classes, separated but for a few."""
    margins = np.linspace(-3, 3, n)
    truth = (margins > 0).astype(int)
    truth[n // 2 - 2], truth[n // 2 + 2] = 1, 0
    return margins, truth


def rows(manifest: Manifest, ours: npt.NDArray[np.floating], n: int = 1000) -> list[Figures]:
    margins, truth = spread(n)
    return compare(manifest, [answers("fp32", margins), answers("int8-cpu", ours)], labels(truth))


def test_equal_answers_lose_nothing(manifest: Manifest) -> None:
    first, second = rows(manifest, spread(1000)[0])
    assert (second.agreement, second.decisions_changed, second.flips, second.max_logit_difference) == (1, 0, 0, 0)
    assert second.auc_delta == 0.0
    assert second.auc_delta_interval == (0.0, 0.0)
    assert first.auc is not None
    assert first.auc > 0.999
    assert broken(second, LIMITS) == []


def test_known_changes_are_counted(manifest: Manifest) -> None:
    margins = spread(1000)[0]
    ours = margins.copy()
    ours[700:730] = -1.0  # 30 referrals become "no sign found"
    row = rows(manifest, ours)[1]
    assert row.agreement == pytest.approx(0.97)
    assert row.decisions_changed == pytest.approx(0.03)
    assert row.flips == 30
    assert row.accuracy_delta == pytest.approx(-0.03)
    assert row.accuracy_delta_interval is not None
    assert row.accuracy_delta_interval[0] < -0.03 < row.accuracy_delta_interval[1] < 0
    assert row.max_logit_difference == pytest.approx(margins[729] + 1.0)
    assert row.worst_index == 729
    assert row.decision is not None
    assert row.decision["sensitivity"] == pytest.approx(469 / 500)
    said = broken(row, LIMITS)
    assert {line.split(": ")[1].split(" 0")[0] for line in said} >= {"AUC lost", "accuracy lost", "decisions changed"}
    assert all(line.startswith("int8-cpu: ") and "n = 1000" in line for line in said)


def test_not_a_number_is_the_worst(manifest: Manifest) -> None:
    ours = spread(1000)[0].copy()
    ours[3] = math.nan
    row = rows(manifest, ours)[1]
    assert row.max_logit_difference == math.inf
    assert row.worst_index == 3
    assert (row.auc, row.accuracy, row.ece) == (None, None, None)
    assert any("logit difference inf" in line for line in broken(row, LIMITS))


def test_on_few_images_chance_is_allowed_for(manifest: Manifest) -> None:
    """One of 40 is 2.5%, which says nothing about 2%; eight of 40 do."""
    margins = spread(40)[0]
    ours = margins.copy()
    ours[25] = -0.1
    assert broken(rows(manifest, ours, 40)[1], replace(LIMITS, logit=9.0)) == []
    ours[24:36] = -2.0
    assert broken(rows(manifest, ours, 40)[1], replace(LIMITS, logit=9.0)) != []


def test_what_chance_allows_is_the_binomials_95th_percentile(manifest: Manifest) -> None:
    """As many changes as 95 of 100 samples show of a true 2% are kept to, and one more is not."""
    most = int(stats.binom.ppf(0.95, 100, LIMITS.decisions_changed))
    for changed, kept in ((most, True), (most + 1, False)):
        row = replace(rows(manifest, spread(100)[0], 100)[1], decisions_changed=changed / 100)
        assert (broken(row, replace(LIMITS, logit=9.0)) == []) is kept


def test_where_nothing_is_allowed_one_is_too_many(manifest: Manifest) -> None:
    ours = spread(40)[0].copy()
    ours[25] = -0.1
    assert broken(rows(manifest, ours, 40)[1], Tolerance(0.0, 0.0, 0.0, 9.0)) != []


def test_logits_may_move_on_the_models_own_scale() -> None:
    logits = np.array([[0.0, 10.0], [-20.0, 3.0]], np.float32)
    assert allowed("fp32", logits, 0.0).logit == 1e-3
    assert allowed("int8-cpu", logits, 0.01).logit == 1.0
    assert allowed("int8-cpu", logits, 0.7).logit == pytest.approx(1.4)
    assert allowed("int8-cpu", logits, 5.0).logit == 2.0
    assert [allowed(name, logits, 5.0).logit for name in ("fp16", "int8", "int8-trt8")] == [1.0, 2.0, 2.0]
    assert allowed("fp16", logits, 0.0).auc_loss == 0.0005


def test_activations_near_the_end_of_fp16_break_the_tolerance(manifest: Manifest) -> None:
    margins, truth = spread(1000)
    for peak, faults in ((31_999.0, 0), (32_000.0, 1), (math.inf, 1), (None, 0)):
        item = replace(answers("fp16", margins), peak=peak, peak_at="layer3/Add")
        row = compare(manifest, [answers("fp32", margins), item], labels(truth))[1]
        assert len(broken(row, LIMITS)) == faults
    assert row.to_json()["peak"] is None


def test_infinite_answers_are_written_as_null(manifest: Manifest) -> None:
    ours = spread(1000)[0].copy()
    ours[3] = math.inf
    value = rows(manifest, ours)[1].to_json()
    assert value["max_logit_difference"] is None
    json.dumps(value, allow_nan=False)


def test_a_thousand_classes_are_judged_by_accuracy(manifest: Manifest) -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(200, 60)).astype(np.float32)
    general = replace(manifest, decision=None)
    items = [replace(answers(name, logits[:, 0]), logits=logits) for name in ("fp32", "int8")]
    row = compare(general, items, labels(draw.integers(0, 60, 200)))[1]
    assert (row.auc, row.auc_delta, row.auc_delta_interval) == (None, None, None)
    assert row.accuracy_delta_interval == (0.0, 0.0)
