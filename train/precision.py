"""Numbers of 16 bits where the hardware is made for them; on a CPU everything stays FP32."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from runtime.errors import ConfigError

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast of the forward pass; weights, loss and optimiser stay FP32. FP16's gradients are scaled."""

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "auto":
            name = "fp32" if device.type == "cpu" else "bf16" if torch.cuda.is_bf16_supported(False) else "fp16"
        if name == "fp16" and device.type == "cpu":
            raise ConfigError("train.precision is fp16, which CPUs only emulate", "set fp32, bf16 or auto")
        self.name = name
        self._device = device.type
        self._scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> torch.autocast:
        """Around the forward pass; without effect in FP32."""
        return torch.autocast(self._device, _TYPES.get(self.name), enabled=self.name in _TYPES)

    def step(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor], clip_norm: float
    ) -> None:
        """Backward, clip the gradient's norm to ``clip_norm`` (0: no bound), step."""
        optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if clip_norm:
            self._scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        self._scaler.step(optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """For the resume state; empty but for FP16."""
        return dict(self._scaler.state_dict())

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self._scaler.load_state_dict(state)
