"""The documents' pipeline on a GPU at its best: one CUDA graph, captured once and replayed for every image."""

from __future__ import annotations

import torch

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.benchmarks.device.contenders.softmax import probabilities
from fieldlens.benchmarks.torch_peers.torch_front import front, network


def load(job: Job) -> Loaded:
    """FP16, channels-last. Warm-up on a side stream before the capture, as torch's documentation asks."""
    prepare = front(job)
    model = network(job).cuda().half().to(memory_format=torch.channels_last)
    size = next(int(step["size"]) for step in job.steps if step["step"] == "resize")
    image = torch.zeros(1, 3, size, size, device="cuda", dtype=torch.half).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                model(image)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = model(image)

    def answer(data: bytes) -> list[float]:
        with torch.inference_mode():
            image.copy_(prepare(data))
            graph.replay()
            return probabilities(logits[0].float().cpu().numpy(), job)

    return Loaded(answer, f"torch {torch.__version__}, fp16, {torch.cuda.get_device_name()}")
