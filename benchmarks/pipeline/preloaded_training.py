"""Forward and backward alone, on tensors that lie in memory as the network takes them: what training cannot exceed.

Started as its own process by ``training``:
``python -m fieldlens.benchmarks.pipeline.preloaded_training '{"arch": …}'``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
from torch import nn
from torchvision import models

BATCHES = 4
"""Different ones in memory, taken in turn."""


def train(task: dict[str, Any]) -> list[float]:
    """All epochs; images a second of each. Whole batches, channels-last, cross-entropy and AdamW, as ``train fit``."""
    torch.manual_seed(0)
    torch.set_num_threads(task["threads"])
    size, count = task["size"], task["batch_size"]
    model: nn.Module = models.get_model(task["arch"], weights=None, num_classes=task["classes"])
    model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()
    batches = [
        (
            torch.randn(count, 3, size, size).to(memory_format=torch.channels_last),
            torch.randint(0, task["classes"], (count,)),
        )
        for _ in range(BATCHES)
    ]
    steps = max(1, task["trained_on"] // count)
    rates = []
    for _ in range(task["epochs"]):
        began = time.perf_counter()
        for step in range(steps):
            images, labels = batches[step % BATCHES]
            optimizer.zero_grad()
            loss = loss_function(model(images), labels)
            loss.backward()
            optimizer.step()
        rates.append(steps * count / (time.perf_counter() - began))
    return rates


if __name__ == "__main__":
    print(json.dumps({"images_per_s": train(json.loads(sys.argv[1]))}))
