"""What earlier versions wrote is read, or refused with the command that makes it again (``made_formats`` stored it)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from fieldlens import load
from fieldlens.runtime.backends.golden_check import last_start
from fieldlens.runtime.backends.selftest import parse_selftest
from fieldlens.runtime.backends.tensorrt.engine_record import Device, PlanError
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.bundle.open import MANIFEST, open_bundle
from fieldlens.runtime.cli import main as runtime
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import kept
from fieldlens.runtime.quality.camera_limits import device_limits
from fieldlens.train.checkpoint import LOCAL, data_of, load_run, write_checkpoint
from fieldlens.train.decide.quality_gate import read_gate
from fieldlens.train.epoch.history import History
from fieldlens.train.fitting.resume import last_state
from fieldlens.train.recipe import load_recipe
from tests.made_formats import FOLDER, filled, unpacked

GENERATIONS = sorted(path.name for path in FOLDER.iterdir())
_ENGINES = "ab" * 32
"""The bundle that the stored engine is for."""


@pytest.fixture(params=GENERATIONS)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A generation as it was on disk."""
    return unpacked(FOLDER / request.param, tmp_path / "stored")


def test_a_bundle_opens_and_answers_as_it_did(stored: Path) -> None:
    folder = stored / "tiny.bundle"
    line = json.loads((stored / "results/results.jsonl").read_text().splitlines()[0])
    with load(folder, backend="onnxruntime", state=stored / "new state") as model:
        answer = model(folder / "golden/000.jpg")
        assert model.bundle.manifest.notes == ()
    assert str(answer.outcome) == line["outcome"]
    assert answer.probabilities == pytest.approx(line["probabilities"], abs=1e-4)


def test_a_state_folder_is_used(stored: Path) -> None:
    state, bundle = stored / "state", open_bundle(stored / "tiny.bundle")
    limits = device_limits(state, bundle)
    assert limits is not None
    assert limits.ranges["brightness"] == (3.5, 252.0)
    start = last_start(state, bundle)
    assert start is not None
    assert (start.backend, start.check.images) == ("onnxruntime", 4)
    whole = kept.load_any(state / "selftest" / bundle.hash[:16] / "openvino.kept")
    assert whole is not None
    assert parse_selftest(whole[1]).passed


def test_an_engine_is_found_with_its_record(stored: Path) -> None:
    store = EngineStore(stored / "state", open_bundle(stored / "tiny.bundle").hash)
    choice = store.choice(Device("10.3.0", "Orin", "8.7"))
    assert choice is not None
    plan, record = store.load(choice.plans["fp16"])
    assert plan == b"not a plan\n"
    assert (record.identity.bundle, record.notes) == (_ENGINES, ("a note",))


def whole_run(stored: Path) -> Path:
    """The run with zeros for weights."""
    run = stored / "run"
    for path in run.glob("*.pt.outline"):
        write_checkpoint(path.with_suffix(""), filled(json.loads(path.read_text())))
    arrays = filled(json.loads((run / "ood.npz.outline").read_text()))
    np.savez(run / "ood.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    return run


def test_a_run_is_read_with_its_checkpoints(stored: Path) -> None:
    run = whole_run(stored)
    found, gate, state = load_run(run), read_gate(run), last_state(run)
    assert (found.name, found.class_ids, found.seed) == ("tiny", ("healthy", "ill"), 3)
    assert found.operating_point.decision is not None
    assert gate is not None
    assert gate.ood["threshold"] > 0
    assert state is not None
    history = History.from_plain(found.config.train.metric, state["history"])
    with (run / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(row.epoch) for row in history.rows]


def test_where_a_runs_data_lies_is_read_or_asked_for(stored: Path) -> None:
    place = stored / "run" / LOCAL
    for text, found in (('{"data": "here"}', Path("here")), ("[]", None), ('{"data": 3}', None), ("{", None)):
        place.write_text(text)
        assert data_of(stored / "run") == found
    place.unlink()
    assert data_of(stored / "run") is None


def test_recipes_load(stored: Path) -> None:
    recipes = sorted((stored / "recipes").glob("*.toml"))
    assert recipes
    for path in recipes:
        assert load_recipe(path).recipe.name == path.stem


def test_results_go_on_or_are_put_aside_whole(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, image = stored / "results", stored / "tiny.bundle/golden/000.jpg"
    before = {path: path.read_text() for path in folder.iterdir()}
    where = ("--json", folder / "results.jsonl", "--csv", folder / "results.csv", "--rotate", "1M")
    done = ("--bundle", stored / "tiny.bundle", "--backend", "fake", "--state", stored / "new state")
    assert runtime(["classify", *map(str, (image, *done, *where))]) == 0
    capsys.readouterr()
    for path, text in before.items():
        aside = path.with_name(f"{path.name}.1")
        if aside.exists():
            assert aside.read_text() == text
            assert len(path.read_text().splitlines()) == 1 + (path.suffix == ".csv")
        else:
            assert path.read_text().startswith(text)
            assert len(path.read_text().splitlines()) == len(text.splitlines()) + 1


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_bundle_of_an_unknown_format_names_the_command(stored: Path) -> None:
    for found, advice in ((0, ""), (2, "update the device's software"), ("7.3", "update the device's software")):
        edited(stored / "tiny.bundle" / MANIFEST, format=found)
        with pytest.raises(KitError) as caught:
            open_bundle(stored / "tiny.bundle")
        assert advice in caught.value.hint
        assert "`fieldlens convert bundle RUN --out NAME.bundle`" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("run.json", {"format": 2}),
        ("run.json", {"surprise": 1}),
        ("run.json", {"seed": "3"}),
        ("config.json", {"trian": {}}),
        ("operating-point.json", {"temprature": 1.0}),
        ("gate.json", {"ood": None}),
    ],
)
def test_a_run_of_another_version_names_the_command(stored: Path, name: str, changes: dict[str, object]) -> None:
    edited(stored / "run" / name, **changes)
    with pytest.raises(KitError) as caught:
        (read_gate if name == "gate.json" else load_run)(stored / "run")
    assert name in caught.value.message
    assert "fieldlens train fit" in caught.value.hint


def test_a_checkpoint_of_another_version_names_the_command(stored: Path) -> None:
    run = whole_run(stored)
    for name, reader in (("best.pt", load_run), ("last.pt", last_state)):
        write_checkpoint(run / name, {"format": 2, "model": {}})
        with pytest.raises(KitError, match=f"{name} is not a checkpoint of format 1 but of format 2") as caught:
            reader(run)
        assert "fieldlens train fit" in caught.value.hint


def test_a_record_of_another_version_names_the_command(stored: Path) -> None:
    store = EngineStore(stored / "state", open_bundle(stored / "tiny.bundle").hash)
    device = Device("10.3.0", "Orin", "8.7")
    (path,) = store.folder.glob("choice-*.json")
    whole = kept.load_any(path)
    assert whole is not None
    identity, payload = whole
    for changes in ({"format": 2}, {"surprise": 1}, {"plans": {"fp16": "../elsewhere"}}):
        kept.save(path, identity, json.dumps({**json.loads(payload), **changes}).encode())
        with pytest.raises(PlanError) as caught:
            store.choice(device)
        assert "convert engine --ensure" in caught.value.hint
