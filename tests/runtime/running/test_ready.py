"""Files and video frames, worked on by several threads: the same answers, in order, in bounded memory."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fieldlens import Failure, Model, Prediction, load
from fieldlens.runtime.backends.base import Image, Outputs
from fieldlens.runtime.backends.golden_check import GoldenCheckFailed
from fieldlens.runtime.backends.openvino import OpenVinoBackend
from fieldlens.runtime.errors import BackendError
from fieldlens.runtime.output.sinks import Sink
from fieldlens.runtime.prepare import Prepared
from fieldlens.runtime.running import ready
from fieldlens.runtime.running.ordered import depth_for
from fieldlens.runtime.running.ready import FIRST, Plan, plan_for
from fieldlens.runtime.running.run import ClassificationRun, RunLog
from fieldlens.runtime.sources import item
from fieldlens.runtime.sources.inputs import Sources
from tests.runtime.conftest import BROKEN, jpeg, png, scene

ROOT = Path(__file__).resolve().parents[3]
WORKERS = 3


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""
    monkeypatch.setattr(ready, "usable_cores", lambda: 2)


@pytest.fixture
def model(bundle_folder: Path, tmp_path: Path) -> Iterator[Model]:
    """With two threads, and so two lanes."""
    with load(bundle_folder, backend="openvino", state=tmp_path / "state", threads=2) as model:
        yield model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More images than come one after the other, some large, some broken."""
    made = tmp_path_factory.mktemp("images")
    kinds = [jpeg(scene(seed, 96 + 8 * seed, 128)) for seed in range(8)]
    for number in range(FIRST + 30):
        (made / f"{number:03}.jpg").write_bytes(kinds[number % 8])
    (made / "010.jpg").write_bytes(BROKEN["truncated.jpg"]())
    (made / f"{FIRST + 5:03}.jpg").write_bytes(BROKEN["not-an-image.png"]())
    (made / f"{FIRST + 7:03}.jpg").write_bytes(png(np.full((1500, 2000, 3), 90, np.uint8)))
    return made


class Kept(Sink):
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    def write(self, result: Any) -> None:
        self.results.append(result)

    def close(self) -> None:
        """Nothing is open."""


def ran(model: Model, folder: Path, workers: int | None, **options: Any) -> tuple[RunLog, list[Any]]:
    kept = Kept()
    run = ClassificationRun(model.classifier, [kept], workers=workers, **options)
    return run(Sources([str(folder)])), [content(result) for result in kept.results]


def content(result: Any) -> Any:
    """All that an answer says, but its times."""
    if isinstance(result, Failure):
        return (result.source, result.error)
    assert isinstance(result, Prediction)
    return (
        result.source, result.outcome, result.logits.tobytes(), result.cam.tobytes(), result.ood_score,
        result.findings, tuple(result.probabilities.items()),
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_answers_and_their_order_do_not_depend_on_the_workers(
    bundle_folder: Path, folder: Path, tmp_path: Path, backend: str
) -> None:
    with load(bundle_folder, backend=backend, state=tmp_path / "state", threads=2) as model:
        alone, expected = ran(model, folder, 0)
        assert (alone.lanes, alone.failed) == (0, 2)
        log, answers = ran(model, folder, None)
    assert answers == expected, "bit for bit, and what failed in its place"
    assert (log.lanes, log.workers, log.sharing) == (2, WORKERS, 0)
    assert (log.answered, log.failed) == (alone.answered, alone.failed)
    (note,) = [note for note in log.notes if "at a time" in note]
    assert note.startswith(f"after the first {FIRST}, 2 images")


def test_the_answers_of_a_real_network_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    bundle = ROOT / "recipes/ready/demo.bundle"
    images = sorted((bundle / "golden").glob("*.jpg"))
    with load(bundle, backend="openvino", precision="int8", state=tmp_path, threads=2) as model:
        expected = [content(result) for result in model.many(images)]
        assert model.classifier.lanes is None
        assert [content(result) for result in model.many(images, workers=WORKERS)] == expected
        assert len(model.classifier.lanes or ()) == 2


def test_few_images_open_no_lanes_and_a_limit_ends_a_run(model: Model, folder: Path) -> None:
    log, answers = ran(model, folder, None, limit=FIRST)
    assert (log.lanes, len(answers)) == (0, FIRST)
    assert model.classifier.lanes is None
    log, answers = ran(model, folder, None, limit=FIRST + 3)
    assert (log.lanes, len(answers)) == (2, FIRST + 3)


def test_no_more_is_under_way_than_there_are_places(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long somebody takes for a result, no more is read, and no more buffers are made."""
    taken: list[str] = []
    real = item.loaded

    def loaded(found: Any) -> Any:
        taken.append(found.source)
        return real(found)

    monkeypatch.setattr(ready, "loaded", loaded)
    paths, ahead = sorted(folder.iterdir()), []
    for number, _ in enumerate(model.many(paths, workers=WORKERS), 1):
        if number == 20:
            time.sleep(0.3)
        ahead.append(len(set(taken)) - number)
    assert max(ahead) <= depth_for(WORKERS)


def test_a_large_image_is_decoded_alone(model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ran(model, folder, 0)[1]
    monkeypatch.setattr(ready, "AHEAD_MB", 1.0)
    where: list[str] = []
    real = ready.prepare_item

    def prepared(item: Any, preparer: Any, lanes: Any = None) -> Any:
        found = real(item, preparer, lanes)
        where.append("ahead" if lanes is not None else "alone")
        return found

    monkeypatch.setattr(ready, "prepare_item", prepared)
    log, answers = ran(model, folder, None)
    assert answers == expected
    assert log.lanes == 2
    assert where.count("alone") == FIRST + 1, "the first ones, and the PNG of three megapixels"
    assert where.count("ahead") == 29


def test_a_video_s_frames(model: Model, tmp_path: Path) -> None:
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for number in range(FIRST + 20):
        writer.write(scene(number % 7, 240, 320)[..., ::-1])
    writer.release()
    expected = ran(model, film, 0)[1]
    log, answers = ran(model, film, None)
    assert (len(answers), log.lanes) == (FIRST + 20, 2)
    assert answers == expected


def test_a_latency_s_stages_are_the_whole_of_it(model: Model, folder: Path) -> None:
    results = [result for result in model.many(sorted(folder.iterdir()), workers=WORKERS) if not failed(result)]
    for result in results:
        assert isinstance(result, Prediction)
        stages = result.latency_ms
        parts = sum(stages[name] for name in ("decode", "preprocess", "inference", "postprocess", "wait"))
        assert parts == pytest.approx(stages["total"], abs=0.05)
        assert stages["wait"] > 0


def failed(result: object) -> bool:
    return isinstance(result, Failure)


class Wrong(OpenVinoBackend):
    """A lane whose answers are a little different, or none."""

    fails = False

    def __init__(self, lane: Any) -> None:
        self._lane, self.info, self.shift = lane, lane.info, 0.0

    def infer(self, image: Image) -> Outputs:
        if self.fails:
            raise BackendError("no more", "restart")
        found = self._lane.infer(image)
        return Outputs(found.logits + np.float32(self.shift), found.cam, found.features)

    def close(self) -> None:
        self._lane.close()


def with_lanes(monkeypatch: pytest.MonkeyPatch, kind: Any) -> list[Any]:
    made: list[Any] = []
    real = OpenVinoBackend.lanes

    def lanes(self: Any, read: Any, count: int) -> Any:
        made.extend(kind(lane) for lane in real(self, read, count))
        return tuple(made)

    monkeypatch.setattr(OpenVinoBackend, "lanes", lanes)
    return made


def test_lanes_that_give_other_bits_are_not_used(model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shifted(Wrong):
        def __init__(self, lane: Any) -> None:
            super().__init__(lane)
            self.shift = 1e-4

    expected = ran(model, folder, 0)[1]
    with_lanes(monkeypatch, Shifted)
    log, answers = ran(model, folder, None)
    assert answers == expected
    assert log.lanes == 0
    assert any("gives other bits on one core than on 2" in note for note in log.notes)
    assert log.sharing == WORKERS, "they still decode ahead"


def test_a_lane_that_fails_leaves_its_image_to_the_backend(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ran(model, folder, 0)[1]
    made = with_lanes(monkeypatch, Wrong)
    model.classifier.open_lanes()
    made[0].fails = True
    assert ran(model, folder, WORKERS)[1] == expected


def test_a_lane_that_has_gone_wrong_is_found_by_the_golden_images(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = with_lanes(monkeypatch, Wrong)
    model.classifier.open_lanes()
    model.classifier.check_golden()
    made[1].shift = 50.0
    with pytest.raises(GoldenCheckFailed, match="logits differ"):
        model.classifier.check_golden()


def test_leaving_early_and_closing_in_the_middle(model: Model, folder: Path) -> None:
    results = model.many(sorted(folder.iterdir()), workers=WORKERS)
    assert isinstance(next(results), Prediction)
    results.close()  # type: ignore[attr-defined]
    lanes = model.classifier.lanes
    assert lanes is not None
    model.close()
    with pytest.raises(BackendError, match="closed"):
        lanes.infer(np.zeros((1, 64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("cores", "threads", "backend", "alone", "expected"),
    [
        (2, 2, "openvino", False, (3, FIRST)),
        (4, 4, "openvino", False, (5, FIRST)),
        (4, 1, "openvino", False, (0, 0)),
        (64, 64, "openvino", False, (0, 0)),
        (1, 1, "openvino", False, (0, 0)),
        (2, 2, "openvino", True, (0, 0)),
        (6, 1, "tensorrt", False, (2, 0)),
        (6, 1, "tensorrt", True, (0, 0)),
    ],
)  # fmt: skip
def test_how_many_workers_there_are(
    model: Model, monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, backend: str, alone: bool,
    expected: tuple[int, int],
) -> None:  # fmt: skip
    monkeypatch.setattr(ready, "usable_cores", lambda: cores)
    backend_object = model.classifier.backend
    backend_object.info = replace(backend_object.info, name=backend, threads=threads)
    plan = plan_for(model.classifier, alone=alone, say=lambda note: None)
    assert (plan.workers, plan.first) == expected
    assert plan == Plan() or plan.ahead_mb == ready.AHEAD_MB


def test_a_call_in_the_middle_leaves_a_stream_s_image_alone(model: Model, folder: Path) -> None:
    """Another thread may ask between an image's preparation and its answer."""
    first, second = (folder / "000.jpg", folder / "001.jpg")
    expected = content(model(first))
    prepared = next(ready.ready_items(model.classifier, Sources([str(first)]), Plan(), lambda items: items))
    assert isinstance(prepared, Prepared)
    assert content(model(second)) != expected
    assert content(model.classifier.answer(prepared)) == expected


@pytest.mark.parametrize(("watch", "more", "awaited"), [(False, [], False), (True, [], True), (False, ["-"], True)])
def test_somebody_may_wait_for_each_answer(folder: Path, watch: bool, more: list[str], awaited: bool) -> None:
    assert Sources([str(folder), *more], watch=watch).awaited is awaited


@pytest.mark.full
def test_more_images_a_second(tmp_path: Path) -> None:
    """Turns of the same images, one after the other and side by side: the median ratio is the issue's bound."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(64):
        (images / f"{number}.jpg").write_bytes(jpeg(scene(number)))
    paths = sorted(images.iterdir())
    with load(ROOT / "recipes/ready/demo.bundle", backend="openvino", state=tmp_path / "state") as model:
        if model.info.threads < 2:
            pytest.skip("one core: there is nothing to share out")

        def seconds(workers: int) -> float:
            began = time.perf_counter()
            assert len(list(model.many(paths, workers=workers))) == len(paths)
            return time.perf_counter() - began

        workers = plan_for(model.classifier, alone=False, say=lambda note: None).workers
        seconds(workers)
        ratios = [seconds(0) / seconds(workers) for _ in range(25)]
        print(json.dumps({"ratio": statistics.median(ratios), "threads": model.info.threads}))
        assert statistics.median(ratios) >= 1.15
