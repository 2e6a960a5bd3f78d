"""The seam: load, infer, close, with the real libraries on a small real model."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.backends import openvino as openvino_backend
from fieldlens.runtime.backends import select
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend, load_backend
from fieldlens.runtime.backends.selftest import load_golden, run_selftest
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BackendError
from tests.runtime.conftest import seal, tiny_manifest, tiny_onnx

REAL = ("openvino", "onnxruntime")


@pytest.mark.parametrize("name", [*REAL, "fake"])
def test_three_operations(bundle: Bundle, name: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    with load_backend(bundle, name, "fp32", LoadOptions()) as backend:
        logits, cam, features = backend.infer(image)
        assert (logits.shape, cam.shape, features.shape) == ((3, 2), (3, 2, 7, 7), (3, 16))
        assert logits.dtype == cam.dtype == features.dtype == np.float32
        one = np.array(backend.infer(image[1:2]).logits)
        assert np.allclose(one, np.array(backend.infer(image).logits)[1:2], atol=1e-4)
        assert backend.info.name == name
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(image)


@pytest.mark.parametrize("name", REAL)
def test_a_system_that_does_not_tell_which_cores_are_ours(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with load_backend(bundle, name, "fp32", LoadOptions()) as backend:
        assert backend.info.threads >= 1


def test_both_libraries_agree(bundle: Bundle) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    results = []
    for name in REAL:
        with load_backend(bundle, name, "fp32", LoadOptions()) as backend:
            results.append(np.array(backend.infer(image).logits))
    assert np.abs(results[0] - results[1]).max() < 1e-4


def test_a_changed_image_in_the_same_array_is_seen(bundle: Bundle) -> None:
    image = np.zeros((1, 64, 64, 3), np.uint8)
    with load_backend(bundle, "openvino", "fp32", LoadOptions()) as backend:
        dark = np.array(backend.infer(image).logits)
        image[:] = 255
        assert not np.allclose(dark, backend.infer(image).logits)


def test_the_precision_is_what_the_compiled_model_reports(bundle: Bundle) -> None:
    with load_backend(bundle, "openvino", "fp32", LoadOptions(threads=1)) as backend:
        assert backend.info.precision == "fp32"
        assert backend.info.threads == 1


def test_the_compiled_model_is_kept(bundle: Bundle, tmp_path: Path) -> None:
    load_backend(bundle, "openvino", "fp32", LoadOptions(cache=tmp_path)).close()
    (path,) = tmp_path.rglob("*.compiled")
    before = path.stat().st_mtime_ns, path.stat().st_mode & 0o777
    with load_backend(bundle, "openvino", "fp32", LoadOptions(cache=tmp_path)) as again:
        assert not again.info.notes
    assert (path.stat().st_mtime_ns, path.stat().st_mode & 0o777) == before == (before[0], 0o600)


def test_the_last_model_closed_leaves_openvinos_core_alive(bundle: Bundle) -> None:
    """Its CPU plugin frees a signal stack that is still in use when the last Core goes: the next Ctrl-C crashed."""
    before = openvino_backend._core()
    load_backend(bundle, "openvino", "fp32", LoadOptions()).close()
    gc.collect()
    assert openvino_backend._core() is before
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("name", REAL)
def test_a_missing_library_says_how_to_install_it(bundle: Bundle, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match="not installed") as caught:
        load_backend(bundle, name, "fp32", LoadOptions())
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("name", REAL)
def test_a_model_that_is_none_is_refused(copy: Path, name: str) -> None:
    (copy / "model.fp32.onnx").write_bytes(b"no model")
    seal(copy, tiny_manifest())
    with pytest.raises(BackendError, match="refused the model"):
        load_backend(open_bundle(copy), name, "fp32", LoadOptions())


@pytest.mark.parametrize(("name", "precision"), [("openvino", "fp16"), ("onnxruntime", "bf16")])
def test_a_precision_the_backend_cannot_run(bundle: Bundle, name: str, precision: str) -> None:
    with pytest.raises(BackendError, match=f"does not run {precision}"):
        load_backend(bundle, name, precision, LoadOptions())


def test_a_bundle_without_int8_says_so(copy: Path) -> None:
    (copy / "model.int8-cpu.onnx").unlink()
    seal(copy, tiny_manifest())
    with pytest.raises(BackendError, match=r"no model\.int8-cpu\.onnx"):
        load_backend(open_bundle(copy), "openvino", "int8", LoadOptions())
    choice = choose_backend(open_bundle(copy), "openvino", "auto", LoadOptions(), copy.parent)
    assert "no INT8" in choice.reasons[-1]


def test_the_self_test_passes_on_both_libraries(bundle: Bundle) -> None:
    golden = load_golden(bundle)
    assert golden.preprocess_differs == 0
    for name in REAL:
        with load_backend(bundle, name, "fp32", LoadOptions()) as backend:
            result = run_selftest(bundle, backend, golden)
        assert result.passed
        assert result.images == 8
        assert result.max_logit_difference < 1e-3


def test_the_self_test_fails_on_another_model(copy: Path) -> None:
    (copy / "model.fp32.onnx").write_bytes(tiny_onnx(seed=1))
    seal(copy, tiny_manifest())
    broken = open_bundle(copy)
    with load_backend(broken, "onnxruntime", "fp32", LoadOptions()) as backend:
        assert not run_selftest(broken, backend, load_golden(broken)).passed


def test_auto_refuses_an_int8_that_fails_here_and_says_so(copy: Path, tmp_path: Path) -> None:
    (copy / "model.int8-cpu.onnx").write_bytes(tiny_onnx(seed=1))
    seal(copy, tiny_manifest())
    choice = choose_backend(open_bundle(copy), "auto", "auto", LoadOptions(), tmp_path / "state")
    assert "fails its self-test" in choice.reasons[-1]
    assert choice.backend.info.precision == "fp32"
    choice.backend.close()


def test_auto_takes_the_faster_and_remembers(bundle: Bundle, tmp_path: Path) -> None:
    first = choose_backend(bundle, "auto", "auto", LoadOptions(), tmp_path)
    kept = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "selftest").rglob("*.kept"))
    second = choose_backend(bundle, "auto", "auto", LoadOptions(), tmp_path)
    assert kept
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "selftest").rglob("*.kept")) == kept
    assert first.reasons == second.reasons


def test_auto_falls_back_to_onnx_runtime_and_then_names_the_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    present = {"onnxruntime"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in present else None)
    assert select.cpu_backend() == "onnxruntime"
    present.clear()
    with pytest.raises(BackendError, match="neither OpenVINO nor ONNX Runtime"):
        select.cpu_backend()
