"""OpenCV in front of a compiled OpenVINO model, as its own tutorials write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino as ov

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.benchmarks.device.contenders.opencv_front import front
from fieldlens.benchmarks.device.contenders.softmax import probabilities


def load(job: Job) -> Loaded:
    """At the precision that the options hint at."""
    prepare = front(job)
    compiled = compile_model(job)

    def answer(data: bytes) -> list[float]:
        return probabilities(compiled(prepare(data))["logits"][0], job)

    hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    threads = compiled.get_property("INFERENCE_NUM_THREADS")
    return Loaded(answer, f"openvino {ov.__version__.split('-')[0]}, hint {hint}, {threads} threads")


def compile_model(job: Job) -> Any:
    """For latency, on the CPU."""
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": job.threads}
    if hint := job.options.hint:
        config["INFERENCE_PRECISION_HINT"] = hint
    core = ov.Core()
    return core.compile_model(core.read_model(Path(job.models[job.options.model])), "CPU", config)
