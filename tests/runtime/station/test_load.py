"""Eight clients at once while the camera runs; and beside what a user would write instead."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from fieldlens.runtime.machine.host import conditions
from tests.processes import resident_mb
from tests.runtime.cameras import camera
from tests.runtime.conftest import jpeg, scene
from tests.runtime.station.clients import Load, upload_all, watch_preview
from tests.runtime.station.made_results import check_whole
from tests.runtime.station.serving_station import Serving, serving

CLIENTS = 8
LEAST_FRAMES = 10
FLAT_S = 1800
GROWTH_MB = 30
ROUNDS = 5


def loaded(station: Serving, images: list[bytes], uploads: int) -> tuple[Load, float]:
    """The clients' load, and the preview's frames a second meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        load_is_on = [True]
        frames = pool.submit(watch_preview, station.port, lambda: load_is_on[0])
        try:
            load = upload_all(station.port, images, CLIENTS, uploads)
        finally:
            load_is_on.clear()
            load_is_on.append(False)
        return load, frames.result()


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with random weights at 224 px, which takes as long as a trained one."""
    from fieldlens.benchmarks.networks.throwaway import make

    folder = tmp_path_factory.mktemp("resnet18") / "random.bundle"
    make(folder, "resnet18", 224)
    return folder


@pytest.mark.parametrize("uploads", [10, pytest.param(200, marks=pytest.mark.full)])
def test_eight_clients_while_the_camera_runs(
    uploads: int, bundle_folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In full with a whole network: without one, 1600 uploads are more a second than one visitor may ask for."""
    images = [jpeg(scene(seed)) for seed in range(4)]
    bundle, backend = (bundle_folder, "fake") if uploads == 10 else (request.getfixturevalue("resnet18"), "openvino")
    with camera(30) as filmed, serving(bundle, tmp_path, "--camera", filmed.url, backend=backend) as station:
        load, frames_per_s = loaded(station, images, uploads)
        print(f"\n{load}; preview {frames_per_s:.1f} frames a second")
        assert load.statuses == {200: CLIENTS * uploads}
        assert frames_per_s >= LEAST_FRAMES
        station.process.terminate()
        assert station.process.wait(10) == 0
    assert check_whole(tmp_path / "data", []) == CLIENTS * uploads


@pytest.mark.full
def test_memory_is_flat_over_half_an_hour(bundle_folder: Path, tmp_path: Path) -> None:
    images = [jpeg(scene(seed, 960, 1280)) for seed in range(4)]
    with camera(30) as filmed, serving(bundle_folder, tmp_path, "--camera", filmed.url, "--keep-images") as station:
        loaded(station, images, 40)  # everything that is made once has been made
        samples = [resident_mb(station.process.pid)]
        rates = []
        until = time.monotonic() + FLAT_S
        while time.monotonic() < until:
            load, frames_per_s = loaded(station, images, 25)
            assert set(load.statuses) == {200}
            rates.append(frames_per_s)
            samples.append(resident_mb(station.process.pid))
            time.sleep(5)
    third = len(samples) // 3
    print(f"\nresident, MB: {[round(mb) for mb in samples[:: max(1, len(samples) // 20)]]}")
    print(f"preview, frames a second in {len(rates)} batches: {min(rates):.1f} to {max(rates):.1f}")
    assert min(rates) >= LEAST_FRAMES
    assert statistics.median(samples[-third:]) - statistics.median(samples[:third]) < GROWTH_MB


@contextmanager
def plain(model: Path) -> Iterator[int]:
    """The service of forty lines; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = Path(__file__).with_name("plain_service.py")
    assert len(script.read_text().splitlines()) <= 45
    with subprocess.Popen([sys.executable, script, model, str(port)]) as process:
        try:
            for _ in range(300):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield port
        finally:
            process.kill()


@pytest.mark.full
def test_not_slower_than_forty_lines_of_fastapi(resnet18: Path, tmp_path: Path) -> None:
    """The same INT8 file and as many threads; ours with every result on disk before it is answered."""
    images = [jpeg(scene(seed)) for seed in range(16)]
    ours: list[Load] = []
    theirs: list[Load] = []
    options = ("--precision", "int8")
    with (
        plain(resnet18 / "model.int8-cpu.onnx") as port,
        serving(resnet18, tmp_path, *options, backend="openvino") as station,
    ):
        for turn in range(ROUNDS + 1):
            pair = (upload_all(station.port, images, CLIENTS, 40), upload_all(port, images, CLIENTS, 40, "/predict"))
            if turn:  # the first warms up
                ours.append(pair[0])
                theirs.append(pair[1])
    for load in (*ours, *theirs):
        assert load.statuses == {200: CLIENTS * 40}
    ratios = [own.per_second / other.per_second for own, other in zip(ours, theirs, strict=True)]
    print(f"\nours   {ours[-1]}\nplain  {theirs[-1]}\nratios {[round(ratio, 2) for ratio in ratios]}\n{conditions()}")
    assert statistics.median(ratios) >= 1.0
