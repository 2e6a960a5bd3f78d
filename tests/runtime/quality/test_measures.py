"""The gate before an answer, and its limits for one device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.quality_limits import CHECKS, Limits, limits_from_json
from fieldlens.runtime.errors import BundleError, KitError
from fieldlens.runtime.files import kept
from fieldlens.runtime.quality.camera_limits import device_limits, propose, save
from fieldlens.runtime.quality.measures import Measures, judge, measure
from tests.runtime.conftest import jpeg, scene, seal, tiny_manifest

ROOT = Path(__file__).parents[3]
GOOD = scene(1, 64, 64)


def picture(seed: int, **plain: float) -> Measures:
    found = measure(scene(seed, 64, 64), 480)
    return Measures({**found.plain, **plain}, found.description)


@pytest.mark.parametrize(
    ("spoil", "check", "direction"),
    [
        (lambda x: (x * 0.1).astype(np.uint8), "brightness", -1),
        (lambda x: np.clip(x * 3.0, 0, 255).astype(np.uint8), "brightness", 1),
        (lambda x: np.clip(x * 3.0, 0, 255).astype(np.uint8), "clipped", 1),
        (lambda x: np.zeros_like(x), "clipped", 1),
        (lambda x: (128 + (x.astype(int) - 128) // 20).astype(np.uint8), "contrast", -1),
        (lambda x: np.random.default_rng(0).integers(0, 256, x.shape, np.uint8), "noise", 1),
    ],
)
def test_each_measure_moves_with_its_fault(spoil: Any, check: str, direction: int) -> None:
    good, bad = measure(GOOD, 480).plain[check], measure(spoil(GOOD), 480).plain[check]
    assert (bad - good) * direction > 0.02 * max(good, 0.01)


def test_noise_is_the_deviation_of_the_grain() -> None:
    flat = np.full((128, 128), 120.0) + np.random.default_rng(1).normal(0, 8, (128, 128))
    grey = np.repeat(np.rint(flat).astype(np.uint8)[..., None], 3, axis=2)
    assert measure(grey, 480).plain["noise"] == pytest.approx(8, rel=0.05)


def test_a_channel_burnt_out_counts_as_a_third() -> None:
    red = np.full((32, 32, 3), (255, 90, 80), np.uint8)
    assert measure(red, 480).plain["clipped"] == pytest.approx(1 / 3)


def limits(**ranges: Any) -> Limits:
    found = limits_from_json({"limits": ranges, "bounds": {"brightness": [10, 250]}})
    assert found is not None
    return found


def test_findings_say_what_to_do() -> None:
    good = measure(GOOD, 480)
    measures = Measures({**good.plain, "brightness": 5.0, "side": 20.0}, good.description)
    findings = judge(measures, limits(brightness=[40, 220], side=[64, None]))
    assert [finding.check for finding in findings] == ["brightness", "side"]
    assert "lamp" in findings[0].advice
    assert not judge(measure(GOOD, 480), limits())


@pytest.mark.parametrize(
    "value",
    [[], {"limits": {}}, {"limits": {"brightness": [1]}, "bounds": {}}, {"limits": {"glare": [0, 1]}, "bounds": {}},
     {"limits": {"brightness": [9, 1]}, "bounds": {}}, {"limits": {"brightness": ["a", None]}, "bounds": {}},
     {"limits": {"sharpness": [0.1, None]}, "bounds": {}}, {"limits": {}, "bounds": {}, "model": {"powers": [1]}}],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(value: Any) -> None:
    with pytest.raises(BundleError):
        limits_from_json(value)


def test_limits_widen_to_what_the_camera_gives_but_not_beyond_the_bounds() -> None:
    before = limits(brightness=[60, 200], noise=[None, 1e3], side=[64, None])
    dim = [picture(i, brightness=20.0 + i % 3) for i in range(25)]
    moved = {row.check: row.after for row in propose(before, dim)}
    low, high = moved["brightness"]
    assert low is not None
    assert 17 < low < 20
    assert high == 200  # a limit that no image comes near stays
    assert moved["side"] == (64, None)
    assert moved["noise"] == (None, 1e3)
    assert moved["clipped"] == (None, None)
    dark = [picture(i, brightness=1.0) for i in range(25)]
    assert propose(before, dark)[0].after == (10, 200)


def test_twenty_images_set_a_limit_that_nearly_all_others_keep() -> None:
    """ISO 16269-6: 95% of all, with 95% confidence."""
    before, kept = limits(brightness=[126.0, None]), []
    for seed in range(200):
        values = np.random.default_rng(seed).normal(120, 20, 20)
        low = propose(before, [picture(0, brightness=value) for value in values])[0].after[0]
        assert low is not None
        kept.append(np.random.default_rng(1000 + seed).normal(120, 20, 2000) >= low)
    assert 0.90 <= np.mean(np.mean(kept, axis=1) >= 0.95) <= 0.99


def test_nineteen_images_are_too_few() -> None:
    with pytest.raises(KitError, match="20 are needed"):
        propose(limits(), [picture(i) for i in range(19)])


@pytest.fixture
def gated(copy: Path) -> Path:
    """A bundle whose gate wants brighter images than the test scenes are."""
    quality = {"limits": {"brightness": [200, None]}, "bounds": {"brightness": [10, 250]}}
    manifest = tiny_manifest().to_json() | {"quality": quality}
    seal(copy, tiny_manifest())
    sealed = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**sealed, "quality": manifest["quality"]}))
    return copy


def test_a_device_keeps_its_limits_for_its_bundle(gated: Path, tmp_path: Path) -> None:
    bundle = open_bundle(gated)
    manifest_limits = limits_from_json(bundle.manifest.quality)
    assert manifest_limits is not None
    assert device_limits(tmp_path, bundle) == manifest_limits
    moved = propose(manifest_limits, [picture(i) for i in range(20)])
    save(tmp_path, bundle, moved)
    own = device_limits(tmp_path, bundle)
    assert own is not None
    assert own.ranges["brightness"][0] == moved[CHECKS.index("brightness")].after[0]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"brightness": [1, null]}', '{"noise": [0, null]}', '{"brightness": [NaN, null]}']
)
def test_a_changed_file_cannot_leave_the_signed_bounds(gated: Path, tmp_path: Path, text: str) -> None:
    bundle: Bundle = open_bundle(gated)
    path = save(tmp_path, bundle, [])
    kept.save(path, {"kind": "camera limits", "bundle": bundle.hash}, text.encode())
    with pytest.raises(BundleError) as caught:
        device_limits(tmp_path, bundle)
    assert "calibrate the camera again" in caught.value.hint


def test_a_damaged_file_of_limits_is_refused(gated: Path, tmp_path: Path) -> None:
    bundle: Bundle = open_bundle(gated)
    path = save(tmp_path, bundle, [])
    path.write_bytes(path.read_bytes().replace(b"}\n{", b"}\n {"))
    with pytest.raises(BundleError, match="damaged"):
        device_limits(tmp_path, bundle)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_calibrating_a_camera_turns_retakes_into_answers(gated: Path, tmp_path: Path) -> None:
    folder, state = tmp_path / "good", tmp_path / "state"
    folder.mkdir()
    for index in range(20):
        (folder / f"{index}.jpg").write_bytes(jpeg(scene(index, 120, 160)))
    common = ("--bundle", gated, "--state", state)
    before = run("classify", folder, *common, "--backend", "fake")
    assert "20 retake" in before.stdout
    done = run("calibrate-camera", folder, *common)
    assert done.returncode == 0, done.stderr
    assert "20 images" in done.stdout
    after = run("classify", folder, *common, "--backend", "fake")
    assert "retake" not in after.stdout
    few = run("calibrate-camera", folder / "1.jpg", *common)
    assert few.returncode == 2
    assert "20 are needed" in few.stderr
