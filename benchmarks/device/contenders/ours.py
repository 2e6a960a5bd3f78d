"""This runtime, as a device runs it: bytes → a whole Prediction with heat map and gate."""

from __future__ import annotations

from pathlib import Path

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.runtime.model import Model
from fieldlens.runtime.model import load as load_model


def load(job: Job) -> Loaded:
    """Open and check the bundle, load the backend with its compiled-model cache, warm up."""
    model = loaded_model(job)

    def answer(data: bytes) -> list[float]:
        return list(model(data, keep_image=False).probabilities.values())

    return Loaded(answer, what_runs(model))


def loaded_model(job: Job) -> Model:
    """The bundle on the job's backend."""
    options = job.options
    state = Path(job.state) if job.state else Path(job.cache)
    return load_model(
        job.bundle, backend=options.backend, precision=options.precision, state=state, threads=job.threads
    )


def what_runs(model: Model) -> str:
    """Backend, precision and threads, in words."""
    info = model.info
    return f"{info.name} {info.version}, {info.precision}, {info.threads} threads"
