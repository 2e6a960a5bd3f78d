"""What a file for TensorRT would answer, as far as a host without its GPU can tell: every node rounded to FP16.

It shows overflow and the loss of precision. It is not TensorRT: kernels may sum in another order and fuse nodes, which
rounds less often. The gate on the device has the last word.
"""

from __future__ import annotations

import onnx
import torch

from fieldlens.convert.graph.execute import Executor
from fieldlens.runtime.backends.base import Backend, BackendInfo, Image, Outputs
from fieldlens.runtime.errors import BackendError


class Emulation(Backend):
    """A loaded file. Takes batches; ``peak`` is the largest activation so far."""

    def __init__(self, model: bytes, precision: str, *, half: bool = True) -> None:
        """``precision``: the word for what a device runs. Raises ConversionError for an unknown operator."""
        self._executor: Executor | None = Executor(onnx.load_from_string(model), half=half)
        self.info = BackendInfo(
            "emulation", str(torch.__version__), "CPU", precision, torch.get_num_threads(),
            ("every node computed in FP32 and rounded to FP16; TensorRT itself has not run",),
        )  # fmt: skip

    def infer(self, image: Image) -> Outputs:
        if self._executor is None:
            raise BackendError("the model is closed", "load it again")
        outputs = self._executor.run(image)
        return Outputs(outputs["logits"], outputs["cam"], outputs["features"])

    @property
    def peak(self) -> tuple[float, str]:
        """The largest absolute activation so far, and the node that gave it; infinite where a number overflowed."""
        peaks = self._executor.peaks if self._executor else {}
        name = max(peaks, key=lambda name: peaks[name], default="")
        return peaks.get(name, 0.0), name

    def close(self) -> None:
        self._executor = None

    def __enter__(self) -> Emulation:
        return self
