"""``torchrun … -m tests.train.witness FOLDER fit …``: a fit that leaves in FOLDER what every rank has seen and become.

``rank-N.pt``: ``shown`` (index lists, one a step, of all epochs) and ``model`` (its state after the last epoch).
With ``FAIL`` in the environment, that rank's third step has a loss that is not finite.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fieldlens.runtime.boundary import run_cli
from fieldlens.train.cli import main
from fieldlens.train.data.cache import Tensors
from fieldlens.train.epoch.distributed import Ranks, started_as
from fieldlens.train.epoch.loop import EpochResult, Trainer
from fieldlens.train.epoch.loss import Loss

Advance = Callable[[float], None]
RANK = started_as().rank
shown: list[list[int]] = []


def watch(folder: Path) -> None:
    """Around the methods that tell who is shown what, and what came of it."""
    share, epoch, call = Ranks.share, Trainer.epoch, Loss.__call__

    def noted_share(self: Ranks, chosen: Any) -> Any:
        mine = share(self, chosen)
        shown.append(mine.tolist())
        return mine

    def noted_epoch(self: Trainer, number: int, data: Tensors, advance: Advance, drops: int = 0) -> EpochResult:
        result = epoch(self, number, data, advance, drops)
        torch.save({"shown": shown, "model": self.model.state_dict()}, folder / f"rank-{RANK}.pt")
        return result

    def failing(self: Loss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        value = call(self, logits, targets)
        return value * float("nan") if len(shown) == 3 else value

    Ranks.share, Trainer.epoch = noted_share, noted_epoch  # type: ignore[method-assign]
    if os.environ.get("FAIL") == str(RANK):
        Loss.__call__ = failing  # type: ignore[method-assign]


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
    sys.exit(run_cli(lambda: main(sys.argv[2:])))
