"""The documents' own pipeline, and the two things that its users try next: channels-last and torch.compile."""

from __future__ import annotations

import torch

from benchmarks.contenders.base import Job, Loaded
from benchmarks.contenders.softmax import probabilities
from benchmarks.contenders.torch_front import front, network


def load(job: Job) -> Loaded:
    """``options``: ``layout`` channels-last, ``compile`` yes."""
    torch.set_num_threads(job.threads)
    prepare, model = front(job), network(job)
    layout = torch.channels_last if job.options.get("layout") == "channels-last" else torch.contiguous_format
    model = model.to(memory_format=layout)
    run = torch.compile(model) if job.options.get("compile") else model

    def answer(data: bytes) -> list[float]:
        with torch.inference_mode():
            logits = run(prepare(data).contiguous(memory_format=layout))
        return probabilities(logits[0].numpy(), job)

    return Loaded(answer, f"torch {torch.__version__}, fp32, {torch.get_num_threads()} threads")
