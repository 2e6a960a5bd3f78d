"""Who answers for which file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fieldlens.convert.measure.answer import answer, file_of, judged_precisions
from fieldlens.runtime.bundle.manifest import Tolerance
from fieldlens.runtime.bundle.open import open_bundle
from tests.convert.conftest import real_like


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_answers_of_a_real_bundle(bundle_folder: Path, backend: str) -> None:
    bundle = open_bundle(bundle_folder)
    images = real_like(6)
    first, second = answer(bundle, ["fp32", "int8-cpu"], images, backend)
    assert (first.backend, first.runs, second.runs) == (backend, "fp32", "int8")
    assert first.logits.shape == (6, 2)
    assert 0 < np.abs(first.logits - second.logits).max() < bundle.manifest.tolerances["int8-cpu"].logit * 2
    assert second.size_bytes < first.size_bytes / 3
    assert (first.latency_p50_ms or 0) > 0
    assert (second.latency_p50_ms or 0) > 0


def test_files_for_tensorrt_are_emulated(bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    images = real_like(20)
    found = answer(bundle, ["fp32", "fp16", "int8", "int8-trt8"], images, "auto")
    assert [item.backend for item in found[1:]] == ["emulation"] * 3
    assert [item.runs for item in found[1:]] == ["fp16", "int8", "int8"]
    for item in found[1:]:
        assert item.latency_p50_ms is None
        assert item.peak is not None
        assert 200 < item.peak < 32_000, "the image's own numbers go up to 255"
        assert 0 < np.abs(item.logits - found[0].logits).max() < bundle.manifest.tolerances[item.precision].logit * 2
    assert found[0].latency_p50_ms is not None
    alone = answer(bundle, ["fp16"], images[:3], "auto")[0]
    np.testing.assert_allclose(alone.logits, found[1].logits[:3], atol=1e-2)


def test_fp16_without_a_file_is_run_from_fp32(bundle_folder: Path) -> None:
    """As TensorRT 8.6 builds it."""
    bundle = open_bundle(bundle_folder)
    files = {name: info for name, info in bundle.manifest.files.items() if name != "model.fp16.onnx"}
    without = replace(bundle, manifest=replace(bundle.manifest, files=files))
    assert judged_precisions(without) == ["fp32", "fp16", "int8", "int8-trt8", "int8-cpu"]
    assert file_of(without.manifest, "fp16") == "fp32"
    assert file_of(bundle.manifest, "fp16") == "fp16"
    only = replace(without.manifest, tolerances={"int8-trt8": Tolerance(0, 0, 0, 0)})
    assert "fp16" not in judged_precisions(replace(without, manifest=only))


def test_what_a_partial_copy_is_without_is_not_run(bundle_folder: Path) -> None:
    """Without FP32 and without an FP16 file there is nothing that FP16 could be run from."""
    bundle = open_bundle(bundle_folder)
    assert judged_precisions(replace(bundle, absent=("model.fp32.onnx", "model.int8.onnx"))) == [
        "fp16", "int8-trt8", "int8-cpu",
    ]  # fmt: skip
    files = {name: info for name, info in bundle.manifest.files.items() if name != "model.fp16.onnx"}
    without = replace(bundle, manifest=replace(bundle.manifest, files=files), absent=("model.fp32.onnx",))
    assert judged_precisions(without) == ["int8", "int8-trt8", "int8-cpu"]
