"""Numbers of 16 bits where the hardware is made for them. On a CPU only if the recipe wants it: see ``mixed``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.machine.host import cpu_flags

_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Of x86 and of Arm in /proc/cpuinfo. Without one of them PyTorch emulates bf16, slower than FP32."""
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def _best(name: str, device: torch.device) -> str:
    """``auto`` keeps a CPU at FP32, so that its models do not change with it; ``mixed`` takes bf16 where it can."""
    if device.type == "cpu":
        return "bf16" if name == "mixed" and _BF16_FLAGS & cpu_flags() else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(False) else "fp16"


class Precision:
    """Autocast of the forward pass; weights, loss and optimiser stay FP32. FP16's gradients are scaled."""

    def __init__(self, name: str, device: torch.device) -> None:
        if name in ("auto", "mixed"):
            name = _best(name, device)
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
