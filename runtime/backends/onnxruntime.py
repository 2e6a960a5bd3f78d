"""ONNX Runtime on the CPU: the second choice there, and the reference that most people know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldlens.runtime import stopping
from fieldlens.runtime.backends.base import Backend, BackendInfo, Image, LoadOptions, Outputs
from fieldlens.runtime.bundle.precision import file_for
from fieldlens.runtime.errors import BackendError
from fieldlens.runtime.machine.host import usable_cores

PRECISIONS = ("fp32", "int8")


class OnnxRuntimeBackend(Backend):
    """An inference session. Threads do not spin between images: a waiting station should be idle."""

    def __init__(self, model: bytes, precision: str, options: LoadOptions) -> None:
        import onnxruntime as ort

        self._asked = precision
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads or usable_cores()
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exception classes are not public; the message says what it refused
            raise BackendError(f"ONNX Runtime refused the model: {error}", "try --backend openvino") from error
        self.info = BackendInfo(
            "onnxruntime", ort.__version__, "CPU", precision, settings.intra_op_num_threads,
            ("precision as in the file: this library does not report what it runs",),
        )  # fmt: skip

    def infer(self, image: Image) -> Outputs:
        if self._session is None:
            raise BackendError("the model is closed", "load it again")
        return Outputs(*self._session.run(["logits", "cam", "features"], {"image": image}))

    def lanes(self, read: Callable[[str], bytes], count: int) -> tuple[Backend, ...]:
        """One session of one thread, which runs in the thread that calls it."""
        alone = OnnxRuntimeBackend(read(file_for(self._asked, "cpu")), self._asked, LoadOptions(threads=1))
        return tuple(_OnnxRuntimeLane(alone) for _ in range(count))

    def close(self) -> None:
        self._session = None


class _OnnxRuntimeLane(OnnxRuntimeBackend):
    """A session that others use at the same time."""

    def __init__(self, alone: OnnxRuntimeBackend) -> None:
        self._asked, self._session, self.info = alone._asked, alone._session, alone.info


def load(model: bytes, precision: str, options: LoadOptions) -> Backend:
    """Load ONNX bytes. Raises BackendError where ONNX Runtime is not installed."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        stopping.raise_interrupted()
        raise BackendError("ONNX Runtime is not installed", "pip install onnxruntime, or --backend openvino") from error
    return OnnxRuntimeBackend(model, precision, options)
