"""``convert engine`` on every recorded surface: build, gate, save, reload, re-gate, run; and all that can go wrong."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldlens.convert.engine import build as build_module
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend
from fieldlens.runtime.backends.selftest import load_golden
from fieldlens.runtime.backends.tensorrt import backend as tensorrt
from fieldlens.runtime.backends.tensorrt.api import BuildOptions
from fieldlens.runtime.bundle.manifest import Tolerance
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BackendError, KitError
from fieldlens.runtime.terminal.reporter import SILENT
from tests.fakes import models
from tests.fakes.gpu import World
from tests.fakes.install import ledgered_world, use_tensorrt
from tests.fakes.tensorrt import VERSIONS
from tests.fakes.workshop import build_engine, chosen, precision_that_runs

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return models.make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield from ledgered_world(monkeypatch)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_surface_builds_gates_saves_reloads_regates_and_runs(
    world: World, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    use_tensorrt(monkeypatch, world, version)
    store = build_engine(bundle, tmp_path, "--ensure", "--batch", "1,4")
    assert world.builds == ["int8", "fp16"]
    assert precision_that_runs(bundle, tmp_path) == "int8"
    printed = capsys.readouterr().out
    assert "needed: no engine for this GPU yet" in printed
    assert "race: int8 1.200 ms, fp16 1.700 ms (+29.4%)" in printed
    assert printed.count(" passed\n") == 2

    build_engine(bundle, tmp_path, "--ensure", "--batch", "1,4")
    assert "nothing to do" in capsys.readouterr().out

    world.driver += 20
    build_engine(bundle, tmp_path, "--ensure", "--batch", "1,4")
    assert "needed: driver changed (CUDA 12.6 → CUDA 12.8)" in capsys.readouterr().out
    assert len(world.builds) == 2, "a changed driver re-gates, it does not rebuild"
    assert chosen(store).driver == "CUDA 12.8"
    assert precision_that_runs(bundle, tmp_path) == "int8"


def test_what_is_written_beside_a_plan(world: World, bundle: Bundle, tmp_path: Path) -> None:
    store = build_engine(bundle, tmp_path, "--tactic-sources", "JIT_CONVOLUTIONS")
    _, record = store.load(chosen(store).plans["int8"])
    identity = record.identity
    assert (identity.bundle, identity.file, identity.typing) == (bundle.hash, "int8", "strongly typed")
    assert identity.file_sha256 == bundle.manifest.files["model.int8.onnx"].sha256
    assert json.loads(identity.options)["tactic_sources"] == ["JIT_CONVOLUTIONS"]
    assert [engine["precision"] for engine in record.gate["engines"]] == ["int8", "fp16"]
    assert record.gate["race"]["against"] == "fp16"
    assert record.gate["engines"][0]["layers"]["verdict"] == "confirmed"
    assert record.conditions["gpu"]["name"] == "Orin"
    assert list((tmp_path / "engines/timing").glob("*.cache"))


def test_tactic_sources_from_the_environment(
    world: World, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIELDLENS_TACTIC_SOURCES", "JIT_CONVOLUTIONS, EDGE_MASK_CONVOLUTIONS")
    store = build_engine(bundle, tmp_path, "--precision", "fp32")
    assert "EDGE_MASK_CONVOLUTIONS" in chosen(store).options


# -------------------------------------------------------------- the gate


def slow(world: World) -> None:
    world.latency_ms["int8"] = 1.45


def wrong(world: World) -> None:
    world.logit_error["int8"] = 0.9


def silently_wide(world: World) -> None:
    world.layers = "fp32"


@pytest.mark.parametrize(
    ("fault", "refused", "chosen_one", "message"),
    [
        (slow, "int8", "fp16", r"int8 takes 1\.650 ms here, fp16 1\.700 \(\+2\.9%; at least \+5% is asked of it\)"),
        (wrong, "int8", "fp16", r"logits differ by .*, 0\.5 allowed"),
        (silently_wide, "int8", "fp32", r"its layers do not run in int8: contradicted \(3 fp32\)"),
    ],
)
def test_int8_is_refused_by_name_and_figure(
    world: World, bundle: Bundle, tmp_path: Path, fault: Callable[[World], None], refused: str, chosen_one: str,
    message: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fault(world)
    store = build_engine(bundle, tmp_path)
    choice = chosen(store)
    assert choice.chosen == chosen_one
    assert refused not in choice.plans
    with pytest.raises(BackendError, match=message):
        choose_backend(bundle, "tensorrt", "int8", LoadOptions(), tmp_path)
    assert "REFUSED" in capsys.readouterr().out
    before = len(world.builds)
    build_engine(bundle, tmp_path, "--ensure")
    assert len(world.builds) == before, "a refusal is remembered"


@pytest.mark.parametrize("layers", ["myelin", "names"])
def test_untold_precisions_are_said_and_no_failure(
    world: World, bundle: Bundle, tmp_path: Path, layers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.layers = layers
    assert chosen(build_engine(bundle, tmp_path)).chosen == "int8"
    assert "not readable" in capsys.readouterr().out


def test_a_turned_over_decision_is_refused_whatever_the_tolerance(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = dataclasses.replace(models.manifest(), tolerances={name: Tolerance(1, 1, 1, 1e3) for name in models.FILES})
    monkeypatch.setattr(models, "manifest", lambda: loose)
    bundle = models.make_bundle(tmp_path)
    golden = load_golden(bundle)
    flipped = golden.logits[:, ::-1].argmax(1) != golden.logits.argmax(1)
    assert flipped.all()
    infer = tensorrt.TensorRtBackend.infer

    def upside_down(self: Any, image: Any) -> Any:
        outputs = infer(self, image)
        return outputs._replace(logits=outputs.logits[:, ::-1]) if self.info.precision == "int8" else outputs

    monkeypatch.setattr(tensorrt.TensorRtBackend, "infer", upside_down)
    choice = chosen(build_engine(bundle, tmp_path / "state"))
    assert choice.chosen == "fp16"
    assert "golden decisions turned over, none allowed" in choice.refused["int8"]


def test_an_explicit_wish_is_not_replaced(world: World, bundle: Bundle, tmp_path: Path) -> None:
    slow(world)
    with pytest.raises(KitError, match=r"no engine was accepted \(int8: int8 takes") as raised:
        build_engine(bundle, tmp_path, "--precision", "int8")
    assert "--precision auto takes the next safer one" in raised.value.hint
    for precision in ("fp16", "fp32"):
        assert chosen(build_engine(bundle, tmp_path, "--precision", precision)).chosen == precision


def test_when_all_are_refused_the_last_good_engine_stays(world: World, bundle: Bundle, tmp_path: Path) -> None:
    build_engine(bundle, tmp_path)
    world.logit_error = dict.fromkeys(("int8", "fp16", "fp32"), 0.9)
    with pytest.raises(KitError, match="fp32: logits differ by") as raised:
        build_engine(bundle, tmp_path)
    assert "the engine accepted before (int8) stays" in raised.value.hint
    world.logit_error = {}
    assert precision_that_runs(bundle, tmp_path) == "int8"


def test_a_driver_that_breaks_the_engine_leads_to_a_rebuild(
    world: World, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_engine(bundle, tmp_path)
    world.driver, world.logit_error["int8"] = 13000, 0.9
    store = build_engine(bundle, tmp_path, "--ensure")
    assert world.builds == ["int8", "fp16", "int8", "fp16"]
    assert (chosen(store).chosen, chosen(store).driver) == ("fp16", "CUDA 13.0")


# -------------------------------------------------------------- ways of building


def test_a_typed_build_that_fails_on_ten_is_built_with_flags_and_said(
    world: World, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.typed_build_fails = True
    store = build_engine(bundle, tmp_path)
    _, record = store.load(chosen(store).plans["int8"])
    assert (record.identity.file, record.identity.typing) == ("int8-trt8", "flags INT8+FP16")
    assert "int8 strongly typed failed here" in record.notes[0]
    assert "Could not find any implementation" in capsys.readouterr().out
    with choose_backend(bundle, "tensorrt", "auto", LoadOptions(), tmp_path).backend as backend:
        assert "built with flags" in backend.info.notes[0]


def test_eleven_has_no_flags_to_fall_back_to(
    world: World, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tensorrt(monkeypatch, world, "11.4.0.106")
    world.typed_build_fails = True
    assert chosen(build_engine(bundle, tmp_path)).chosen == "fp32"


@pytest.mark.parametrize(("files", "wanted"), [(("fp32",), "fp32"), (("fp32", "fp16"), "fp16")])
def test_a_bundle_with_fewer_files_says_what_is_missing(
    world: World, tmp_path: Path, files: tuple[str, ...], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tensorrt(monkeypatch, world, "11.4.0.106")
    choice = chosen(build_engine(models.make_bundle(tmp_path, files), tmp_path / "state"))
    assert choice.chosen == wanted
    assert choice.refused["int8"] == "the bundle has no model.int8.onnx"


def test_an_unsupported_operator_is_printed_whole(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_tensorrt(monkeypatch, world, "8.6.1")
    bundle = models.make_bundle(tmp_path, broken={"int8-trt8": "strange-op"})
    choice = chosen(build_engine(bundle, tmp_path / "state"))
    assert choice.chosen == "fp16"
    assert "Plugin not found for operator Selu [ModelImporter.cpp:726 in parseGraph]" in capsys.readouterr().out


def test_the_function_returns_what_it_settled_and_prints_nothing(
    world: World, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build_module.build_engine(bundle, tmp_path, BuildOptions((1,)), ensure=True)
    second = build_module.build_engine(bundle, tmp_path, BuildOptions((1,)), ensure=True)
    assert (first.changed, second.changed) == (True, False)
    assert first.choice == second.choice
    assert first.choice.chosen == "int8"
    assert first.path.is_file()
    assert capsys.readouterr() == ("", "")


def test_what_is_needed_is_decided_before_anything_is_built(world: World, bundle: Bundle, tmp_path: Path) -> None:
    def decided(*, ensure: bool = True) -> build_module.Needed:
        with build_module._workbench(bundle, tmp_path, BuildOptions(), SILENT, None) as bench:
            return build_module.decide(bench, "auto", ensure=ensure)

    assert isinstance(decided(), build_module.Build)
    built = build_module.build_engine(bundle, tmp_path, BuildOptions())
    assert decided() == build_module.Nothing(built.choice)
    assert isinstance(decided(ensure=False), build_module.Build)
    world.driver += 20
    again = decided()
    assert isinstance(again, build_module.AcceptAgain)
    assert again.before == built.choice
    assert "driver changed" in again.why
    assert world.builds == ["int8", "fp16"], "deciding builds nothing"


@pytest.fixture
def partial(bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy without FP32, as ``convert slim --for tensorrt10`` makes it (and one file more)."""
    folder = Path(shutil.copytree(bundle.path, tmp_path / "partial.bundle"))
    (folder / "model.fp32.onnx").unlink()
    return open_bundle(folder)


def test_a_partial_copy_builds_from_what_it_has(
    world: World, partial: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_tensorrt(monkeypatch, world, "10.3.0")
    build_engine(partial, tmp_path)
    assert world.builds == ["int8", "fp16"]
    assert "partial copy, without model.fp32.onnx" in capsys.readouterr().out
    with pytest.raises(BackendError, match=r"without model\.fp32\.onnx; it has fp16, int8"):
        build_engine(partial, tmp_path, "--precision", "fp32")


def test_an_engine_outlives_the_file_it_was_built_from(
    world: World, bundle: Bundle, partial: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It was accepted under the same manifest, whose hash names the file."""
    use_tensorrt(monkeypatch, world, "10.3.0")
    build_engine(bundle, tmp_path, "--precision", "fp32")
    capsys.readouterr()
    build_engine(partial, tmp_path, "--precision", "fp32", "--ensure")
    assert "nothing to do" in capsys.readouterr().out
    assert world.builds == ["fp32"]
