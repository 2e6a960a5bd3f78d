"""This runtime on a folder of images: as many at a time as pay, or one after the other."""

from __future__ import annotations

from fieldlens.benchmarks.device.contenders.base import Job, Loaded, no_single_answer
from fieldlens.benchmarks.device.contenders.ours import loaded_model, what_runs
from fieldlens.runtime.prediction import Prediction
from fieldlens.runtime.running.ready import plan_for


def load(job: Job) -> Loaded:
    """Whole answers from files, read from the disk's cache."""
    model = loaded_model(job)
    plan = plan_for(model.classifier, alone=job.options.one_by_one, say=lambda note: None)

    def many(paths: list[str]) -> None:
        answers = list(model.many(paths, workers=plan.workers))
        if failed := [each for each in answers if not isinstance(each, Prediction)]:
            raise ValueError(str(failed[0]))

    return Loaded(no_single_answer, f"{what_runs(model)}, {plan.workers} workers", many=many)
