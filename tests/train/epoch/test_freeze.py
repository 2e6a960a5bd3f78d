from __future__ import annotations

import pytest
from torch import nn

from fieldlens.runtime.errors import ConfigError
from fieldlens.train.epoch.freeze import apply_freeze, train_mode
from fieldlens.train.model import build_model


def trained(model: nn.Module) -> set[str]:
    """Names down to the block: ``layer4.1``, ``fc``."""
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {".".join(name.split(".")[: 2 if name.startswith("layer") else 1]) for name in names}


def test_policies_train_what_they_say() -> None:
    model = build_model("resnet18", 2, dropout=0.2)
    apply_freeze(model, "head")
    assert trained(model) == {"fc"}
    apply_freeze(model, "blocks", 3)
    assert trained(model) == {"fc", "layer4.1", "layer4.0", "layer3.1"}
    apply_freeze(model, "none")
    assert {"conv1", "bn1", "layer1.0", "fc"} <= trained(model)


@pytest.mark.parametrize(("arch", "blocks"), [("resnet18", 8), ("resnet34", 16), ("resnet50", 16)])
def test_all_blocks_leave_the_stem_alone_and_more_are_refused(arch: str, blocks: int) -> None:
    model = build_model(arch, 2)
    apply_freeze(model, "blocks", blocks)
    assert not {"conv1", "bn1"} & trained(model)
    assert len(trained(model)) == blocks + 1
    with pytest.raises(ConfigError, match=f"has {blocks}"):
        apply_freeze(model, "blocks", blocks + 1)


def test_frozen_norms_do_not_learn_their_statistics() -> None:
    model = build_model("resnet18", 2)
    apply_freeze(model, "blocks", 1)
    train_mode(model)
    learning = {name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d) and m.training}
    assert learning == {"layer4.1.bn1", "layer4.1.bn2"}
    assert model.get_submodule("fc").training
