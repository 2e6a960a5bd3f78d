"""What cannot be avoided: the decoder alone into a reused buffer, then the network alone on a fixed image.

No resize, no softmax, no gate, and no answer: the distance to it is what everything else costs.
"""

from __future__ import annotations

import cv2
import numpy as np
import openvino as ov
import simplejpeg

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.benchmarks.device.contenders.opencv_openvino import compile_model


def load(job: Job) -> Loaded:
    """The network's options are this runtime's own (f32 where INT8 leaves layers in floating point)."""
    size = next(int(step["size"]) for step in job.steps if step["step"] == "resize")
    request = compile_model(job).create_infer_request()
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    request.set_input_tensor(ov.Tensor(image, shared_memory=True))
    buffer = bytearray()

    def answer(data: bytes) -> None:
        nonlocal buffer
        if data[:2] == b"\xff\xd8":
            try:
                simplejpeg.decode_jpeg(data, "RGB", buffer=buffer)
            except ValueError:  # the buffer is too small for this image: once per size
                height, width, _, _ = simplejpeg.decode_jpeg_header(data)
                buffer = bytearray(height * width * 3)
                simplejpeg.decode_jpeg(data, "RGB", buffer=buffer)
        else:
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        request.infer()

    return Loaded(answer, f"simplejpeg {simplejpeg.__version__} + openvino {ov.__version__.split('-')[0]}")
