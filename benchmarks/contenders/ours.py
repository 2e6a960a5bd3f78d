"""This runtime, as a device runs it: bytes → a whole Prediction with heat map and gate."""

from __future__ import annotations

from pathlib import Path

from fieldlens.benchmarks.contenders.base import Job, Loaded
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import load_backend
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.classifier import Classifier


def load(job: Job) -> Loaded:
    """Open and check the bundle, load the backend with its compiled-model cache, warm up."""
    bundle = open_bundle(Path(job.bundle))
    state = Path(job.state) if job.state else None
    options = LoadOptions(threads=job.threads, cache=Path(job.cache), state=state)
    backend = load_backend(bundle, job.options["backend"], job.options["precision"], options)
    classifier = Classifier(bundle, backend)

    def answer(data: bytes) -> list[float]:
        return list(classifier.classify_bytes(data, "picture").prediction.probabilities.values())

    info = backend.info
    return Loaded(answer, f"{info.name} {info.version}, {info.precision}, {info.threads} threads")
