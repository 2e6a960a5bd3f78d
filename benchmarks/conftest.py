"""The suites' fixtures and their comparison by ratios: ``pytest benchmarks --benchmark-only``, no part of the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fieldlens.benchmarks.device import image_set
from fieldlens.benchmarks.device.machine.quiet import reference_loop_ms
from fieldlens.benchmarks.suites import ratios
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle

_RATIOS = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Size of the network's images, and the file of ratios to write or to compare with."""
    group = parser.getgroup("fieldlens")
    group.addoption("--px", type=int, default=224, help="side of the network's input (default: 224)")
    group.addoption("--store-ratios", type=Path, metavar="FILE", help="write every ratio to the reference loop here")
    group.addoption("--against", type=Path, metavar="FILE", help="compare with ratios that were stored before")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """``bench_*.py`` beside this file: pytest itself looks for ``test_*.py`` only."""
    named = parent.session.isinitpath(file_path)  # on the command line: then pytest itself collects it
    if file_path.suffix == ".py" and file_path.name.startswith("bench_") and not named:
        return pytest.Module.from_parent(parent, path=file_path)
    return None


def pytest_configure(config: pytest.Config) -> None:
    """An empty list of ratios."""
    config.stash[_RATIOS] = {}


@pytest.fixture(autouse=True)
def against_reference(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """The reference loop right before and right after; the benchmark's median divided by the mean of both."""
    before = _reference_ms()
    yield
    if benchmark.stats is not None:
        reference_ms = (before + _reference_ms()) / 2
        ratio = benchmark.stats.stats.median * 1e3 / reference_ms
        benchmark.extra_info.update(reference_ms=reference_ms, ratio_to_reference=ratio)
        request.config.stash[_RATIOS][benchmark.name] = ratio


def _reference_ms() -> float:
    return sorted(reference_loop_ms() for _ in range(5))[2]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The ratios, and what changed."""
    found = config.stash[_RATIOS]
    if not found:
        return
    before = ratios.load(config.getoption("--against")) if config.getoption("--against") else None
    terminalreporter.section("median divided by the reference loop's")
    for line in ratios.compare(found, before):
        terminalreporter.write_line(line)
    if path := config.getoption("--store-ratios"):
        ratios.store(path, found)
        terminalreporter.write_line(f"stored: {path}")


@pytest.fixture(scope="session")
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A ResNet-18 with random weights."""
    from fieldlens.benchmarks.networks import throwaway  # here: it imports torch

    folder = tmp_path_factory.mktemp("bundle") / "random.bundle"
    throwaway.make(folder, "resnet18", request.config.getoption("--px"))
    return open_bundle(folder)


@pytest.fixture(scope="session")
def picture() -> npt.NDArray[np.uint8]:
    """uint8 RGB ``[480,640,3]``."""
    return image_set.scene(0)


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG of 640×480."""
    return image_set.jpeg(image_set.scene(0))


@pytest.fixture(scope="session")
def large_photo() -> bytes:
    """A JPEG of twelve megapixels."""
    return image_set.jpeg(image_set.scene(0, 4000, 3000))


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, object]) -> None:
    """Our conditions beside pytest-benchmark's own, in what ``--benchmark-json`` writes."""
    from fieldlens.benchmarks.device.machine.surroundings import surroundings

    machine_info["conditions"] = json.loads(json.dumps(surroundings(), default=str))
