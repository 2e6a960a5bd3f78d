"""TensorRT alone: the best engine of this device on a fixed image, copies included, as trtexec counts latency."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import load_backend
from fieldlens.runtime.bundle.open import open_bundle


def load(job: Job) -> Loaded:
    """Through this runtime's own backend: CUDA graph and page-locked memory as it uses them."""
    bundle = open_bundle(Path(job.bundle))
    options = LoadOptions(threads=job.threads, state=Path(job.state) if job.state else None)
    backend = load_backend(bundle, "tensorrt", "auto", options)
    size = bundle.manifest.size
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)

    def answer(data: bytes) -> None:
        backend.infer(image)

    info = backend.info
    return Loaded(answer, f"{info.name} {info.version}, {info.precision}, {info.device}")
