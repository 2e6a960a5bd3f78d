"""This runtime, as a device runs it: bytes → a whole Prediction with heat map and gate."""

from __future__ import annotations

from pathlib import Path

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.runtime.model import load as load_model


def load(job: Job) -> Loaded:
    """Open and check the bundle, load the backend with its compiled-model cache, warm up."""
    options = job.options
    state = Path(job.state) if job.state else Path(job.cache)
    model = load_model(
        job.bundle, backend=options.backend, precision=options.precision, state=state, threads=job.threads
    )

    def answer(data: bytes) -> list[float]:
        return list(model(data, keep_image=False).probabilities.values())

    info = model.info
    return Loaded(answer, f"{info.name} {info.version}, {info.precision}, {info.threads} threads")
