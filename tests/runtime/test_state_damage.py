"""Whatever is damaged in a device's state: the answers stay the same, or there are none. Never others."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend
from fieldlens.runtime.bundle.manifest import Version
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.quality.camera_limits import Moved, device_limits, save
from tests.fakes import models
from tests.fakes.gpu import World
from tests.fakes.install import ledgered_world
from tests.fakes.workshop import build_engine
from tests.runtime.conftest import jpeg, scene, seal, tiny_manifest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = [jpeg(scene(seed, 120, 160)) for seed in range(12)]
CI_TRIALS, FULL_TRIALS = 40, 500


@dataclass(frozen=True)
class Answers:
    """Outcome and logits of every image, the precision that gave them, and what was said about it."""

    all: tuple[tuple[str, tuple[float, ...]], ...]
    precision: str
    said: tuple[str, ...]


def flip(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]


def zero_block(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + bytes(min(512, len(data) - place)) + data[place + 512 :]


def random_block(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + draw.randbytes(min(512, len(data) - place)) + data[place + 512 :]


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def all_zeros(data: bytes, draw: random.Random) -> bytes:
    return bytes(len(data))


def longer(data: bytes, draw: random.Random) -> bytes:
    return data + draw.randbytes(draw.randrange(1, 600))


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip,
    flip,
    zero_block,
    random_block,
    cut,
    all_zeros,
    longer,
)


@dataclass(frozen=True)
class Device:
    """A bundle, its state after a first start, that of another bundle, and how to answer."""

    bundle: Bundle
    state: Path
    other: Path
    backend: str

    def answers(self, state: Path) -> Answers:
        options = LoadOptions(cache=state / "compiled")
        choice = choose_backend(
            self.bundle, self.backend, "auto" if self.backend == "tensorrt" else "int8", options, state
        )
        limits = device_limits(state, self.bundle)
        with Classifier(self.bundle, choice.backend, limits, choice.golden) as classifier:
            predictions = [classifier.classify_bytes(data, "image") for data in IMAGES]
        answers = tuple((str(each.outcome), tuple(each.logits.tolist())) for each in predictions)
        return Answers(answers, choice.backend.info.precision, (*choice.reasons, *choice.backend.info.notes))

    def files(self) -> list[Path]:
        return sorted(path for path in self.state.rglob("*") if path.is_file() and path.name != "lock")


def try_damages(device: Device, scratch: Path, trials: int, seed: int) -> Counter[str]:
    """Damage one file, start, answer. Anything but a KitError is raised.

    ``same`` answers, ``refused`` (with what to do), ``safer``: another accepted precision answers, and that was said;
    ``different``: anything else.
    """
    draw, counts = random.Random(seed), Counter[str]()
    truth = device.answers(device.state)
    files = device.files()
    others = {path.name: path for path in device.other.rglob("*") if path.is_file()}
    for trial in range(trials):
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(device.state, scratch)
        chosen = files[trial % len(files)]
        path = scratch / chosen.relative_to(device.state)
        swap = others.get(chosen.name)
        if swap is not None and draw.random() < 0.15:
            path.write_bytes(swap.read_bytes())
        else:
            path.write_bytes(draw.choice(DAMAGES)(path.read_bytes(), draw))
        counts[outcome(device, scratch, truth)] += 1
    return counts


def outcome(device: Device, state: Path, truth: Answers) -> str:
    try:
        answers = device.answers(state)
    except KitError as error:
        return "refused" if error.message and error.hint else "different"
    if answers.all == truth.all:
        return "same"
    return "safer" if answers.precision != truth.precision and len(answers.said) > len(truth.said) else "different"


def started(bundle: Bundle, other: Bundle, folder: Path, backend: str) -> Device:
    """Both states after a first start, a camera's limits included."""
    states = folder / "state", folder / "other"
    for each, state in zip((bundle, other), states, strict=True):
        Device(each, state, state, backend).answers(state)
        save(state, each, [Moved("brightness", (15.0, 200.0), (20.0, 250.0), (12.0, 250.0))])
    return Device(bundle, *states, backend)


@pytest.fixture
def cpu(bundle_folder: Path, tmp_path: Path) -> Device:
    """With a quality gate, whose limits this device has moved."""
    ranges = {"brightness": [20, 250]}
    manifest = replace(tiny_manifest(), quality={"limits": ranges, "bounds": {"brightness": [10, 255]}})
    folders = [Path(shutil.copytree(bundle_folder, tmp_path / name)) for name in ("one", "two")]
    seal(folders[0], manifest)
    seal(folders[1], replace(manifest, version=Version(4, "v4")))
    return started(open_bundle(folders[0]), open_bundle(folders[1]), tmp_path, "openvino")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield from ledgered_world(monkeypatch)


@pytest.fixture
def gpu(world: World, tmp_path: Path) -> Device:
    """An Orin with accepted engines, made from TensorRT's recorded surface."""
    bundles = [models.make_bundle(tmp_path / name) for name in ("one", "two")]
    manifest = bundles[1].path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"label": "', '"label": "other '))
    bundle, other = (open_bundle(each.path) for each in bundles)
    for each, state in ((bundle, tmp_path / "state"), (other, tmp_path / "other")):
        build_engine(each, state)
    return started(bundle, other, tmp_path, "tensorrt")


def check(device: Device, tmp_path: Path, trials: int) -> None:
    counts = try_damages(device, tmp_path / "scratch", trials, seed=trials)
    print(f"{device.backend}: {trials} damages of {len(device.files())} files, {dict(counts)}")
    assert counts["different"] == 0
    assert counts.total() == trials
    assert counts["same"] > 0, "most of it is made again"


def test_no_damage_of_a_cpus_state_changes_an_answer(cpu: Device, tmp_path: Path) -> None:
    check(cpu, tmp_path, CI_TRIALS)


def test_no_damage_of_a_gpus_state_changes_an_answer(gpu: Device, tmp_path: Path) -> None:
    check(gpu, tmp_path, CI_TRIALS)


@pytest.mark.full
def test_five_hundred_damages_of_each_file_of_a_cpus_state(cpu: Device, tmp_path: Path) -> None:
    check(cpu, tmp_path, FULL_TRIALS * len(cpu.files()))


@pytest.mark.full
def test_five_hundred_damages_of_each_file_of_a_gpus_state(gpu: Device, tmp_path: Path) -> None:
    check(gpu, tmp_path, FULL_TRIALS * len(gpu.files()))


def test_a_damaged_compiled_model_is_made_again_and_said(cpu: Device) -> None:
    (path,) = cpu.state.rglob("*.compiled")
    path.write_bytes(flip(path.read_bytes(), random.Random(1)))
    options = LoadOptions(cache=cpu.state / "compiled")
    for expected in (1, 0):
        choice = choose_backend(cpu.bundle, "openvino", "int8", options, cpu.state)
        with choice.backend as backend:
            assert len(backend.info.notes) == expected
            assert all("made again" in note and "damaged" in note for note in backend.info.notes)


def test_damaged_limits_are_refused(cpu: Device) -> None:
    (path,) = cpu.state.rglob("camera/*.json")
    path.write_bytes(path.read_bytes().replace(b"12.0", b"11.0"))
    with pytest.raises(KitError, match="damaged") as caught:
        cpu.answers(cpu.state)
    assert "calibrate the camera again" in caught.value.hint


def rounds(count: int, bundle: Path, images: Path, tmp_path: Path) -> None:
    """Three processes at once on a fresh state, ``count`` times: all exit 0 with the same lines."""
    seen = set()
    for index in range(count):
        state = tmp_path / f"state-{index}"
        command = [sys.executable, "-m", "runtime", "classify", images, "--bundle", bundle, "--state", state]
        command += ["--backend", "openvino", "--json", "-"]
        running = [
            subprocess.Popen([*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        for process in running:
            out, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
            answers = (line.partition('"source"')[2] for line in out.splitlines())  # the time comes before
            seen.add(tuple(answer.partition(', "latency_ms"')[0] for answer in answers))
    assert len({tuple(line.partition('"probabilities"')[0] for line in lines) for lines in seen}) == 1


def test_three_processes_may_share_a_fresh_state(bundle_folder: Path, pictures: Path, tmp_path: Path) -> None:
    rounds(2, bundle_folder, pictures, tmp_path)


@pytest.mark.full
def test_sixteen_rounds_of_three_processes(bundle_folder: Path, pictures: Path, tmp_path: Path) -> None:
    rounds(16, bundle_folder, pictures, tmp_path)
