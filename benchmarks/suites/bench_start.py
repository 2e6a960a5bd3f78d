"""From nothing to ready: opening a bundle, compiling, a whole process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fieldlens.benchmarks.device.compare.lane import ROOT
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import load_backend
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle

ROUNDS = 5


def pedantic(benchmark: BenchmarkFixture, work: Callable[..., object], **options: Any) -> None:
    """A fixed number of rounds; pytest-benchmark leaves this method untyped."""
    benchmark.pedantic(work, rounds=ROUNDS, **options)  # type: ignore[no-untyped-call]


def test_open_and_check_a_bundle(benchmark: BenchmarkFixture, bundle: Bundle) -> None:
    benchmark(open_bundle, bundle.path)


@pytest.mark.parametrize("cached", [False, True], ids=["cold", "cached"])
def test_load_openvino(benchmark: BenchmarkFixture, bundle: Bundle, tmp_path: Path, cached: bool) -> None:
    options = LoadOptions(cache=tmp_path if cached else None)
    load_backend(bundle, "openvino", "int8", options).close()
    pedantic(benchmark, lambda: load_backend(bundle, "openvino", "int8", options).close())


def test_runtime_help(benchmark: BenchmarkFixture) -> None:
    pedantic(benchmark, _run, args=("--help",), warmup_rounds=1)


def test_first_answer_of_a_process(benchmark: BenchmarkFixture, bundle: Bundle, photo: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo)
    arguments = (
        "classify", str(path), "--bundle", str(bundle.path), "--backend", "openvino", "--precision", "int8",
        "--state", str(tmp_path / "state"),
    )  # fmt: skip
    pedantic(benchmark, _run, args=arguments, warmup_rounds=1)


def _run(*arguments: str) -> None:
    command = [sys.executable, "-m", "runtime", *arguments]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONUTF8": "1"}, check=True, capture_output=True)
