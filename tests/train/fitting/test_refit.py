"""``train.refit``: one network chooses by validation, another learns from everything and is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fieldlens.convert.card import text as card_text
from fieldlens.convert.origin.origin import BundleOptions
from fieldlens.convert.origin.training_run import from_run
from fieldlens.runtime.bundle.promise import promise_of
from fieldlens.runtime.errors import ConfigError
from fieldlens.train.checkpoint import load_run, read_checkpoint
from fieldlens.train.config import Config
from fieldlens.train.data.cache import Tensors, load_tensors
from fieldlens.train.data.load import load_split
from fieldlens.train.epoch.loop import predict
from fieldlens.train.errors import RunError
from fieldlens.train.evaluation.crossval import crossval
from fieldlens.train.evaluation.evaluate import evaluate
from fieldlens.train.evaluation.pooled_point import validation_of
from fieldlens.train.fitting import epochs, refit, run_data
from fieldlens.train.fitting.fit import fit
from fieldlens.train.fitting.refit import check_refit, refitted
from fieldlens.train.fitting.resume import last_state
from fieldlens.train.fitting.run_data import RunData, decode
from tests.train.conftest import make_config, make_table_data, single_thread


def recipe(**sections: Any) -> Config:
    return make_config(**{**sections, "train": {"refit": True, **sections.get("train", {})}})


@pytest.fixture(scope="module")
def data(shared_run: Path) -> Path:
    """What the shared run was fitted on, by the same recipe without ``refit``."""
    return shared_run.parent / "data"


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; ``seen.json`` has the images that each network was fitted on."""
    root, seen, begin = tmp_path_factory.mktemp("refit"), list[list[str]](), epochs.Fitting.__init__

    def watched(self: Any, config: Config, model: Any, material: RunData, *rest: Any) -> None:
        seen.append([sample.id for sample in material.train.samples])
        begin(self, config, model, material, *rest)

    with single_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs.Fitting, "__init__", watched)
        fit(recipe(), data, root / "run")
    (root / "seen.json").write_text(json.dumps(seen))
    return root / "run"


def validation(run: Path, data: Path) -> Tensors:
    """The run's validation images, decoded."""
    finished = load_run(run)
    found, _ = load_split(data, finished.config.data, None)
    return load_tensors(found, validation_of(run, found), finished.preprocess, "decoding")


def test_the_first_network_is_the_one_of_a_plain_fit_and_chooses_the_same(
    made: Path, shared_run: Path, data: Path
) -> None:
    images, first = validation(made, data), json.loads((made / "first.json").read_text())
    plain = load_run(shared_run)
    assert first["ids"] == [sample.id for sample in images.samples]
    np.testing.assert_allclose(first["logits"], predict(plain.model, images.images), rtol=1e-5, atol=1e-5)
    mine, theirs = (json.loads((run / "operating-point.json").read_text()) for run in (made, shared_run))
    assert mine["temperature"] == theirs["temperature"]
    assert {**mine["decision"], "reached": None} == {**theirs["decision"], "reached": None}
    gates = [json.loads((run / "gate.json").read_text()) for run in (made, shared_run)]
    assert gates[0]["quality"] == gates[1]["quality"]
    assert gates[0]["ood"]["threshold"] == gates[1]["ood"]["threshold"] == first["known_within"]
    assert (made / "metrics.csv").read_text().splitlines()[-1].split(",")[:2] == ["2", "0.001"]


def test_the_kept_network_has_learnt_from_training_and_validation_and_from_nothing_else(
    made: Path, shared_run: Path, data: Path
) -> None:
    _, parts = load_split(data, recipe().data, None)
    first, second = json.loads((made.parent / "seen.json").read_text())
    assert sorted(first) == sorted(name for name, part in parts.items() if part == "train")
    assert sorted(second) == sorted(name for name, part in parts.items() if part != "test")
    kept, plain = read_checkpoint(made / "best.pt"), read_checkpoint(shared_run / "best.pt")
    assert kept["refit"]
    assert any(not torch.equal(kept["model"][name], plain["model"][name]) for name in plain["model"])
    assert not (made / "refit").exists()
    assert json.loads((made / "gate.json").read_text())["ood"]["fitted_on"] == {"train": len(second), "val": 0}


def test_the_promise_says_that_another_network_gave_the_scores(made: Path, shared_run: Path) -> None:
    decisions = [load_run(run).operating_point.decision for run in (made, shared_run)]
    mine, theirs = (promise_of(decision.reached) for decision in decisions if decision)
    assert mine
    assert theirs
    assert replace(mine, networks=0) == theirs
    assert mine.words() == f"{theirs.words()}, as scored by another network of the same recipe"


def test_figures_on_validation_say_that_the_network_has_learnt_from_it(made: Path, data: Path) -> None:
    report = evaluate(made, data, "val")
    limits = json.loads(report.report.with_suffix(".json").read_text())["limits"]
    assert any("and then to fit the network that was kept: every figure here flatters" in line for line in limits)
    assert "that is the one that answers" in report.report.read_text()
    origin = from_run(made, BundleOptions(data=data, version=1, label="0"))
    assert origin.judging.what.endswith("validation images, which it has learnt from")
    draft = origin.draft
    draft = replace(draft, provenance={**draft.provenance, "golden": {"images": 0, "from": "nowhere"}})
    assert "and which the network has then learnt from, so it flatters" in card_text(draft, made)


def test_killed_while_the_second_network_is_fitted_it_goes_on_and_ends_the_same(
    made: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    def before_the_gate(*_: Any) -> None:
        raise Killed

    again, kept, run = recipe(), epochs.Fitting._keep, tmp_path / "run"

    def after_its_first_epoch(self: Any, trainer: Any, best: bool) -> None:
        kept(self, trainer, best)
        if self._run.name == refit.FOLDER:
            raise Killed

    monkeypatch.setattr(epochs.Fitting, "_keep", after_its_first_epoch)
    with pytest.raises(Killed):
        fit(again, data, run)
    monkeypatch.undo()
    assert last_state(run / "refit") is not None
    monkeypatch.setattr("fieldlens.train.fitting.finish.refitted_gate", before_the_gate)
    with pytest.raises(Killed):
        fit(again, data, run, resume=True)
    monkeypatch.undo()  # best.pt is the second network's now
    assert read_checkpoint(run / "best.pt")["refit"]
    assert not (run / "operating-point.json").exists()
    first = (run / "first.json").read_bytes()
    (run / "first.json").write_bytes(first[:100])
    with pytest.raises(RunError, match=r"first\.json is damaged or missing"):
        fit(again, data, run, resume=True)
    (run / "first.json").write_bytes(first)
    fit(again, data, run, resume=True)
    for name in ("best.pt", "first.json", "operating-point.json", "gate.json"):
        assert (run / name).read_bytes() == (made / name).read_bytes(), name


def test_with_inner_folds_they_choose_and_nothing_claims_to_be_measured_on_the_kept_network(
    data: Path, tmp_path: Path
) -> None:
    fit(recipe(decision={"inner_folds": 2, "target": "sensitivity >= 0.8"}), data, tmp_path / "run")
    decision = load_run(tmp_path / "run").operating_point.decision
    assert decision
    promise = promise_of(decision.reached)
    assert promise
    assert promise.networks == 2
    assert "carried_over" not in decision.reached


def test_of_a_cross_validation_the_final_network_learns_from_all_at_the_scale_of_its_first(tmp_path: Path) -> None:
    make_table_data(tmp_path / "data", subjects=12)
    config = recipe(train={"epochs": 1}, crossval={"folds": 2})
    crossval(config, tmp_path / "data", tmp_path / "cv")
    result = json.loads((tmp_path / "cv/crossval.json").read_text())["pooled"]
    assert "brought to the scale of the fold's own network" in result["how"]
    assert "carried_over" not in result
    final = tmp_path / "cv/final"
    assert read_checkpoint(final / "best.pt")["refit"]
    assert "refit" not in read_checkpoint(tmp_path / "cv/fold-1/best.pt")
    for run in (tmp_path / "cv/fold-1", final):
        assert json.loads((run / "operating-point.json").read_text())["fitted_on"]["split"] == "out-of-fold"
    # it has learnt from its validation images: what it says of them is not what the threshold's scale comes from
    images = validation(final, tmp_path / "data")
    first = np.array(json.loads((final / "first.json").read_text())["logits"])
    assert not np.allclose(predict(load_run(final).model, images.images), first)


def test_an_early_stop_of_the_first_network_is_the_second_ones_length(data: Path, tmp_path: Path) -> None:
    config = recipe(train={"epochs": 6, "patience": 1, "lr": 1e-6, "metric": "val_accuracy"})
    history, lengths = fit(config, data, tmp_path / "run"), list[int]()
    assert len(history.rows) < 6
    found, parts = load_split(data, config.data, None)

    def counted(self: epochs.Fitting) -> None:
        lengths.append(self._config.train.epochs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs.Fitting, "train", counted)
        refitted(config, decode(config, found, parts, tmp_path), history, tmp_path / "run", "none")
    assert lengths == [len(history.rows)]


def test_what_cannot_be_refitted_is_refused_before_an_image_is_decoded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="plateau"):
        recipe(train={"schedule": "plateau"})
    with pytest.raises(ConfigError, match="one process"):
        check_refit(recipe(), 2)
    check_refit(make_config(), 2)
    monkeypatch.setattr(run_data, "where_to_cache", lambda samples, size, file: file)
    with pytest.raises(ConfigError, match="memory"):
        fit(recipe(), data, tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
