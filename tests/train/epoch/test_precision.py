from __future__ import annotations

import pytest
import torch

from fieldlens.runtime.errors import ConfigError
from fieldlens.train.epoch.precision import Precision

CPU = torch.device("cpu")


def test_a_cpu_computes_in_fp32_unless_told() -> None:
    assert Precision("auto", CPU).name == "fp32"
    product = []
    for name in ("auto", "bf16"):
        with Precision(name, CPU).autocast():
            product.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    assert product == [torch.float32, torch.bfloat16]


def test_fp16_is_for_gpus() -> None:
    with pytest.raises(ConfigError, match="CPUs only emulate"):
        Precision("fp16", CPU)


def test_the_scaler_has_no_state_where_nothing_is_scaled() -> None:
    precision = Precision("fp32", CPU)
    assert precision.state() == {}
    precision.load({})


def test_a_step_is_the_optimisers() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    Precision("auto", CPU).step((weight**2).sum(), optimizer, [weight], 0.0)
    assert float(weight.detach()) == pytest.approx(3.0 - 0.5 * 6.0)
    Precision("auto", CPU).step((weight * 100).sum(), optimizer, [weight], 0.1)
    assert float(weight.detach()) == pytest.approx(0.0 - 0.5 * 0.1)


@pytest.mark.parametrize(
    ("flags", "name"), [({"avx2", "avx512_bf16"}, "bf16"), ({"asimd", "bf16"}, "bf16"), ({"avx2"}, "fp32")]
)
def test_mixed_takes_what_the_cpu_has_instructions_for(
    flags: set[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldlens.train.epoch.precision.cpu_flags", lambda: flags)
    assert Precision("mixed", CPU).name == name
    assert Precision("auto", CPU).name == "fp32"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_fp16_scales_gradients_that_would_vanish_and_skips_a_step_that_overflows() -> None:
    device = torch.device("cuda")
    precision = Precision("fp16", device)
    weight = torch.nn.Parameter(torch.zeros(64, 64, device=device))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    before = weight.detach().clone()
    with precision.autocast():
        loss = (torch.ones(1, 64, device=device) @ weight).float().sum() * 1e-9  # below FP16's smallest number
    precision.step(loss, optimizer, [weight], 0.0)
    assert torch.allclose(before - weight.detach(), torch.full_like(before, 1e-9), rtol=0.05)
    with precision.autocast():
        loss = (torch.ones(1, 64, device=device) @ weight).float().sum() * 1e30
    before = weight.detach().clone()
    precision.step(loss, optimizer, [weight], 0.0)
    assert torch.equal(weight.detach(), before)
