"""The documents' own pipeline, and what its users try next: channels-last, torch.compile, and that with freezing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.benchmarks.device.contenders.softmax import probabilities
from fieldlens.benchmarks.torch_peers.torch_front import front, network


def load(job: Job) -> Loaded:
    """In the layout and with the compilation that the options say."""
    torch.set_num_threads(job.threads)
    prepare, model = front(job), network(job)
    layout = torch.channels_last if job.options.layout == "channels-last" else torch.contiguous_format
    model = model.to(memory_format=layout)
    run = _compiled(model, frozen=job.options.compile == "frozen") if job.options.compile != "no" else model

    def answer(data: bytes) -> list[float]:
        with torch.inference_mode():
            logits = run(prepare(data).contiguous(memory_format=layout))
        return probabilities(logits[0].numpy(), job)

    return Loaded(answer, f"torch {torch.__version__}, fp32, {torch.get_num_threads()} threads")


def _compiled(model: nn.Module, *, frozen: bool) -> Callable[[Tensor], Tensor]:
    """``frozen`` as with TORCHINDUCTOR_FREEZING=1: torch.compile's own ``options`` do not reach Dynamo."""
    from torch._inductor import config  # slow to import: only those who compile pay for it at their start

    config.freezing = frozen
    compiled: Callable[[Tensor], Tensor] = torch.compile(model)
    return compiled
