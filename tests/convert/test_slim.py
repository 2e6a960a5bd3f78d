"""``convert slim``: what a device needs and no more, under the same manifest and signature."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fieldlens.convert.cli import main
from fieldlens.convert.sign import sign_bundle
from fieldlens.convert.slim import needed, slim
from fieldlens.runtime.bundle.open import MANIFEST, SIGNATURE, open_bundle
from fieldlens.runtime.bundle.precision import MODEL_FILES
from fieldlens.runtime.bundle.signature import Policy, example_line
from fieldlens.runtime.errors import BundleError, ConfigError, OutputError
from tests.runtime.conftest import build_bundle, seal, tiny_manifest


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for all targets, whose networks are one and the same."""
    folder = build_bundle(tmp_path_factory.mktemp("bundles") / "all.bundle", tiny_manifest())
    for name in MODEL_FILES:
        if not (folder / f"model.{name}.onnx").exists():
            shutil.copy(folder / "model.fp32.onnx", folder / f"model.{name}.onnx")
    seal(folder, tiny_manifest())
    return folder


def models(folder: Path) -> set[str]:
    return {path.name.removeprefix("model.").removesuffix(".onnx") for path in folder.glob("model.*.onnx")}


@pytest.mark.parametrize(
    ("targets", "kept"),
    [
        (("cpu",), {"int8-cpu"}),
        (("tensorrt10",), {"fp16", "int8"}),
        (("tensorrt8",), {"fp32", "int8-trt8"}),  # its FP16 is built from FP32
        (("cpu", "tensorrt10"), {"int8-cpu", "fp16", "int8"}),
    ],
)
def test_a_device_gets_what_it_runs(whole: Path, tmp_path: Path, targets: tuple[str, ...], kept: set[str]) -> None:
    out = tmp_path / "device.bundle"
    copied = slim(whole, out, targets)
    assert models(out) == kept
    assert copied.bundle.hash == open_bundle(whole).hash
    assert (out / MANIFEST).read_bytes() == (whole / MANIFEST).read_bytes()
    others = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.suffix != ".onnx"}
    assert {path.relative_to(out) for path in out.rglob("*") if path.is_file() and path.suffix != ".onnx"} == others
    assert copied.size_bytes == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def test_fp32_goes_along_where_it_is_asked_for_or_nothing_else_is_listed(whole: Path, tmp_path: Path) -> None:
    slim(whole, tmp_path / "with.bundle", ("cpu",), fp32=True)
    assert models(tmp_path / "with.bundle") == {"fp32", "int8-cpu"}
    bundle = open_bundle(whole)
    without = {name: info for name, info in bundle.manifest.files.items() if "int8-cpu" not in name}
    assert needed(replace(bundle, manifest=replace(bundle.manifest, files=without)), ("cpu",)) == ("fp32",)


def test_a_signature_holds_and_a_partial_copy_cannot_be_signed(whole: Path, tmp_path: Path) -> None:
    signed = Path(shutil.copytree(whole, tmp_path / "signed.bundle"))
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    sign_bundle(signed, key)
    out = tmp_path / "device.bundle"
    assert slim(signed, out, ("cpu",)).bundle.has_signature
    assert (out / SIGNATURE).read_bytes() == (signed / SIGNATURE).read_bytes()
    signers = tmp_path / "allowed_signers"
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    signers.write_text(f'maker@clinic namespaces="fieldlens-bundle" {public}\n')
    assert "fieldlens-bundle" in example_line()
    assert open_bundle(out, signers=Policy(signers, guarded=False)).signer == "maker@clinic"
    with pytest.raises(BundleError, match="a signature vouches for every file"):
        sign_bundle(out, key)


def test_a_copy_lacks_nothing_that_the_next_copy_needs(whole: Path, tmp_path: Path) -> None:
    first = tmp_path / "cpu.bundle"
    slim(whole, first, ("cpu",))
    slim(first, tmp_path / "again.bundle", ("cpu",))
    assert models(tmp_path / "again.bundle") == {"int8-cpu"}
    with pytest.raises(BundleError, match=r"partial copy without model\.fp16\.onnx"):
        slim(first, tmp_path / "gpu.bundle", ("tensorrt10",))
    assert not (tmp_path / "gpu.bundle").exists()


def test_damage_is_found_on_the_way_and_nothing_is_left(whole: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(whole, tmp_path / "broken.bundle"))
    data = bytearray((broken / "model.int8-cpu.onnx").read_bytes())
    data[50] ^= 1
    (broken / "model.int8-cpu.onnx").write_bytes(data)
    with pytest.raises(BundleError, match="does not match its hash"):
        slim(broken, tmp_path / "out" / "cpu.bundle", ("cpu",))
    assert not (tmp_path / "out").exists()


def test_an_out_in_use_and_an_unknown_target_are_refused(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").touch()
    with pytest.raises(OutputError, match="is not empty"):
        slim(whole, tmp_path / "here", ("cpu",))
    with pytest.raises(ConfigError, match="--for 'gpu': gpu is no target"):
        main(["slim", str(whole), "--for", "gpu", "--out", str(tmp_path / "x.bundle")])


def test_the_command_says_what_was_left_out(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slim", str(whole), "--for", "cpu", "--out", str(tmp_path / "x.bundle")]) == 0
    printed = capsys.readouterr().out
    assert "partial copy, without model.fp32.onnx, model.fp16.onnx, model.int8.onnx, model.int8-trt8.onnx" in printed
    assert open_bundle(whole).hash in printed
