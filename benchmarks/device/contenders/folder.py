"""This runtime on a folder of images: as many at a time as pay, or one after the other."""

from __future__ import annotations

from pathlib import Path

from fieldlens.benchmarks.device.contenders.base import Job, Loaded, no_single_answer
from fieldlens.runtime.model import load as load_model
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.running.ready import plan_for


def load(job: Job) -> Loaded:
    """Whole answers from files, read from the disk's cache."""
    options = job.options
    state = Path(job.state) if job.state else Path(job.cache)
    model = load_model(
        job.bundle, backend=options.backend, precision=options.precision, state=state, threads=job.threads
    )
    plan = plan_for(model.classifier, alone=options.one_by_one, say=lambda note: None)

    def many(paths: list[str]) -> None:
        answers = list(model.many(paths, workers=plan.workers))
        if failed := [each for each in answers if not isinstance(each, Prediction)]:
            raise ValueError(str(failed[0]))

    info = model.info
    return Loaded(
        no_single_answer, f"{info.name} {info.version}, {info.precision}, {plan.workers} workers", many=many
    )  # fmt: skip
