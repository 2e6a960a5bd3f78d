"""What a run or a bundle answers for some images: logits, what the gate says of each, the time it took, and maps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fieldlens.runtime.backends.base import Backend
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.quality_limits import Limits
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.quality.measures import judge, measure
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import TrainingRun
from fieldlens.train.data.cache import Tensors
from fieldlens.train.data.samples import DataSet, Sample
from fieldlens.train.decide.quality_gate import Gate, distances, limits_of, shorter_sides
from fieldlens.train.epoch.loop import EVALUATION_BATCH, predict
from fieldlens.train.errors import DataError, listing
from fieldlens.train.metrics import Floats

Maps = npt.NDArray[np.float32]
_ALONE = 20
"""Images timed one by one in a run; a bundle answers all of them so."""


@dataclass(frozen=True)
class Answers:
    """Logits float32 ``[n,C]``; ``findings``: the names of the checks that each image failed, None without a gate;
    ``explained`` ``[n]``: the class whose map is in ``maps`` ``[n,h,w]`` (None unless asked for); ``inference``: times
    in ms with their conditions; ``rival_maps``: the same classes' maps by Grad-CAM++, of a run only."""

    precision: str
    logits: npt.NDArray[np.float32]
    findings: tuple[tuple[str, ...], ...] | None
    inference: dict[str, Any]
    explained: npt.NDArray[np.int64]
    maps: npt.NDArray[np.float32] | None = None
    rival_maps: npt.NDArray[np.float32] | None = None

    @property
    def readable(self) -> npt.NDArray[np.bool_] | None:
        """Passed the gate ``[n]``."""
        return None if self.findings is None else np.array([not each for each in self.findings], bool)

    @property
    def reasons(self) -> dict[str, int]:
        """How many images failed each check."""
        return dict(Counter(check for each in self.findings or () for check in each).most_common())


def of_run(
    run: TrainingRun,
    data: DataSet,
    tensors: Tensors,
    gate: Gate | None,
    with_maps: bool = False,
    reporter: Reporter = SILENT,
) -> Answers:
    """The trainer's network on decoded images."""
    positive = run.operating_point.decision.positive if run.operating_point.decision else run.class_ids
    candidates = [run.class_ids.index(name) for name in positive]
    logits, features, explained, maps, rivals, seconds = _pass(
        run.model, tensors.images, candidates, with_maps, reporter
    )
    findings = None
    if gate is not None:
        strange = distances(features, gate.arrays["means"], gate.arrays["precision"]) > gate.ood["threshold"]
        sides = shorter_sides(data, tensors.samples)
        findings = tuple(
            (*_quality(image, int(side), limits_of(gate)), *(("ood",) if odd else ()))
            for image, side, odd in zip(tensors.images, sides, strange, strict=True)
        )
    return Answers("fp32", logits, findings, _run_times(run, tensors, seconds), explained, maps, rivals)


def _quality(image: npt.NDArray[np.uint8], side: int, limits: Limits) -> tuple[str, ...]:
    return tuple(finding.check for finding in judge(measure(image, side), limits))


def _pass(
    model: torch.nn.Module,
    images: npt.NDArray[np.uint8],
    candidates: Sequence[int],
    with_maps: bool,
    reporter: Reporter,
) -> tuple[npt.NDArray[np.float32], Floats, npt.NDArray[np.int64], Maps | None, Maps | None, float]:
    """One pass: logits, pooled features, the likeliest of ``candidates`` and its two maps, seconds in the network."""
    last: list[torch.Tensor] = []
    handle = model.get_submodule("layer4").register_forward_hook(lambda _m, _i, out: last.append(out.float().cpu()))
    head = next(p for name, p in model.named_parameters() if name.startswith("fc.") and name.endswith("weight"))
    weight = head.detach().float().cpu().numpy()
    logits, features, maps, rivals, seconds = [], [], list[Maps](), list[Maps](), 0.0
    try:
        starts = range(0, len(images), EVALUATION_BATCH)
        for start in reporter.each(starts, "judging", len(starts)):
            began = time.perf_counter()
            logits.append(predict(model, np.ascontiguousarray(images[start : start + EVALUATION_BATCH])))
            seconds += time.perf_counter() - began
            grid = last.pop().numpy()
            features.append(grid.mean(axis=(2, 3)).astype(np.float64))
            if with_maps:
                chosen = weight[_likeliest(logits[-1], candidates)]
                maps.append(np.einsum("nfhw,nf->nhw", grid, chosen))
                rivals.append(grad_cam_plus_plus(grid, chosen))
    finally:
        handle.remove()
    all_logits = np.concatenate(logits)
    found, theirs = (np.concatenate(each).astype(np.float32) if with_maps else None for each in (maps, rivals))
    return all_logits, np.concatenate(features), _likeliest(all_logits, candidates), found, theirs, seconds


def grad_cam_plus_plus(grid: Maps, weight: Maps) -> Maps:
    """Grad-CAM++ (Chattopadhay et al., WACV 2018, equations 10 and 19) of features ``[n,F,h,w]`` before the pooling and
    the class's weights ``[n,F]``: ``[n,h,w]``.

    Behind a mean and one linear layer every position of a feature has the same gradient, its weight over the number of
    positions, so that no autograd is needed.
    """
    gradient = np.maximum(weight / (grid.shape[2] * grid.shape[3]), 0.0)
    alpha = 1 / np.maximum(2 + grid.sum(axis=(2, 3)) * gradient, 1e-6)
    return np.asarray(np.einsum("nfhw,nf->nhw", grid, alpha * gradient), np.float32)


def _likeliest(logits: npt.NDArray[np.float32], candidates: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.asarray(np.asarray(candidates)[logits[:, candidates].argmax(axis=1)], np.int64)


def _run_times(run: TrainingRun, tensors: Tensors, seconds: float) -> dict[str, Any]:
    """Network alone: per image in batches, and one by one (median of a few, the first ones left out)."""
    alone = []
    for index in range(min(_ALONE, len(tensors)) + 3):
        image = tensors.images[index % len(tensors)][None]
        began = time.perf_counter()
        predict(run.model, image)
        alone.append((time.perf_counter() - began) * 1e3)
    device = next(run.model.parameters()).device.type
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    return {
        "mean_ms": 1e3 * seconds / len(tensors),
        "single_p50_ms": float(np.median(alone[3:])),
        "what": f"network alone (decoding and preprocess not counted), {run.arch}, fp32",
        "where": f"torch {torch.__version__} on {device}{threads}; mean in batches of {EVALUATION_BATCH}, median alone",
    }


def of_bundle(
    bundle: Bundle,
    data: DataSet,
    samples: Sequence[Sample],
    backend: Backend,
    precision: str,
    with_maps: bool = False,
    reporter: Reporter = SILENT,
) -> Answers:
    """A bundle on one backend, one image at a time, from its bytes, as on a device. Closes the backend.

    Raises DataError that lists every image that cannot be read.
    """
    logits, findings, times, explained, maps, problems = [], [], [], [], [], []
    ids = bundle.manifest.class_ids
    with Classifier(bundle, backend) as classifier:
        for sample in reporter.each(samples, f"judging {precision}", len(samples)):
            try:
                prediction = _answer(classifier, data, sample)
            except ImageError as error:
                problems.append(error.message)
                continue
            logits.append(prediction.logits)
            findings.append(tuple(finding.check for finding in prediction.findings))
            times.append((prediction.latency_ms["inference"], prediction.latency_ms["total"]))
            explained.append(ids.index(prediction.explained))
            if with_maps:
                maps.append(prediction.cam[explained[-1]].copy())
        info = backend.info
    if problems:
        raise DataError(listing(f"{data.name}: images that cannot be read", problems), "replace or remove these files")
    network, total = np.array(times).T
    gated = bundle.manifest.quality is not None or bundle.manifest.ood is not None
    inference = {
        "mean_ms": float(network.mean()),
        "single_p50_ms": float(np.median(network)),
        "total_mean_ms": float(total.mean()),
        "what": f"from a file's bytes to the answer, {info.precision}; inference is the network's part",
        "where": f"{info.name} {info.version} on {info.device}, {info.threads} threads, one image at a time",
    }
    return Answers(
        precision, np.stack(logits), tuple(findings) if gated else None, inference, np.array(explained, np.int64),
        np.stack(maps) if with_maps else None,
    )  # fmt: skip


def _answer(classifier: Classifier, data: DataSet, sample: Sample) -> Prediction:
    content = data.read(sample)
    if isinstance(content, bytes):
        return classifier.classify_bytes(content, sample.id)
    rgb = np.repeat(content[..., None], 3, axis=2) if content.ndim == 2 else content
    return classifier.classify_frame(np.ascontiguousarray(rgb[..., ::-1]), sample.id)
