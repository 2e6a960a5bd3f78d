"""Ranges of activations."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from fieldlens.convert.quantization.ranges import (
    ActivationHistogram,
    entropy_threshold,
    every_nth,
    extremes,
    observe,
    ranges,
)
from tests.convert.graph.test_contract import small


def histogram(values: torch.Tensor) -> ActivationHistogram:
    """In four batches, the largest values last."""
    found = ActivationHistogram(np.inf, -np.inf, float(values[: len(values) // 4].abs().max()), np.zeros(2048))
    for part in values.chunk(4):
        found.add(part)
    return found


def bell(count: int = 400_000) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def test_bins_grow_with_the_values_and_count_all() -> None:
    values = bell()
    values, _ = values.abs().sort()
    found = histogram(values)
    assert found.counts.sum() == len(values)
    assert found.top >= float(values.max())
    counted = np.histogram(values.numpy(), bins=2048, range=(0.0, found.top))[0]
    assert np.abs(np.cumsum(counted) - np.cumsum(found.counts)).max() <= 2


def test_entropy_cuts_what_is_rare() -> None:
    """A bell with ten outliers at forty times its width: MinMax would spend nine bits in ten on them."""
    values = torch.cat([torch.full((10,), 40.0), bell()])
    assert 2.5 < entropy_threshold(histogram(values)) < 8.0


def test_entropy_keeps_what_is_common() -> None:
    values = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 3.0
    assert entropy_threshold(histogram(values)) > 2.9


def test_a_dead_activation_has_a_range() -> None:
    assert entropy_threshold(ActivationHistogram(0.0, 0.0, 1e-12, np.zeros(2048))) == 1e-12


@pytest.fixture
def model() -> onnx.ModelProto:
    found = small()
    relu = onnx.helper.make_node("Relu", ["bright"], ["layer4"], "relu")
    found.graph.node[2].output[0] = "bright"
    found.graph.node.insert(3, relu)
    return found


def test_minmax_is_what_was_seen(model: onnx.ModelProto) -> None:
    images = np.random.default_rng(0).integers(0, 255, (40, 16, 16, 3)).astype(np.uint8)
    seen = observe(model, list(images))
    whole = ranges(seen, "MinMax")
    sums = images.reshape(40, 4, 4, 4, 4, 3).sum(axis=(2, 4, 5))
    assert whole.bounds["bright"] == (float(sums.min()), float(sums.max()))
    assert whole.bounds["nchw"] == (float(images.min()), float(images.max()))
    cut = ranges(seen, "Entropy")
    for name, (low, high) in cut.bounds.items():
        assert whole.bounds[name][0] <= low <= high <= whole.bounds[name][1]


def test_an_unknown_method_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="Percentile"):
        ranges({}, "Percentile")


@pytest.mark.parametrize("every", [1, 3, 11, 97])
def test_the_same_values_are_counted_however_they_lie_in_memory(every: int) -> None:
    """The sample walks an activation in its own order, so that files do not depend on how torch laid it out."""
    values = torch.randn(2, 6, 10, 14, generator=torch.Generator().manual_seed(0))
    laid = (
        values,
        values.to(memory_format=torch.channels_last),
        values.permute(0, 2, 3, 1),
        values[:, ::2],
        values[:1],
    )
    for each in laid:
        assert torch.equal(every_nth(each, every), each.flatten()[::every])
        assert extremes(each) == (float(each.min()), float(each.max()))
