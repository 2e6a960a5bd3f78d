"""Contract 1: a bundle is whole, unaltered and of a known format, or it is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldlens import load
from fieldlens.runtime.bundle.describe import describe
from fieldlens.runtime.bundle.open import MANIFEST, open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.cli import main
from fieldlens.runtime.errors import BundleError
from tests.runtime.conftest import tiny_manifest


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads((folder / MANIFEST).read_text())
    change(value)
    (folder / MANIFEST).write_text(json.dumps(value))


def symlink_file(folder: Path) -> None:
    (folder / "model.fp32.onnx").rename(folder.parent / "elsewhere.onnx")
    (folder / "model.fp32.onnx").symlink_to(folder.parent / "elsewhere.onnx")


def symlink_manifest(folder: Path) -> None:
    (folder / MANIFEST).rename(folder.parent / "m.json")
    (folder / MANIFEST).symlink_to(folder.parent / "m.json")


def symlink_folder(folder: Path) -> None:
    shutil.move(folder / "golden", folder.parent / "golden")
    (folder / "golden").symlink_to(folder.parent / "golden")


def flip_byte(folder: Path) -> None:
    data = bytearray((folder / "model.fp32.onnx").read_bytes())
    data[100] ^= 1
    (folder / "model.fp32.onnx").write_bytes(data)


def set_key(key: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder, lambda manifest: manifest.__setitem__(key, value))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "bad-manifest-hash": (flip_byte, r"model\.fp32\.onnx does not match its hash"),
    "unlisted-file": (lambda f: (f / "extra.txt").write_text("x"), r"extra\.txt is not listed"),
    "missing-file": (lambda f: (f / "golden" / "001.jpg").unlink(), r"golden/001\.jpg is missing"),
    "missing-manifest": (lambda f: (f / MANIFEST).unlink(), r"manifest\.json is missing"),
    "symlink": (symlink_file, r"model\.fp32\.onnx is a symbolic link"),
    "symlinked-folder": (symlink_folder, "golden is a symbolic link"),
    "symlinked-manifest": (symlink_manifest, r"manifest\.json"),
    "not-json": (lambda f: (f / MANIFEST).write_text("{"), "is not JSON"),
    "not-utf8": (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe{}"), "is not UTF-8"),
    "a-list": (lambda f: (f / MANIFEST).write_text("[]"), "must be an object"),
    "format-2": (set_key("format", 2), "has format 2; this version reads format 1"),
    "format-2.0": (set_key("format", "2.0"), "has format '2.0'; this version reads format 1"),
    "format-text": (set_key("format", "1"), "'format' must be as \"1.1\", not '1'"),
    "format-number": (set_key("format", 1.1), "'format' must be as"),
    "format-true": (set_key("format", True), "'format' must be as"),
    "unknown-key-inside": (
        lambda f: edit(f, lambda m: m["version"].__setitem__("lable", 1)),
        r"manifest\.json\.version: unknown key 'lable' \(did you mean 'label'\?\)",
    ),
    "unknown-key": (set_key("surprise", 1), "unknown key 'surprise'"),
    "no-classes": (set_key("classes", []), "'classes' must have 1 to 2048 items, not 0"),
    "class-twice": (set_key("classes", [{"id": "a", "display": "A"}] * 2), "'classes' must have ids that are unique"),
    "zero-temperature": (set_key("temperature", 0), "'temperature' must be between"),
    "unknown-task": (set_key("task", "regression"), "'task' is 'regression'"),
    "path-outside": (
        lambda f: edit(f, lambda m: m["files"].__setitem__("../secret", {"sha256": "0", "size": 0})),
        "forbidden path '../secret'",
    ),
    "absolute-path": (
        lambda f: edit(f, lambda m: m["files"].__setitem__("/etc/passwd", {"sha256": "0", "size": 0})),
        "forbidden path '/etc/passwd'",
    ),
    "tensors-do-not-fit": (
        lambda f: edit(f, lambda m: m["tensors"]["outputs"]["logits"].__setitem__("shape", ["N", 5])),
        "do not fit the classes",
    ),
    "positive-class-unknown": (
        lambda f: edit(f, lambda m: m["decision"].__setitem__("positive", ["sing"])),
        "positive class 'sing' is not a class",
    ),
    "threshold-out-of-range": (
        lambda f: edit(f, lambda m: m["decision"].__setitem__("thresholds", 1.5)),
        "decision: 'thresholds' must be between 0 and 1, not 1.5",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_bundle_is_refused_and_says_why(copy: Path, fault: str) -> None:
    damage, words = FAULTS[fault]
    damage(copy)
    with pytest.raises(BundleError, match=words) as caught:
        open_bundle(copy)
    assert caught.value.hint


@pytest.mark.parametrize("key", tiny_manifest().to_json())
def test_every_key_of_the_manifest_is_needed(copy: Path, key: str) -> None:
    edit(copy, lambda manifest: manifest.pop(key))
    with pytest.raises(BundleError, match=key):
        open_bundle(copy)


def test_a_whole_bundle_opens_and_reads_back(bundle: Bundle) -> None:
    assert bundle.title == "tiny v3"
    assert bundle.manifest.precisions == ("fp32", "int8-cpu")
    assert bundle.manifest.size == 64
    assert bundle.model("fp32").startswith(b"\x08")
    written = tiny_manifest().to_json()
    assert {**bundle.manifest.to_json(), "files": {}} == written


def test_todays_first_format_is_read_as_1_0(copy: Path) -> None:
    set_key("format", 1)(copy)
    manifest = open_bundle(copy).manifest
    assert (manifest.format, manifest.notes) == ("1.0", ())


@pytest.mark.parametrize("fault", ["unknown-key", "unknown-key-inside"])
def test_what_a_newer_minor_format_adds_is_noted_and_not_used(copy: Path, fault: str) -> None:
    damage, _ = FAULTS[fault]
    damage(copy)
    set_key("format", "1.7")(copy)
    bundle = open_bundle(copy)
    (note,) = bundle.manifest.notes
    assert "format 1.7" in note
    places = {"unknown-key": "manifest.json.surprise", "unknown-key-inside": "manifest.json.version.lable"}
    assert bundle.manifest.unread == (places[fault],)
    assert note in " ".join(describe(bundle).split())
    assert set(bundle.manifest.to_json()) == set(tiny_manifest().to_json())


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda m: m["decision"].__setitem__("unless", 1), r"manifest\.json\.decision: unknown key 'unless'"),
        (
            lambda m: m["preprocess"][1].__setitem__("filter", 1),
            r"manifest\.json\.preprocess\[1\]: unknown key 'filter'",
        ),
        (lambda m: m.__setitem__("quality", {"limits": {}, "bounds": {}, "mask": 1}), "quality: unknown key 'mask'"),
        (lambda m: m.__setitem__("ood", {"threshold": 1, "scale": 2}), "ood: unknown key 'scale'"),
        (lambda m: m["tensors"]["inputs"].__setitem__("second", {}), "do not fit"),
    ],
)
def test_what_would_change_an_answer_is_refused_in_a_newer_minor_too(
    copy: Path, change: Callable[[dict[str, Any]], Any], place: str
) -> None:
    edit(copy, change)
    set_key("format", "1.7")(copy)
    with pytest.raises(BundleError, match=place) as caught:
        open_bundle(copy)
    assert "convert bundle" in caught.value.hint


def test_an_unknown_major_format_says_what_to_do(copy: Path) -> None:
    set_key("format", "2.0")(copy)
    with pytest.raises(BundleError) as caught:
        open_bundle(copy)
    assert "update the device's software" in caught.value.hint
    assert "fieldlens convert bundle" in caught.value.hint


def test_a_file_swapped_after_opening_is_not_used(copy: Path) -> None:
    """Hashed from the same bytes that are used: there is no moment between check and use."""
    opened = open_bundle(copy)
    flip_byte(copy)
    with pytest.raises(BundleError, match="does not match its hash"):
        opened.model("fp32")


def test_no_bundle_and_a_file_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        open_bundle(tmp_path / "none.bundle")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="is not a folder"):
        open_bundle(tmp_path / "file")


def test_asking_for_a_file_that_is_not_listed(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="has no file"):
        bundle.read("model.fp16.onnx")


def test_what_is_left_out_is_said_in_python_and_on_the_command_line(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_key("surprise", 1)(copy)
    set_key("format", "1.7")(copy)
    state = tmp_path / "state"
    with load(copy, backend="fake", state=state) as model:
        (note,) = [note for note in model.notes if "manifest.json.surprise" in note]
    image, options = copy / "golden/000.jpg", ["--bundle", copy, "--backend", "fake", "--state", state]
    assert main(["classify", *map(str, (image, *options))]) == 0
    assert f"note: {note}" in capsys.readouterr().out
    assert main(["info", str(copy)]) == 0
    assert note in " ".join(capsys.readouterr().out.split())
