"""Training and conversion beside the clock."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fieldlens.benchmarks.device.machine.quiet import Quiet
from fieldlens.benchmarks.pipeline import conversion, training
from fieldlens.benchmarks.record.page import render
from fieldlens.benchmarks.record.page_parts import PARTS
from fieldlens.train.recipe import load_recipe


def test_the_recipe_is_one_that_fit_takes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(training.recipe_of(training.TrainingSettings(epochs=2), 2))
    config = load_recipe(path, [])
    assert (config.train.epochs, config.train.batch_size, config.model.arch) == (2, 32, "resnet18")


def test_every_step_of_a_conversion_is_timed(tmp_path: Path) -> None:
    settings = conversion.ConversionSettings("resnet18", 32, 240, rounds=1, epochs=1)
    timed = conversion.measure(settings, tmp_path, 0.0)
    names = " ".join(timed.seconds)
    for step in ("export", "fp16", "calibrate", "int8.onnx", "int8-trt8.onnx", "int8-cpu.onnx", "evaluate", "golden"):
        assert step in names
    assert "read the run and its data" in names
    assert 0 < sum(sum(values) for values in timed.seconds.values()) < timed.whole_s[0]
    assert "the whole process" in conversion.show(timed)
    page = PARTS["conversion"](json.loads(json.dumps(timed.to_json())))
    assert page.count("\n| ") == len(timed.seconds) + 2
    assert f"| the whole process | {timed.whole_s[0]:.1f} |" in page


def test_the_share_of_what_is_possible_counts_decoding() -> None:
    rates = {
        "train fit": training.Rates(images_per_s=[50, 100, 100, 100], decode_s=[1.0, 0.0]),
        "plain torchvision loop": training.Rates(images_per_s=[80] * 4),
        "preloaded tensors": training.Rates(images_per_s=[100, 100, 200, 200]),
    }
    for name, seconds in (("train fit", 8.0), ("plain torchvision loop", 10.0), ("preloaded tensors", 4.0)):
        rates[name].whole_s += [seconds, seconds]
    found = training.Training(training.TrainingSettings(epochs=2, rounds=2), 100, rates, Quiet(2), conditions={})
    assert found.shares == pytest.approx([2 / (1 + 2 + 1), 1 / 2])
    page = PARTS["training"](json.loads(json.dumps(found.to_json())))
    assert "| train fit | 100 | 25 |" in page
    assert "reach 50.0% of forward and backward on preloaded tensors (turns: 50.0% to 50.0%)" in page
    assert "the reference loop wandered 0.0%" in page


@pytest.mark.full
def test_training_at_224_reaches_nine_tenths_of_forward_and_backward(tmp_path: Path) -> None:
    settings = training.TrainingSettings(size=224, images=120, epochs=2, rounds=3)
    found = training.measure(settings, tmp_path, 2.0, training.CONTENDERS[::2])
    print(found.shares)
    assert float(np.median(found.shares)) >= 0.9


@pytest.mark.full
def test_fit_and_a_plain_loop_take_turns(tmp_path: Path) -> None:
    found = training.measure(training.TrainingSettings(images=90, epochs=2, rounds=2), tmp_path, 0.0)
    assert found.trained_on > 40
    assert len(found.rates["train fit"].decode_s) == len(found.shares) == 2
    for rates in found.rates.values():
        assert len(rates.whole_s) == 2
        assert len(rates.images_per_s) == 4
        assert min(rates.images_per_s) > 1
    assert "times as fast" in training.show(found)


def test_a_page_without_devices_says_so(tmp_path: Path) -> None:
    assert "None recorded yet" in render(tmp_path, tmp_path / "page.md")
