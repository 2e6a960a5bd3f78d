"""OpenCV alone: its decoder, its resize, its DNN module."""

from __future__ import annotations

import cv2

from fieldlens.benchmarks.device.contenders.base import Job, Loaded
from fieldlens.benchmarks.device.contenders.opencv_front import front
from fieldlens.benchmarks.device.contenders.softmax import probabilities


def load(job: Job) -> Loaded:
    """OpenCV 4 refuses a uint8 input: then the worker's error is the row."""
    prepare = front(job)
    network = cv2.dnn.readNetFromONNX(job.models[job.options.model])

    def answer(data: bytes) -> list[float]:
        network.setInput(prepare(data))
        return probabilities(network.forward("logits")[0], job)

    return Loaded(answer, f"opencv {cv2.__version__}, fp32, {cv2.getNumThreads()} threads")
