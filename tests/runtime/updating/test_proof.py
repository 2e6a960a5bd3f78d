"""The proof on the device: what a failing engine or self-test says, and what is kept of a passed one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.updating import memory
from fieldlens.runtime.updating.layout import DeviceFolders, UpdateRefused
from fieldlens.runtime.updating.proof import Proof, SelfTestRecord

PASSED = {"passed": True, "backend": "openvino", "precision": "int8", "images": 64, "inference_p50_ms": 4.5}


class Programs:
    """Stands in for the kit's own commands: word → exit code, output, error output."""

    def __init__(self, **answers: tuple[int, str, str]) -> None:
        self.answers, self.calls = answers, list[list[str]]()

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        words = command[command.index("fieldlens") + 1 :]
        self.calls.append(words)
        code, out, err = self.answers["engine" if words[:2] == ["convert", "engine"] else "selftest"]
        return subprocess.CompletedProcess(command, code, out, err)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorrt" or find(name))


def prove(layout: DeviceFolders, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", programs)
    Proof(layout)(layout.bundles / "tiny/2")


@pytest.mark.usefixtures("tensorrt")
def test_an_engine_that_cannot_be_built(layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(engine=(2, "", "error: TensorRT refused the model\nhint: free some memory\n"))
    with pytest.raises(UpdateRefused, match="the engine cannot be built: TensorRT refused the model") as refused:
        prove(layout, programs, monkeypatch)
    assert (refused.value.reason, refused.value.hint) == ("engine", "free some memory")
    assert len(programs.calls) == 1, "no self-test without an engine"


@pytest.mark.usefixtures("tensorrt")
def test_the_engine_comes_first(layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(engine=(0, "", ""), selftest=(0, json.dumps(PASSED), ""))
    prove(layout, programs, monkeypatch)
    assert [words[0] for words in programs.calls] == ["convert", "selftest"]
    assert "--ensure" in programs.calls[0]


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is here")
def test_without_tensorrt_there_is_no_engine(layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Programs(selftest=(0, json.dumps(PASSED), ""))
    prove(layout, programs, monkeypatch)
    (layout.state).mkdir(parents=True, exist_ok=True)
    assert [words[0] for words in programs.calls] == ["selftest"]
    assert programs.calls[0][-2:] == ["--state", str(layout.service_state)]


def test_a_passed_self_test_is_kept(layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    prove(layout, Programs(engine=(0, "", ""), selftest=(0, json.dumps(PASSED), "")), monkeypatch)
    kept = memory.load(SelfTestRecord, layout.selftest)
    assert kept is not None
    assert (kept.place, kept.precision, kept.images) == ("tiny/2", "int8", 64)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((2, json.dumps({**PASSED, "passed": False, "max_logit_difference": 3.0}), ""), "logits differ by 3.0"),
        ((2, "", "error: neither OpenVINO nor ONNX Runtime is installed\nhint: pip\n"), "neither OpenVINO nor"),
        (
            (2, "", "error: it fails:\n  Error Code 10: no room\nhint: free\n"),
            "it fails: Error Code 10: no",
        ),
        ((-11, "", ""), "it ended with -11"),
        ((1, "", "Traceback\nValueError: a bug\n"), "ValueError: a bug"),
    ],
)
def test_a_failed_self_test(
    layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str, str], words: str
) -> None:
    with pytest.raises(UpdateRefused, match=words) as refused:
        prove(layout, Programs(engine=(0, "", ""), selftest=answer), monkeypatch)
    assert refused.value.reason == "self-test"
    assert not layout.selftest.exists()


def test_our_own_interpreter_runs_them(layout: DeviceFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        seen.append(command[0])
        return subprocess.CompletedProcess(command, 0, json.dumps(PASSED), "")

    monkeypatch.setattr(subprocess, "run", run)
    Proof(layout)(Path("/elsewhere"))
    assert set(seen) == {sys.executable}
