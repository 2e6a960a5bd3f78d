"""The one way from a bundle to answers: Python, and the command line beside it."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from fieldlens import Failure, KitError, Model, Prediction, load
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.prediction import Notice
from fieldlens.runtime.quality.camera_limits import Moved, save
from tests.fakes import models
from tests.fakes.gpu import World
from tests.fakes.install import ledgered_world
from tests.fakes.workshop import build_engine
from tests.runtime.cameras import camera
from tests.runtime.conftest import BROKEN, jpeg, scene, seal, tiny_manifest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(bundle_folder: Path, tmp_path: Path) -> Iterator[Model]:
    with load(bundle_folder, state=tmp_path / "state") as model:
        yield model


def test_a_path_bytes_and_pixels_give_the_same_answer(model: Model, tmp_path: Path) -> None:
    data = jpeg(scene(3))
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    rgb = simplejpeg.decode_jpeg(data)
    answers = [model(path), model(str(path)), model(data), model(rgb), model(rgb[..., ::-1].copy(), colour="bgr")]
    assert len({answer.outcome for answer in answers}) == 1
    for answer in answers:
        np.testing.assert_allclose(answer.logits, answers[0].logits, atol=0.05)
    assert answers[0].source == str(path)
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    assert model(grey).probabilities == model(np.dstack([grey] * 3)).probabilities


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8),
        np.zeros(8, np.uint8), b"", b"not an image", "missing.jpg", BROKEN["truncated.jpg"](),
    ],
    ids=lambda image: type(image).__name__,
)  # fmt: skip
def test_what_is_no_image_is_an_error_with_a_hint(model: Model, image: object) -> None:
    with pytest.raises(KitError) as caught:
        model(image)  # type: ignore[arg-type]
    assert caught.value.hint
    assert isinstance(model(jpeg(scene(1))), Prediction), "and the model goes on"


@pytest.mark.parametrize(
    ("option", "near"),
    [({"backend": "openvion"}, "openvino"), ({"precision": "int"}, "int8"), ({"backend": ""}, "auto")],
)
def test_a_mistyped_option_is_refused(bundle_folder: Path, option: dict[str, str], near: str) -> None:
    with pytest.raises(KitError) as caught:
        load(bundle_folder, **option)  # type: ignore[arg-type]
    assert near in caught.value.hint


def test_an_unknown_colour_order_is_refused(model: Model) -> None:
    with pytest.raises(KitError, match="colour 'gbr' is unknown"):
        model(scene(1), colour="gbr")


def test_many_gives_a_result_for_each_path_in_order_and_takes_no_more_than_it_needs(
    model: Model, tmp_path: Path
) -> None:
    paths = []
    for index in range(40):
        path = tmp_path / f"{index}.jpg"
        path.write_bytes(BROKEN["truncated.jpg"]() if index == 7 else jpeg(scene(index, 120, 160)))
        paths.append(path)
    paths.insert(9, tmp_path / "missing.jpg")
    for workers in (0, 2):
        taken: list[Path] = []

        def walked(taken: list[Path] = taken) -> Iterator[Path]:
            for path in paths:
                taken.append(path)
                yield path

        results, ahead = [], []
        for result in model.many(walked(), workers=workers):
            results.append(result)
            ahead.append(len(taken) - len(results))
        assert [result.source for result in results] == [str(path) for path in paths]
        assert [index for index, result in enumerate(results) if isinstance(result, Failure)] == [7, 9]
        assert max(ahead) <= 2 + 2 * workers, "memory is bounded: few are read ahead"
        assert all(result.image_rgb is None for result in results if isinstance(result, Prediction))


def test_a_stream_walks_a_folder_and_a_camera(model: Model, pictures: Path) -> None:
    answers = list(model.stream(pictures, keep_image=True))
    assert [Path(answer.source).name for answer in answers] == [
        "exif-rotated.jpg", "grey.png", "rgba.png", *(f"scene-{index}.jpg" for index in range(4)),
    ]  # fmt: skip
    with camera(30) as filmed:
        seen = []
        for answer in model.stream(filmed.url):
            if isinstance(answer, Prediction):
                seen.append(answer)
            if len(seen) == 3:
                break
    assert all("camera_to_answer" in answer.latency_ms for answer in seen)
    assert threading.active_count() < 8


def test_a_source_that_cannot_be_meant_is_an_error(model: Model) -> None:
    with pytest.raises(KitError):
        next(model.stream("ftp://nowhere"))
    (result,) = model.stream("missing.jpg")
    assert isinstance(result, Failure)
    assert "no such file" in str(result)


def test_a_prediction_prints_and_shows_itself(model: Model) -> None:
    answer = model(jpeg(scene(2)))
    assert str(answer).startswith(f"bytes: {answer.outcome} (")
    assert repr(answer) == f"<Prediction {answer}>"
    assert "refers from 50.0%" in str(answer)
    assert answer.display[answer.label] in answer.words(1)
    assert json.loads(json.dumps(answer.to_dict()))["outcome"] == str(answer.outcome)
    assert answer.heatmap().shape == (480, 480)
    assert answer.heatmap("clear", 32).shape == (32, 32)
    assert 0 <= answer.heatmap().min() <= answer.heatmap().max() <= 1
    with pytest.raises(KeyError, match="not a class"):
        answer.heatmap("nothing")
    assert answer.overlay().shape == (578, 960, 3)
    assert "data:image/jpeg;base64," in answer._repr_html_()
    assert answer.image_rgb is not None
    assert answer.image_rgb.shape == (480, 480, 3)


def test_names_cannot_write_into_a_notebooks_page(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "<script>alert(1)<.jpg"
    path.write_bytes(jpeg(scene(2)))
    assert "<script>" not in model(path)._repr_html_()


def test_an_image_that_was_not_kept_has_no_overlay(model: Model) -> None:
    answer = model(jpeg(scene(2)), keep_image=False)
    assert answer.image_rgb is None
    assert "data:image" not in answer._repr_html_()
    with pytest.raises(ValueError, match="keep_image=True"):
        answer.overlay()


def test_a_closed_model_answers_no_more(bundle_folder: Path, tmp_path: Path) -> None:
    model = load(bundle_folder, state=tmp_path)
    stream = model.many([tmp_path / "a.jpg"])
    model.close()
    model.close()
    for use in (lambda: model(b""), lambda: next(stream)):
        with pytest.raises(KitError, match="closed"):
            use()


def test_it_closes_on_its_own(bundle_folder: Path, tmp_path: Path) -> None:
    model = load(bundle_folder, state=tmp_path)
    backend = model.classifier.backend
    del model
    gc.collect()
    with pytest.raises(KitError, match="closed"):
        backend.infer(np.zeros((1, 64, 64, 3), np.uint8))


def test_threads_wait_for_each_other(model: Model) -> None:
    data = [jpeg(scene(index, 120, 160)) for index in range(8)]
    alone = [model(each).probabilities for each in data]
    found: dict[int, list[bool]] = {}

    def work(number: int) -> None:
        found[number] = [model(each).probabilities == truth for each, truth in zip(data, alone, strict=True)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [all(found[number]) for number in range(4)] == [True] * 4


def test_news_of_a_camera_print_themselves() -> None:
    assert str(Notice("csi://0", "lost", "camera lost")) == "csi://0: camera lost"


def by_command(bundle: Path, state: Path, images: Path, *options: str) -> tuple[list[dict[str, object]], str]:
    command = [sys.executable, "-m", "runtime", "classify", images, "--bundle", bundle, "--state", state, "--json", "-"]
    done = subprocess.run([*map(str, command), *options], cwd=ROOT, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("precision", ["auto", "fp32", "int8"])
def test_the_command_line_and_python_agree_on_a_cpu(
    bundle_folder: Path, pictures: Path, tmp_path: Path, precision: str
) -> None:
    """One bundle, one state folder, a camera's own limits: the same backend, notes, limits, and every last bit."""
    folder, state = tmp_path / "own.bundle", tmp_path / "state"
    subprocess.run(["cp", "-r", str(bundle_folder), str(folder)], check=True)
    quality = {"limits": {"brightness": [20, 250]}, "bounds": {"brightness": [0, 255]}}
    seal(folder, replace(tiny_manifest(), quality=quality))
    save(state, open_bundle(folder), [Moved("brightness", (1.0, 2.0), (20.0, 250.0), (20.0, 254.0))])
    lines, words = by_command(folder, state, pictures, "--precision", precision, "--latency")
    with load(folder, state=state, precision=precision) as model:
        ours = [result for result in model.stream(pictures) if isinstance(result, Prediction)]
        assert model.classifier._limits is not None
        assert model.classifier._limits.ranges["brightness"] == (20.0, 254.0)
        assert [note for note in model.notes if note not in words] == []
        assert f"{model.info.name} {model.info.version}" in words
    for line, answer in zip(lines, ours, strict=True):
        expected = json.loads(json.dumps(answer.to_dict()))
        once = {"latency_ms": 0, "time_utc": ""}
        assert {**line, **once} == {**expected, **once}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield from ledgered_world(monkeypatch)


def test_the_command_line_and_python_find_the_same_engine(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TensorRT's engine in the state folder: the command line in this process, where the fake GPU is."""
    from fieldlens.runtime.cli import build_parser
    from fieldlens.runtime.commands import classify

    bundle, state = models.make_bundle(tmp_path / "bundles"), tmp_path / "state"
    build_engine(bundle, state)
    image, lines = tmp_path / "a.jpg", tmp_path / "lines.jsonl"
    image.write_bytes(jpeg(scene(5, 120, 160)))
    options = ["classify", str(image), "--bundle", str(bundle.path), "--state", str(state), "--json", str(lines)]
    assert classify(build_parser().parse_args(options)) == 0
    said = capsys.readouterr().out
    with load(bundle.path, state=state) as model:
        answer = model(image)
        assert model.info.name == "tensorrt"
        assert [note for note in model.notes if note not in said] == []
    line = json.loads(lines.read_text())
    assert line["probabilities"] == answer.probabilities
    assert (line["backend"], line["precision"]) == ("tensorrt", "int8")


def test_importing_the_face_is_quick() -> None:
    """Under 50 ms beyond a bare interpreter; the fastest of seven, since other programs may have the cores."""
    code = "import time; t = time.perf_counter(); from fieldlens import {}; print(time.perf_counter() - t)"
    for name, most_s in (("__version__", 0.05),):
        times = []
        for _ in range(7):
            done = subprocess.run(
                [sys.executable, "-c", code.format(name)], cwd=ROOT, capture_output=True, text=True, check=True
            )
            times.append(float(done.stdout))
        assert min(times) < most_s
