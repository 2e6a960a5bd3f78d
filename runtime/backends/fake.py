"""A backend without a network, for tests and for laptops: the answer is computed from the image's mean colour."""

from __future__ import annotations

import time

import numpy as np

from fieldlens.runtime.backends.base import Backend, BackendInfo, Image, LoadOptions, Outputs
from fieldlens.runtime.errors import BackendError

BIAS = 0.0


class FakeBackend(Backend):
    """Class ``c`` is likelier the redder (0), greener (1) or bluer (2, …) the image is. ``delay_ms`` is slept."""

    def __init__(self, precision: str, classes: int, cam_size: int, features: int, delay_ms: float = 0.0) -> None:
        self._shape = (classes, cam_size, features)
        self._delay_ms = delay_ms
        self._open = True
        self.info = BackendInfo("fake", "1", "none", precision, 1, ("not a model: the answers mean nothing",))

    def infer(self, image: Image) -> Outputs:
        if not self._open:
            raise BackendError("the model is closed", "load it again")
        classes, cam_size, features = self._shape
        time.sleep(self._delay_ms / 1e3)
        colour = image.reshape(len(image), -1, 3).mean(axis=1) / 64.0
        logits = np.stack([colour[:, min(c, 2)] for c in range(classes)], axis=1).astype(np.float32)
        cam = np.repeat(logits[:, :, None], cam_size * cam_size, axis=2).reshape(-1, classes, cam_size, cam_size)
        return Outputs(logits + np.float32(BIAS), cam, np.resize(colour.astype(np.float32), (len(image), features)))

    def close(self) -> None:
        self._open = False


def load(options: LoadOptions, precision: str, classes: int, cam_size: int, features: int) -> Backend:
    """Needs no model bytes; ``options.delay_ms`` sets a known latency."""
    return FakeBackend(precision, classes, cam_size, features, options.delay_ms)
