"""The statistics behind the device's gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from fieldlens.runtime.quality.ood import ood_model
from fieldlens.train.data.cache import Tensors
from fieldlens.train.data.samples import Sample
from fieldlens.train.decide.quality_gate import distances, fit_gate, pooled_features, read_gate, write_gate
from fieldlens.train.errors import RunError
from fieldlens.train.model import build_model, normalise

RNG = np.random.default_rng(0)


def pictures(count: int, low: int, seed: int) -> np.ndarray:
    """Smooth random images, uint8 ``[n,32,32,3]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(low, low + 120, (count, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(coarse + rng.normal(0, 5, (count, 32, 32, 3)), 0, 255).astype(np.uint8)


def tensors(images: np.ndarray) -> Tensors:
    labels = np.arange(len(images)) % 2
    samples = tuple(Sample(str(i), int(label), None, None, None) for i, label in enumerate(labels))
    return Tensors(samples, images, labels)


def test_features_are_what_the_network_pools() -> None:
    torch.manual_seed(0)
    model = build_model("resnet18", 2).eval()
    images = pictures(3, 50, 1)
    found = pooled_features(model, images)
    with torch.inference_mode():
        trunk = torch.nn.Sequential(*list(model.children())[:-2])
        expected = trunk(normalise(torch.from_numpy(images))).mean((2, 3)).numpy()
    assert found.shape == (3, 512)
    assert np.allclose(found, expected, atol=1e-5)


def test_host_and_device_score_alike() -> None:
    features = RNG.normal(size=(60, 12))
    means = np.stack([features[::2].mean(0), features[1::2].mean(0)])
    precision = np.linalg.inv(LedoitWolf().fit(features).covariance_)
    device = ood_model(means, precision, 1.0)
    ours = distances(features, means, precision)
    assert np.allclose([device.score(row.astype(np.float32)) for row in features], ours, rtol=1e-4)
    difference = features[0] - means
    plain = np.einsum("cf,fg,cg->c", difference, precision, difference).min() / 12
    assert ours[0] == pytest.approx(plain)


def test_a_fitted_gate_lets_known_images_through_and_stops_strange_ones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("resnet18", 2)
    gate = fit_gate(model, tensors(pictures(120, 60, 2)), tensors(pictures(60, 60, 3)), np.full(120, 480))
    write_gate(tmp_path, gate)
    kept = read_gate(tmp_path)
    assert kept is not None
    assert kept.quality == gate.quality
    known = distances(pooled_features(model, pictures(60, 60, 4)), kept.arrays["means"], kept.arrays["precision"])
    strange = RNG.integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
    odd = distances(pooled_features(model, strange), kept.arrays["means"], kept.arrays["precision"])
    assert (known > gate.ood["threshold"]).mean() < 0.1
    assert (odd > gate.ood["threshold"]).mean() > 0.9


def test_a_run_without_a_gate_and_one_with_a_broken_gate(tmp_path: Path) -> None:
    assert read_gate(tmp_path) is None
    (tmp_path / "gate.json").write_text("{")
    with pytest.raises(RunError, match="broken"):
        read_gate(tmp_path)
