"""The bundle's network back in torch, batch norm included."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import nn

from fieldlens.benchmarks.device.compare.stage import Stage
from fieldlens.benchmarks.device.contenders.catalogue import pick
from fieldlens.benchmarks.torch_peers import torch_front
from fieldlens.train.model import normalise


def test_torch_computes_what_the_file_computes(stage: Stage) -> None:
    job = stage.job(pick(["documents"])[-1], 1)
    network = torch_front.network(job)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == 20
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    with torch.inference_mode():
        ours = network(normalise(torch.from_numpy(images))).numpy()
    session = onnxruntime.InferenceSession(job.models["fp32"], providers=["CPUExecutionProvider"])
    theirs = session.run(["logits"], {"image": images})[0]
    assert stage.arch == "resnet18"
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.ptp(theirs, axis=0).max() > 0.01  # the images are told apart: equality means something
