"""OpenCV in front of an ONNX Runtime session with its own default settings: what most edge kits ship."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.benchmarks.device.contenders.opencv_front import front
from fieldlens.benchmarks.device.contenders.softmax import probabilities


def load(job: Job) -> Loaded:
    """The file that the options name."""
    prepare = front(job)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = job.threads
    settings.log_severity_level = 3
    model = Path(job.models[job.options.model]).read_bytes()
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    def answer(data: bytes) -> list[float]:
        return probabilities(session.run(["logits"], {"image": prepare(data)})[0][0], job)

    return Loaded(answer, f"onnxruntime {ort.__version__}, precision as in the file, {job.threads} threads")
