"""OpenVINO's own throughput mode, fed by this runtime's decoder and resize: no gate, no decision, no results in order.

The bare loop that a person would write for a folder of images (OpenVINO's documentation, "Asynchronous inference").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino as ov

from fieldlens.benchmarks.device.contenders.base import Job, Loaded, no_single_answer
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.pixels.preprocess import Preprocess


def load(job: Job) -> Loaded:
    """With as many requests as OpenVINO itself finds best."""
    core = ov.Core()
    model = core.read_model(Path(job.models[job.options.model]))
    config = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": job.threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", config)
    requests = ov.AsyncInferQueue(compiled, 0)
    logits: list[Any] = []
    requests.set_callback(lambda request, _: logits.append(request.get_tensor("logits").data.copy()))
    preprocess = Preprocess(open_bundle(Path(job.bundle)).manifest.preprocess)
    image = preprocess.empty()

    def many(paths: list[str]) -> None:
        logits.clear()
        for path in paths:
            preprocess.from_bytes(Path(path).read_bytes(), path, image[0])
            requests.start_async({"image": image})  # copied
        requests.wait_all()
        if len(logits) != len(paths):
            raise ValueError(f"{len(logits)} answers to {len(paths)} images")

    streams = compiled.get_property("NUM_STREAMS")
    return Loaded(
        no_single_answer, f"openvino {ov.__version__.split('-')[0]}, {streams} streams, {len(requests)} requests",
        many=many,
    )  # fmt: skip
