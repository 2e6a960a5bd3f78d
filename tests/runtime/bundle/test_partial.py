"""Partial copies: listed model files may be absent; everything else is checked, and it is said what is absent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend, load_backend
from fieldlens.runtime.bundle.describe import describe
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.cli import main
from fieldlens.runtime.doctor.checks import check_bundle
from fieldlens.runtime.errors import BackendError, BundleError
from tests.runtime.conftest import seal, tiny_manifest, tiny_onnx

FP32, INT8 = "model.fp32.onnx", "model.int8-cpu.onnx"


@pytest.fixture
def partial(copy: Path) -> Path:
    """A copy without FP32."""
    (copy / FP32).unlink()
    return copy


def test_a_copy_without_a_model_opens_under_the_same_hash(bundle_folder: Path, partial: Path) -> None:
    whole, opened = open_bundle(bundle_folder), open_bundle(partial)
    assert (opened.hash, opened.absent, opened.precisions) == (whole.hash, (FP32,), ("int8-cpu",))
    assert (whole.absent, whole.precisions, whole.partial) == ((), ("fp32", "int8-cpu"), "")
    assert opened.manifest == whole.manifest


def test_what_is_present_is_still_checked(partial: Path) -> None:
    data = bytearray((partial / INT8).read_bytes())
    data[100] ^= 1
    (partial / INT8).write_bytes(data)
    with pytest.raises(BundleError, match=r"int8-cpu\.onnx does not match its hash"):
        open_bundle(partial)


def test_a_changed_size_is_seen(partial: Path) -> None:
    (partial / INT8).write_bytes((partial / INT8).read_bytes() + b"\0")
    with pytest.raises(BundleError, match="does not match its hash"):
        open_bundle(partial)


@pytest.mark.parametrize("name", ["model.int8.onnx", "model.fp32.onnx.bak", "notes.txt"])
def test_what_is_not_listed_is_refused(partial: Path, name: str) -> None:
    """A model file that this bundle never had is no better than any other stranger."""
    (partial / name).write_bytes(b"\x08")
    with pytest.raises(BundleError, match="is not listed in the manifest"):
        open_bundle(partial)


@pytest.mark.parametrize("name", ["golden/000.jpg", "golden/golden.npz", "golden/golden.json"])
def test_only_model_files_may_be_absent(partial: Path, name: str) -> None:
    (partial / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        open_bundle(partial)


def test_without_any_model_there_is_no_bundle(partial: Path) -> None:
    (partial / INT8).unlink()
    with pytest.raises(BundleError, match="all model files are missing"):
        open_bundle(partial, check_files=False)


def test_an_absent_model_is_named_with_what_is_here(partial: Path) -> None:
    with pytest.raises(BundleError, match=r"partial copy without model\.fp32\.onnx; it has int8-cpu") as caught:
        open_bundle(partial).model("fp32")
    assert "copy the whole bundle" in caught.value.hint


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_auto_runs_without_fp32_what_proves_itself(partial: Path, tmp_path: Path, backend: str) -> None:
    choice = choose_backend(open_bundle(partial), backend, "auto", LoadOptions(), tmp_path)
    with choice.backend as loaded:
        assert loaded.info.name == backend
        assert choice.golden is not None
        assert choice.golden.last is not None
    assert choice.reasons == ("int8: it passed its self-test here, and this copy is without fp32",)


def test_auto_refuses_an_int8_that_fails_where_fp32_is_absent(copy: Path, tmp_path: Path) -> None:
    (copy / INT8).write_bytes(tiny_onnx(seed=1))
    seal(copy, tiny_manifest())
    (copy / FP32).unlink()
    with pytest.raises(BackendError, match=r"fails its self-test.*no FP32 to fall back on") as caught:
        choose_backend(open_bundle(copy), "onnxruntime", "auto", LoadOptions(), tmp_path)
    assert "copy the whole bundle" in caught.value.hint


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_by_name_whose_file_is_absent_is_an_error(partial: Path, tmp_path: Path, precision: str) -> None:
    with pytest.raises(BackendError, match=r"without model\.fp32\.onnx; it has int8-cpu") as caught:
        choose_backend(open_bundle(partial), "openvino", precision, LoadOptions(), tmp_path)
    assert caught.value.hint == "choose --precision int8 or copy the whole bundle from where it was made"


def test_int8_by_name_where_only_fp32_is_here(copy: Path, tmp_path: Path) -> None:
    (copy / INT8).unlink()
    with pytest.raises(BackendError, match=r"without model\.int8-cpu\.onnx; it has fp32") as caught:
        load_backend(open_bundle(copy), "onnxruntime", "int8", LoadOptions())
    assert "--precision fp32" in caught.value.hint
    choice = choose_backend(open_bundle(copy), "onnxruntime", "auto", LoadOptions(), tmp_path)
    choice.backend.close()
    assert choice.reasons == ("fp32: this partial copy has no INT8 for CPUs",)


def test_a_copy_for_tensorrt_says_on_a_cpu_what_it_has(copy: Path, tmp_path: Path) -> None:
    shutil.copy(copy / FP32, copy / "model.fp16.onnx")
    seal(copy, tiny_manifest())
    for name in (FP32, INT8):
        (copy / name).unlink()
    with pytest.raises(BackendError, match=r"without model\.int8-cpu\.onnx; it has fp16") as caught:
        choose_backend(open_bundle(copy), "onnxruntime", "auto", LoadOptions(), tmp_path)
    assert caught.value.hint == "copy the whole bundle from where it was made"


def test_info_verify_selftest_and_doctor_say_what_is_absent(
    partial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "partial copy, without model.fp32.onnx"
    assert main(["verify", str(partial)]) == 0
    assert f"files match their hashes; {said}" in capsys.readouterr().out
    assert main(["info", str(partial), "--state", str(tmp_path)]) == 0
    assert said in capsys.readouterr().out
    arguments = ["selftest", str(partial), "--state", str(tmp_path), "--backend", "onnxruntime"]
    assert main(arguments) == 0
    assert said in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["absent"] == [FP32]
    assert said in check_bundle(partial).words
    assert said in describe(open_bundle(partial))
