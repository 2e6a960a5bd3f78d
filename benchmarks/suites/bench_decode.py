"""Bytes to pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from pytest_benchmark.fixture import BenchmarkFixture

from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.pixels.preprocess import Preprocess


def test_decode_jpeg(benchmark: BenchmarkFixture, bundle: Bundle, photo: bytes) -> None:
    benchmark(Preprocess(bundle.manifest.preprocess).decode, photo, "photo")


def test_decode_jpeg_of_twelve_megapixels(benchmark: BenchmarkFixture, bundle: Bundle, large_photo: bytes) -> None:
    benchmark(Preprocess(bundle.manifest.preprocess).decode, large_photo, "photo")


def test_decode_png(benchmark: BenchmarkFixture, bundle: Bundle, picture: npt.NDArray[np.uint8]) -> None:
    data = cv2.imencode(".png", picture)[1].tobytes()
    benchmark(Preprocess(bundle.manifest.preprocess).decode, data, "photo")


def test_bare_simplejpeg_into_a_buffer(benchmark: BenchmarkFixture, photo: bytes) -> None:
    buffer = bytearray(480 * 640 * 3)
    benchmark(simplejpeg.decode_jpeg, photo, "RGB", buffer=buffer)


def test_bare_opencv(benchmark: BenchmarkFixture, photo: bytes) -> None:
    benchmark(cv2.imdecode, np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
