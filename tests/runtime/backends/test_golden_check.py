"""A few golden images at the start and while a run lasts; and what is not a number is no answer."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fieldlens.runtime.backends import select
from fieldlens.runtime.backends.base import Backend, BackendInfo, Image, LoadOptions, Outputs
from fieldlens.runtime.backends.golden_check import GoldenCheckFailed, GoldenImages, finite, last_start, remember
from fieldlens.runtime.backends.select import choose_backend, load_backend
from fieldlens.runtime.backends.selftest import cached_selftest
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import AnswerError, BackendError, BundleError
from fieldlens.runtime.output.sinks import JsonSink, Sink
from fieldlens.runtime.prediction import Failure, Prediction, Result
from fieldlens.runtime.running.run import ClassificationRun
from fieldlens.runtime.sources.item import Encoded, Item
from tests.runtime.conftest import ORIGIN, jpeg, scene, seal, tiny_manifest, tiny_onnx

ROOT = Path(__file__).resolve().parents[3]


class Liar(Backend):
    """A real backend whose logits are moved, or made no numbers, from its ``after``-th answer on."""

    def __init__(self, truth: Backend, after: int, add: Sequence[float] = (0.0, 0.0), output: str = "logits") -> None:
        self._truth, self._after, self._add, self._output = truth, after, np.array(add, np.float32), output
        self.answered = 0
        self.info: BackendInfo = truth.info

    def infer(self, image: Image) -> Outputs:
        self.answered += 1
        outputs = self._truth.infer(image)
        if self.answered <= self._after:
            return outputs
        moved = np.array(getattr(outputs, self._output))
        moved.reshape(len(image), -1)[:, :2] += self._add
        return outputs._replace(**{self._output: moved})

    def close(self) -> None:
        self._truth.close()


@pytest.fixture
def truth(bundle: Bundle) -> Iterator[Backend]:
    with load_backend(bundle, "openvino", "fp32", LoadOptions()) as backend:
        yield backend


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_an_honest_backend_passes(bundle: Bundle, name: str, precision: str) -> None:
    golden = GoldenImages(bundle)
    with load_backend(bundle, name, precision, LoadOptions()) as backend:
        check = golden.check(backend)
        again = golden.check(backend)
    assert check.images == 4
    assert 0 <= check.max_logit_difference <= check.allowed_logit_difference
    assert again.ms < check.ms, "decoding counts once"
    assert golden.last == again


@pytest.mark.parametrize("add", [(0.01, 0.0), (0.0, -0.01), (np.nan, 0.0), (np.inf, 0.0), (0.0, -np.inf)])
def test_nothing_is_answered_by_a_backend_that_lies_at_the_start(
    bundle: Bundle, truth: Backend, add: Sequence[float]
) -> None:
    with pytest.raises(GoldenCheckFailed, match="golden images"):
        Classifier(bundle, Liar(truth, 0, add))


@pytest.mark.parametrize("output", ["cam", "features"])
def test_a_map_or_features_that_are_no_numbers_fail_at_the_start(bundle: Bundle, truth: Backend, output: str) -> None:
    with pytest.raises(GoldenCheckFailed, match="finite"):
        Classifier(bundle, Liar(truth, 0, (np.nan, np.nan), output))


def test_a_decision_turned_into_its_opposite_fails_whatever_the_tolerance(copy: Path, truth: Backend) -> None:
    manifest = tiny_manifest()
    wide = {name: replace(value, logit=1e3) for name, value in manifest.tolerances.items()}
    seal(copy, replace(manifest, tolerances=wide))
    with pytest.raises(GoldenCheckFailed, match="opposite"):
        Classifier(open_bundle(copy), Liar(truth, 0, (-90.0, 90.0)))


@pytest.mark.parametrize("output", ["logits", "cam", "features"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_without_a_number_is_an_error_and_the_run_goes_on(
    bundle: Bundle, truth: Backend, output: str, value: float
) -> None:
    class Once(Liar):
        def infer(self, image: Image) -> Outputs:
            outputs = super().infer(image)
            self._after = 10**9 if self.answered > self._after else self._after
            return outputs

    backend = Once(truth, 10**9, (value, 0.0), output)
    with Classifier(bundle, backend) as classifier:
        backend._after = backend.answered
        with pytest.raises(AnswerError, match="not a finite number"):
            classifier.classify_bytes(jpeg(scene(1)), "a.jpg")
        assert classifier.classify_bytes(jpeg(scene(1)), "a.jpg").outcome


class Results(Sink):
    def __init__(self) -> None:
        self.all: list[Result] = []

    def write(self, result: Result) -> None:
        self.all.append(result)

    def close(self) -> None: ...


class Endless:
    """Items for a run, as Sources gives them; ``clock`` moves on by a minute an image."""

    notes: tuple[str, ...] = ()
    dropped = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.cameras: list[object] = []
        self._count, self.now = count, 0.0
        monkeypatch.setattr("fieldlens.runtime.running.run.time.monotonic", lambda: self.now)

    def begin(self, source: str, *, private: bool = False) -> bool:
        return False

    def done(self, source: str) -> None:
        return None

    def stored(self, ring: int = 0) -> Iterator[Item]:
        for index in range(self._count):
            self.now += 60.0
            yield Encoded(f"{index}.jpg", jpeg(scene(index, 120, 160)))

    def live(self) -> Iterator[Item | None]:
        return iter(())

    def unfinished(self) -> Iterator[Item]:
        return iter(())


def test_a_backend_that_begins_to_lie_is_stopped_within_an_interval(
    bundle: Bundle, truth: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Liar(truth, 10**9, (0.5, -0.5))
    results, images = Results(), Endless(monkeypatch, 200)
    with Classifier(bundle, backend, golden_every_s=600.0) as classifier:
        run = ClassificationRun(classifier, [results])
        backend._after = backend.answered + 25 + 2 * 4  # honest for 25 images and the two checks between them
        log = run(images)  # type: ignore[arg-type]
    assert isinstance(log.broken, GoldenCheckFailed)
    assert "logits differ by 0.5" in log.broken.message
    assert log.ended_by == "a failed golden check"
    assert log.golden_repeats == 3
    assert 25 < len(results.all) <= 25 + 10, "ten images are one interval here"


def test_a_network_that_gives_no_more_numbers_is_stopped_at_once(
    bundle: Bundle, truth: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Liar(truth, 10**9, (np.nan, 0.0))
    results = Results()
    with Classifier(bundle, backend) as classifier:
        backend._after = backend.answered + 3
        log = ClassificationRun(classifier, [results])(Endless(monkeypatch, 50))  # type: ignore[arg-type]
    assert isinstance(log.broken, GoldenCheckFailed)
    assert len(results.all) == 3


def test_an_image_without_a_number_is_a_failed_line(
    bundle: Bundle, truth: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldlens.runtime.quality.ood.OodModel.score", lambda *_: float("nan"))
    results = Results()
    with Classifier(bundle, truth) as classifier:
        classifier._ood = select  # type: ignore[assignment]
        monkeypatch.setattr(select, "score", lambda *_: float("nan"), raising=False)
        log = ClassificationRun(classifier, [results])(Endless(monkeypatch, 3))  # type: ignore[arg-type]
    assert [type(result) for result in results.all] == [Failure] * 3
    assert log.exit_code() == 2
    assert "out-of-distribution score" in log.failures[0].error


LIAR = """
import sys
from fieldlens.runtime.backends import openvino
from fieldlens.runtime.backends.base import Outputs

truth = openvino.OpenVinoBackend.infer
answers = 0

def infer(self, image):
    global answers
    answers += 1
    outputs = truth(self, image)
    return outputs if answers < 40 else Outputs(outputs.logits[:, ::-1], outputs.cam, outputs.features)

openvino.OpenVinoBackend.infer = infer
from fieldlens.runtime.__main__ import main
from fieldlens.runtime.boundary import run_cli
sys.exit(run_cli(main))
"""


def test_the_command_stops_and_says_what_happened(bundle: Bundle, tmp_path: Path) -> None:
    """The whole program with a backend that begins to swap its classes, on a folder that is watched."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(30):
        (folder / f"{index:03d}.jpg").write_bytes(jpeg(scene(index, 120, 160)))
    command = [
        sys.executable, "-c", LIAR, "classify", folder, "--watch", "--bundle", bundle.path, "--backend", "openvino",
        "--precision", "fp32", "--state", tmp_path / "state", "--golden-every", "0.5", "--report", tmp_path / "r.html",
    ]  # fmt: skip
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "does not answer the golden images as accepted" in done.stderr
    assert "ended by a failed golden check" in done.stdout
    assert "a failed golden check" in (tmp_path / "r.html").read_text()


def test_auto_passes_over_what_fails_now(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """INT8 passed its self-test on an earlier start, and lies today."""
    choose_backend(bundle, "openvino", "auto", LoadOptions(), tmp_path).backend.close()
    monkeypatch.setattr(select._Chooser, "_fp32_selftest", lambda self, *_: replace_p50(self, bundle, tmp_path))
    honest = select.load_backend

    def lying(bundle: Bundle, backend: str, precision: str, options: LoadOptions) -> Backend:
        loaded = honest(bundle, backend, precision, options)
        return Liar(loaded, 0, (9.0, 0.0)) if precision == "int8" else loaded

    monkeypatch.setattr(select, "load_backend", lying)
    choice = choose_backend(bundle, "openvino", "auto", LoadOptions(), tmp_path)
    with choice.backend as backend:
        assert backend.info.precision == "fp32"
    assert "golden images" in choice.reasons[-1]
    with pytest.raises(BackendError, match="golden images"):
        choose_backend(bundle, "openvino", "int8", LoadOptions(), tmp_path)


def replace_p50(_: object, bundle: Bundle, state: Path) -> object:
    """A self-test of an FP32 that is slow for certain, so that auto wants INT8."""
    with load_backend(bundle, "openvino", "fp32", LoadOptions()) as backend:
        return replace(cached_selftest(bundle, backend, state, []), inference_p50_ms=1e9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reference_that_is_no_number_is_refused(copy: Path, value: float) -> None:
    path = copy / "golden" / "golden.npz"
    with np.load(path) as arrays:
        logits = np.array(arrays["logits"])
    logits[3, 1] = value
    data = io.BytesIO()
    np.savez(data, logits=logits)
    path.write_bytes(data.getvalue())
    seal(copy, tiny_manifest())
    with pytest.raises(BundleError, match="finite"):
        choose_backend(open_bundle(copy), "openvino", "fp32", LoadOptions(), copy.parent / "state")


def test_weights_that_give_no_number_are_refused_at_load(copy: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(tiny_onnx())
    bias = next(item for item in model.graph.initializer if item.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.array([np.nan, 0], np.float32), "bias"))
    (copy / "model.fp32.onnx").write_bytes(model.SerializeToString())
    seal(copy, tiny_manifest())
    for name in ("openvino", "onnxruntime"):
        with pytest.raises(GoldenCheckFailed, match="finite"):
            choose_backend(open_bundle(copy), name, "fp32", LoadOptions(), copy.parent / "state")


def test_info_shows_the_last_start(bundle: Bundle, truth: Backend, tmp_path: Path) -> None:
    assert last_start(tmp_path, bundle) is None
    check = GoldenImages(bundle).check(truth)
    remember(tmp_path, bundle, truth, check)
    start = last_start(tmp_path, bundle)
    assert start is not None
    assert (start.backend, start.precision, start.check) == ("openvino", "fp32", check)


def test_json_never_holds_what_is_no_number(bundle: Bundle, truth: Backend, tmp_path: Path) -> None:
    with Classifier(bundle, truth) as classifier:
        prediction = classifier.classify_bytes(jpeg(scene(1)), "a.jpg")
    assert isinstance(prediction, Prediction)
    sink = JsonSink(tmp_path / "r.jsonl", ORIGIN)
    with pytest.raises(ValueError, match="JSON"):
        sink.write(replace(prediction, score=float("nan")))
    sink.close()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "sound"),
    [
        ([1.0, -1.0], True), ([3e38, 3e38], True), ([0.0, np.nan], False), ([np.inf, -np.inf], False),
        ([3e38, 3e38, -np.inf], False),
    ],
)  # fmt: skip
def test_only_finite_numbers_pass_and_nothing_is_warned_of(values: list[float], sound: bool) -> None:
    """A sum may grow too large although every number is finite."""
    row = np.array([values], np.float32)
    good = np.zeros((1, 2), np.float32)
    assert finite(Outputs(row, good, good)) == finite(Outputs(good, good, row)) == sound
