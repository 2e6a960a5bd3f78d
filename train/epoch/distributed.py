"""Several processes on one machine, started by ``torchrun``: who they are, and the few things they tell each other.

Every process takes its share of each batch, torch's DistributedDataParallel adds up the gradients, and rank 0 alone
decodes, judges, writes and prints. On GPUs batch norm sees the whole batch (SyncBatchNorm); on CPUs, where torch has
no such layer, each process normalises by its share, and the running statistics are averaged after every epoch.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fieldlens.runtime.errors import ConfigError
from fieldlens.train.errors import FitError

T = TypeVar("T")

PATIENCE = datetime.timedelta(hours=12)
"""How long a process waits for another: rank 0 decodes and judges alone. One that fails is noticed at once."""


@dataclass(frozen=True)
class Ranks:
    """This process among all. Alone, every method returns at once."""

    rank: int = 0
    world: int = 1

    @property
    def main(self) -> bool:
        """The one that decodes, judges, writes and prints."""
        return self.rank == 0

    def share(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """This process's images of a batch; the shares are disjoint and together the batch."""
        return chosen[self.rank :: self.world]

    def same(self, value: T) -> T:
        """Rank 0's value, for all."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def total(self, *values: float) -> list[float]:
        """Sums over all processes."""
        if self.world == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=_wire())
        dist.all_reduce(sums)
        return [float(value) for value in sums]

    def average(self, tensors: Iterable[Tensor]) -> None:
        """In place, of those that are floating-point."""
        if self.world > 1:
            for tensor in tensors:
                if tensor.is_floating_point():
                    dist.all_reduce(tensor)
                    tensor /= self.world

    def wait(self) -> None:
        """Until all are here."""
        self.total(0.0)

    def synchronised(self, model: nn.Module) -> nn.Module:
        """On GPUs every batch norm sees the whole batch; names and weights stay."""
        if self.world == 1 or _wire().type == "cpu":
            return model
        whole: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return whole

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose backward pass adds up all processes' gradients; alone, the model itself."""
        if self.world == 1:
            return model
        return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)


ALONE = Ranks()
"""One process."""


def _wire() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def started_as() -> Ranks:
    """From torchrun's environment. Raises ConfigError: more than one machine."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world != int(os.environ.get("LOCAL_WORLD_SIZE", world)):
        raise ConfigError("torchrun spans several machines", "the kit trains on one: torchrun --nproc-per-node N")
    return Ranks(int(os.environ.get("RANK", "0")), world)


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Meet the other processes (nccl on GPUs, else gloo); rank 0 alone keeps its standard output.

    Raises FitError where another process has ended early.
    """
    ranks = started_as()
    if ranks.world == 1:
        yield ranks
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        with contextlib.ExitStack() as stack:
            if not ranks.main:
                silence = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(silence))
            yield ranks
    except RuntimeError as error:
        if not isinstance(error, dist.DistBackendError) and "gloo" not in str(error):
            raise
        raise FitError(f"rank {ranks.rank}: another process has ended", "its own error says why") from error
    finally:
        dist.destroy_process_group()
