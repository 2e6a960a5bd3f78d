"""Counting, and the floor that follows."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torchvision import models

from fieldlens.benchmarks.device.compare.stage import Stage
from fieldlens.benchmarks.device.roofline import peaks, roofline
from fieldlens.benchmarks.device.roofline.graph_cost import Cost, Layer, count
from fieldlens.benchmarks.device.roofline.peaks import Measured
from fieldlens.benchmarks.device.roofline.roofline import floor_ms
from fieldlens.benchmarks.record.page_parts import PARTS


def operations_of_torch(size: int) -> int:
    """Counted another way: hooks on torchvision's own modules."""
    total = 0

    def hook(module: nn.Conv2d, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        total += 2 * output[0].numel() * module.weight[0].numel()

    network = models.resnet18(weights=None)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(hook)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, size, size))
    return total


def test_operations_are_counted_from_the_graph(stage: Stage) -> None:
    cost = count(stage.bundle.model("fp32"))
    head = 2 * 2 * 512 * 2 * 2  # two classes, 512 features, a map of 2×2
    assert cost.operations == operations_of_torch(64) + head
    assert cost.weights == pytest.approx(11.2e6, rel=0.01)


def test_the_published_figure_at_224() -> None:
    """torchvision's own: 1.814 GFLOPS (multiply-adds), of which the linear layer 0.0005."""
    assert operations_of_torch(224) / 2e9 == pytest.approx(1.814, abs=0.001)


def test_the_floor_takes_the_larger_term_and_the_uncertainty() -> None:
    cost = Cost((Layer("one", 2_000_000_000, 10_000_000, 0, 0),))
    rate, fast, slow = Measured(100, 80, 200), Measured(10, 9, 11), Measured(0.5, 0.4, 1.0)
    bound_by_arithmetic = floor_ms(cost, 1, rate, fast)
    assert (bound_by_arithmetic.value, bound_by_arithmetic.low, bound_by_arithmetic.high) == (20, 10, 25)
    assert floor_ms(cost, 4, rate, slow).value == pytest.approx(80)


def test_peaks_are_measured_and_possible() -> None:
    """Bounds for anything between a Raspberry Pi and a large server."""
    assert 0.5 < peaks.bandwidth(1, 2).value < 2000
    for precision in peaks.PRECISIONS:
        rate = peaks.multiply_adds(precision, 1, 1)
        assert 1 < rate.low <= rate.value <= rate.high < 1e5


def test_figures_have_three_digits_and_no_exponent() -> None:
    assert str(Measured(1849.3, 1826.6, 12345.6)) == "1849 [1827, 12346]"
    assert str(Measured(1.9634, 0.01958, 47.72)) == "1.96 [0.0196, 47.7]"


def test_the_whole_roofline_for_people_and_on_the_page(stage: Stage) -> None:
    found = roofline.measure(stage, threads=1, repeats=1, settle_s=0.0)
    assert [cost.name for cost in found.stages] == ["decode", "preprocess", "inference"]
    for cost in found.stages:
        assert 0 < cost.floor_ms.low <= cost.floor_ms.value <= cost.floor_ms.high
        assert 0 < cost.p50_ms < 1000
    page = PARTS["roofline"](json.loads(json.dumps(found.to_json())))
    for text in (roofline.show(found), page):
        assert str(found.bandwidth_gb_s) in text
        for name, rate in found.peaks_gops.items():
            assert str(rate) in text
            assert str(found.floors_ms[name]) in text
    assert f"{found.operations / 1e9:.2f} billion" in page
