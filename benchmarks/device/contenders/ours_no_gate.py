"""This runtime's front and network alone: bytes → probabilities, which is all that the peers give."""

from __future__ import annotations

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.benchmarks.device.contenders.ours import loaded_model, what_runs
from fieldlens.runtime.bundle.decision import calibrated
from fieldlens.runtime.prepare import Preparer
from fieldlens.runtime.sources.item import Encoded


def load(job: Job) -> Loaded:
    """As ours; the quality of an image is then neither measured nor judged."""
    model = loaded_model(job)
    manifest = model.classifier.bundle.manifest
    prepare = Preparer(manifest.preprocess, gated=False, limits=model.classifier.decode_limits)

    def answer(data: bytes) -> list[float]:
        outputs = model.classifier.backend.infer(prepare(Encoded("image", data)).image)
        return list(calibrated(outputs.logits[0], manifest.temperature, manifest.task).tolist())

    return Loaded(answer, f"{what_runs(model)}, no gate")
