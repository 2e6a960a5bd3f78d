"""A plain fit whose validation proves too little: threshold and temperature by out-of-fold scores, if asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.terminal.reporter import Lines
from fieldlens.train.checkpoint import load_run
from fieldlens.train.config import Config
from fieldlens.train.data.load import load_split
from fieldlens.train.errors import DataError
from fieldlens.train.evaluation.evaluate import evaluate
from fieldlens.train.fitting import inner_folds
from fieldlens.train.fitting.fit import fit
from fieldlens.train.fitting.inner_folds import inner_splits
from tests.train.conftest import make_config, make_table_data, single_thread

FOLDS = 2


def recipe(**decision: Any) -> Config:
    return make_config(train={"epochs": 1}, decision={"inner_folds": FOLDS, "target": "sensitivity >= 0.8", **decision})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished fit of 20 subjects with three images each in ``run``; what it printed is in ``printed.txt``."""
    root, lines = tmp_path_factory.mktemp("inner"), list[str]()
    make_table_data(root / "data")

    class Kept(Lines):
        def say(self, text: str) -> None:
            lines.append(text)

    with single_thread():
        fit(recipe(), root / "data", root / "run", reporter=Kept())
    (root / "printed.txt").write_text("\n".join(lines))
    return root


def test_every_image_outside_of_the_test_is_scored_once_by_a_network_that_had_not_seen_its_subject(made: Path) -> None:
    data, parts = load_split(made / "data", recipe().data, None)
    known = {sample.id for sample in data.samples if parts[sample.id] != "test"}
    splits, group = inner_splits(recipe(), data, parts), {sample.id: sample.group for sample in data.samples}
    assert sorted(name for each in splits for name, part in each.items() if part == "test") == sorted(known)
    for number, each in enumerate(splits, 1):
        assert set(each) == known
        scored = {group[name] for name, part in each.items() if part == "test"}
        assert not scored & {group[name] for name, part in each.items() if part != "test"}
        stored = json.loads((made / f"run/inner/fold-{number}.json").read_text())
        assert set(stored["ids"]) == {name for name, part in each.items() if part == "test"}
    assert not list((made / "run/inner").glob("*/best.pt"))


def test_the_point_rests_on_more_groups_says_whose_scores_they_are_and_how_it_carries_over(made: Path) -> None:
    run = load_run(made / "run")
    decision, value = run.operating_point.decision, json.loads((made / "run/operating-point.json").read_text())
    assert decision is not None
    promise = promise_of(decision.reached)
    assert promise is not None
    assert (promise.groups, promise.networks) == (8, FOLDS)  # of ten sick subjects two are in the test
    assert promise.words().startswith("8 positive groups can prove")
    assert promise.words().endswith(", as scored by 2 other networks of the same recipe")
    assert value["fitted_on"] == {"split": "out-of-fold", "n": 48, "groups": 16, "networks": FOLDS}
    carried = decision.reached["carried_over"]
    assert carried["n"] == carried["others"]["n"] == 18
    assert carried["positives"] == 9
    said = (made / "printed.txt").read_text()
    assert "out-of-fold scores of 2 networks; its own reaches sensitivity" in said
    evaluate(made / "run")
    assert "as scored by 2 other networks" in (made / "run/report.html").read_text()


def test_a_fit_killed_between_inner_folds_goes_on_and_ends_the_same(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    scores, calls = inner_folds._scores, list[Path]()

    def second_is_killed(config: Config, fold: Any, images: Any, place: Path, weights: str) -> Any:
        calls.append(place)
        if len(calls) == 2:
            raise Killed
        return scores(config, fold, images, place, weights)

    monkeypatch.setattr(inner_folds, "_scores", second_is_killed)
    with pytest.raises(Killed):
        fit(recipe(), made / "data", tmp_path / "run")
    assert not (tmp_path / "run/operating-point.json").exists()
    fit(recipe(), made / "data", tmp_path / "run", resume=True)
    assert [place.name for place in calls] == ["fold-1", "fold-2", "fold-2"]
    for name in ("operating-point.json", "inner/fold-1.json", "inner/fold-2.json"):
        assert (tmp_path / "run" / name).read_bytes() == (made / "run" / name).read_bytes()


def test_it_is_left_out_where_validation_proves_enough_and_refused_before_training(tmp_path: Path) -> None:
    config = recipe(target="sensitivity >= 0.4")
    data, parts = load_split(make_table_data(tmp_path / "data"), config.data, None)
    assert inner_splits(config, data, parts) == []
    assert inner_splits(replace(config, decision=replace(config.decision, positive=())), data, parts) == []
    with pytest.raises(ConfigError, match="one process"):
        inner_splits(recipe(), data, parts, world=2)
    with pytest.raises(DataError, match=r"13 folds") as caught:
        inner_splits(recipe(inner_folds=13), data, parts)
    assert "decision.inner_folds" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="inner_folds is 1"):
        recipe(inner_folds=1)


def test_without_them_the_fit_says_what_they_would_bring_and_cost(shared_run: Path, tmp_path: Path) -> None:
    lines = list[str]()

    class Kept(Lines):
        def say(self, text: str) -> None:
            lines.append(text)

    fit(make_config(), shared_run.parent / "data", shared_run, resume=True, reporter=Kept())
    assert "would choose temperature and threshold by 8 instead of 3, as scored by 5 more networks" in lines[-1]
    assert np.isfinite(float(lines[-1].rpartition("about ")[2].split()[0]))
