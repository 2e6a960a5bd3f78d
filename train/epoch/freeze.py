"""Which layers are trained: all, the head alone, or the head and the last residual blocks."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fieldlens.runtime.errors import ConfigError

_LAYERS = ("layer1", "layer2", "layer3", "layer4")


def apply_freeze(model: nn.Module, policy: str, blocks: int = 0) -> None:
    """Set ``requires_grad`` throughout a ResNet: ``none``, ``head``, or ``blocks`` with how many from the end.

    Raises ConfigError for more blocks than there are.
    """
    trained = [model]
    if policy != "none":
        trained = [model.get_submodule("fc")]
    if policy == "blocks":
        all_blocks = [block for name in _LAYERS for block in model.get_submodule(name).children()]
        if blocks > len(all_blocks):
            raise ConfigError(f"train_blocks is {blocks}; this network has {len(all_blocks)}", 'or freeze = "none"')
        trained += all_blocks[len(all_blocks) - blocks :]
    model.requires_grad_(False)
    for part in trained:
        part.requires_grad_(True)


def train_mode(model: nn.Module) -> None:
    """Training mode, but for frozen batch norms: their statistics belong to the weights that are frozen with them."""
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not any(p.requires_grad for p in module.parameters()):
            module.eval()
