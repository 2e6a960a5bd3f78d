"""Averaged weights: a moving mean over the steps, which is often better and always steadier than the last step's."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Ema:
    """``model``: the average of another model's weights and buffers, in evaluation mode.

    The decay rises from 0.1 to its value as ``(1 + n) / (10 + n)``, so that the first weights are soon forgotten
    (as TensorFlow's ExponentialMovingAverage does with ``num_updates``).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """After each step."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for mean, now in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)  # how many batches a norm has seen

    def state(self) -> dict[str, Any]:
        """For the resume state: plain values and tensors."""
        weights = {name: tensor.cpu().contiguous() for name, tensor in self.model.state_dict().items()}
        return {"updates": self.updates, "model": weights}

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["model"])
