"""A thousand damaged bundles: every command ends with 0 and the right answers, or with 2 and words that help."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime.bundle_damage import COMMANDS, Case, byte_cases, poison_cases, whole_bundle
from tests.runtime.bundle_forms import forms
from tests.runtime.bundle_runner import TIMEOUT_S, Ran, Runner
from tests.runtime.conftest import jpeg, scene, tiny_onnx

_MEMORY_MB = 1000
_HINTS = ("error: ", "hint: ")
_SHARE = {"bytes": 50, "poison": 50, "forms": 50}
"""How many of each kind run in CI."""


class Device:
    """The four commands on one bundle, and whether what they did is all right."""

    def __init__(self, runner: Runner, folder: Path, backend: str) -> None:
        self._runner = runner
        self._folder = folder
        self._backend = backend
        self.bundle = whole_bundle(folder / "whole.bundle")
        self.images = [folder / f"{number}.jpg" for number in range(2)]
        for number, path in enumerate(self.images):
            path.write_bytes(jpeg(scene(100 + number, 120, 160)))
        self._logits = _logits(self.bundle)

    def problems(self, case: Case) -> list[str]:
        """What is wrong with how the commands took ``case``; empty where all is well."""
        copy = self._folder / "copy.bundle"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.bundle, copy)
        case.damage(copy)
        state = self._folder / "state"
        how = ("--backend", self._backend, "--precision", "fp32", "--state", state)
        done = self._runner.run([
            ["info", copy],
            ["verify", copy],
            ["selftest", copy, *how, "--json"],
            ["classify", *self.images, "--bundle", copy, *how, "--json", "-"],
        ])  # fmt: skip
        found = []
        for command, ran in zip(COMMANDS, done, strict=True):
            found += [f"{case.name}: {command} {what}" for what in _judge(ran, command in case.refused)]
        if done[3].code in (0, 3):
            found += [f"{case.name}: classify {what}" for what in self._wrong(copy, done[3])]
        return found

    def _wrong(self, bundle: Path, ran: Ran) -> Iterator[str]:
        """Answers compared with what the manifest makes of the undamaged network's logits."""
        manifest = json.loads((bundle / "manifest.json").read_text())
        for logits, line in zip(self._logits, ran.out.splitlines(), strict=True):
            answer = json.loads(line)
            if answer["error"] is None and not _as_manifest_says(manifest, logits, answer):
                yield f"answers {answer['outcome']}, {answer['probabilities']}"


def _logits(bundle: Path) -> Any:
    import onnxruntime

    from fieldlens.runtime.bundle.open import open_bundle
    from fieldlens.runtime.pixels.preprocess import Preprocess

    session = onnxruntime.InferenceSession(tiny_onnx(), providers=["CPUExecutionProvider"])
    preprocess = Preprocess(open_bundle(bundle).manifest.preprocess)
    tensors = [preprocess.from_bytes(jpeg(scene(100 + number, 120, 160)), "image") for number in range(2)]
    return np.stack([session.run(["logits"], {"image": tensor[None]})[0][0] for tensor in tensors]).astype(float)


def _judge(ran: Ran, refused: bool) -> Iterator[str]:
    """Exit code, words, time and memory of one command."""
    if ran.seconds >= TIMEOUT_S or ran.code == -14:
        yield f"hangs ({ran.seconds:.1f} s)"
    elif "Traceback" in ran.err or ran.code not in (0, 2, 3):
        yield f"ends with {ran.code} and {ran.err.strip().splitlines()[-1:]}"
    elif ran.code == 2 and not all(any(line.startswith(word) for line in ran.err.splitlines()) for word in _HINTS):
        if not ran.out.startswith("{"):  # a self-test that failed says so in its result
            yield f"gives no hint: {ran.err[:200]!r}"
    elif ran.code != 2 and refused:
        yield f"takes it (exit code {ran.code})"
    if ran.peak_mb > _MEMORY_MB:
        yield f"takes {ran.peak_mb:.0f} MB"


def _as_manifest_says(manifest: dict[str, Any], logits: Any, answer: dict[str, Any]) -> bool:
    """Probabilities, score and outcome, computed here from the logits."""
    scaled = logits / manifest["temperature"]
    exponent = np.exp(scaled - scaled.max())
    expected = exponent / exponent.sum() if manifest["task"] == "multiclass" else 1 / (1 + np.exp(-scaled))
    if not np.allclose(list(answer["probabilities"].values()), expected, atol=1e-4):
        return False
    decision = manifest["decision"]
    if answer["outcome"] == "retake":
        return bool(answer["findings"])
    if decision is None:
        return bool(answer["outcome"] == "classified")
    names = [info["id"] for info in manifest["classes"]]
    positive = sum(expected[names.index(name)] for name in decision["positive"])
    threshold = decision["thresholds"]
    if isinstance(threshold, dict):
        threshold = threshold[decision["positive"][0]]
    low, high = decision["band"]
    if abs(positive - threshold) < 1e-3 or min(abs(positive - low), abs(positive - high)) < 1e-3:
        return True  # on the border
    side = "refer" if positive >= threshold else "no-sign-found"
    if low < high and low <= positive <= high:
        side = "uncertain"
    return bool(answer["outcome"] == side)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with Runner() as runner:
        yield Device(runner, tmp_path_factory.mktemp("fuzz"), "onnxruntime")


def every_case(device: Device) -> dict[str, list[Case]]:
    return {"bytes": list(byte_cases(4)), "poison": poison_cases(device.bundle, 700), "forms": forms()}


def spread(cases: list[Case], count: int) -> list[Case]:
    """``count`` of them, from the first to the last."""
    return [cases[round(place)] for place in np.linspace(0, len(cases) - 1, count)]


@pytest.mark.parametrize("kind", _SHARE)
def test_a_damaged_bundle_is_refused_or_answered_rightly(device: Device, kind: str) -> None:
    cases = spread(every_case(device)[kind], _SHARE[kind])
    assert len({case.name for case in cases}) == _SHARE[kind]
    assert [problem for case in cases for problem in device.problems(case)] == []


@pytest.mark.full
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", _SHARE)
def test_every_damaged_bundle_is_refused_or_answered_rightly(tmp_path: Path, kind: str, backend: str) -> None:
    with Runner() as runner:
        device = Device(runner, tmp_path, backend)
        cases = every_case(device)[kind]
        found = {case.name: problems for case in cases if (problems := device.problems(case))}
    print(f"\n{kind}, {backend}: {len(cases)} cases, {len(found)} not as they should be")
    assert found == {}


def test_the_judge_can_fail(device: Device) -> None:
    """A bundle that is taken although it must not be, and an answer that the manifest does not give."""
    taken = Case("nothing", lambda folder: None, COMMANDS)
    assert len(device.problems(taken)) == len(COMMANDS)
    manifest = json.loads((device.bundle / "manifest.json").read_text())
    wrong = {"probabilities": {"clear": 0.1, "sign": 0.9}, "outcome": "no-sign-found", "findings": []}
    assert not _as_manifest_says(manifest, np.array([0.0, 0.0]), wrong)
    assert [*_judge(Ran(1, "", "Traceback", 0.1, 10), False)]
    assert [*_judge(Ran(-14, "", "", 5.0, 1200), False)] == ["hangs (5.0 s)", "takes 1200 MB"]
