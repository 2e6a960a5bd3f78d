"""One epoch of training, and the logits of a set. The inner loop, and nothing else."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fieldlens.train.config import TrainConfig
from fieldlens.train.data.cache import Tensors
from fieldlens.train.epoch.augment import Augment
from fieldlens.train.epoch.batches import batches
from fieldlens.train.epoch.distributed import ALONE, Ranks
from fieldlens.train.epoch.ema import Ema
from fieldlens.train.epoch.freeze import apply_freeze, train_mode
from fieldlens.train.epoch.loss import Loss
from fieldlens.train.epoch.precision import Precision
from fieldlens.train.epoch.sampling import epoch_size, order_of, steps_in
from fieldlens.train.epoch.schedule import learning_rate, make_optimizer, set_learning_rate
from fieldlens.train.errors import FitError
from fieldlens.train.model import normalise

EVALUATION_BATCH = 128


@dataclass(frozen=True)
class EpochResult:
    """Means over the images seen, under augmentation."""

    loss: float
    accuracy: float
    lr: float


def pick_device(name: str) -> torch.device:
    """``auto``: the GPU if there is one. Raises FitError for ``cuda`` without one."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise FitError("train.device is 'cuda', and torch finds no CUDA GPU", "set train.device to auto or cpu")
    number = int(os.environ.get("LOCAL_RANK", "0"))  # torchrun's
    if number >= torch.cuda.device_count():
        raise FitError(f"there are {torch.cuda.device_count()} GPUs for more processes", "lower --nproc-per-node")
    return torch.device("cuda", number)


class Trainer:
    """A network in one stage of its fit: an epoch depends on the state before it, the seed and its number only."""

    def __init__(
        self, model: nn.Module, loss: Loss, augment: Augment, config: TrainConfig,
        ranks: Ranks = ALONE, ema: Ema | None = None, first_epoch: int = 0,
    ) -> None:  # fmt: skip
        """``first_epoch``: how many epochs the stages before have had."""
        apply_freeze(model, config.freeze, config.train_blocks)
        self.model, self.ema = model, ema
        self.optimizer = make_optimizer(model, config)
        self._device = next(model.parameters()).device
        self.precision = Precision(config.precision, self._device)
        self._network = ranks.wrap(model)
        self._loss, self._augment, self._config, self._ranks = loss, augment, config, ranks
        self._first = first_epoch

    def epoch(self, number: int, data: Tensors, advance: Callable[[float], None], drops: int = 0) -> EpochResult:
        """Train on an epoch's images; ``advance(loss)`` is called after each step, ``drops`` is plateau's.

        Raises FitError for a loss that is not finite, naming the batch's images.
        """
        config, ranks = self._config, self._ranks
        steps = steps_in(data.labels, config, ranks.world)
        seed = config.seed * 1_000_003 + number + (ranks.rank << 40)
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout
        train_mode(self.model)
        total, right, rate = 0.0, 0.0, 0.0
        order = order_of(number, data.labels, config, ranks.world)
        for index, batch in enumerate(batches(data, order, ranks.share, self._device)):
            rate = learning_rate(config, (number - self._first) * steps + index, steps, drops)
            set_learning_rate(self.optimizer, rate)
            images = self._augment(batch.images, generator)
            value, logits = self._step(images, batch.targets, data.labels[batch.whole])
            if not math.isfinite(value):
                raise _not_finite(value, number, index, data, batch.chosen)
            total += value * len(batch.chosen)
            right += _right(logits, batch.targets)
            advance(value)
        if ranks.world > 1:
            self._agree()
        total, right, seen = ranks.total(total, right, epoch_size(data.labels, config) / ranks.world)
        return EpochResult(total / seen, right / seen, rate)

    def _step(self, images: Tensor, targets: Tensor, all_labels: npt.NDArray[np.int64]) -> tuple[float, Tensor]:
        """One step, but none on a loss that is not finite; the loss and the logits."""
        with self.precision.autocast():
            logits = self._network(prepared(images, self._config.shrink))
        loss = self._loss(logits.float(), targets)
        value = float(loss.detach())
        if math.isfinite(value):
            if self._ranks.world > 1:  # gradients are averaged over processes: make that the mean over the batch
                whole = self._loss.mass(torch.from_numpy(all_labels).to(self._device))
                loss = loss * (self._loss.mass(targets) / whole * self._ranks.world)
            self.precision.step(loss, self.optimizer, self.model.parameters(), self._config.clip_norm)
            if self.ema:
                self.ema.update(self.model)
        return value, logits.detach()

    def _agree(self) -> None:
        """The running statistics of batch norms, which every process has seen on its share, become their mean."""
        self._ranks.average(self.model.buffers())
        if self.ema:
            self._ranks.average(self.ema.model.buffers())

    def state(self) -> dict[str, Any]:
        """For the resume state, beside the model's and the average's own."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.precision.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load(state["scaler"])


def _right(logits: Tensor, targets: Tensor) -> float:
    """Images classified rightly; with several findings an image counts by its share of right ones."""
    if targets.ndim == 2:
        return float(((logits > 0) == (targets == 1)).float().mean(1).sum())
    return float((logits.argmax(1) == targets).sum())


def prepared(images: Tensor, shrink: int = 1) -> Tensor:
    """uint8 ``[N,S,S,3]`` → what the network takes, at ``1/shrink`` of the side (means of whole blocks)."""
    values = normalise(images)
    return channels_last(functional.avg_pool2d(values, shrink) if shrink > 1 else values)


def channels_last(images: Tensor) -> Tensor:
    """float32 ``[N,3,H,W]`` in NHWC memory order: the kernels' own on CPUs and tensor cores, so no reordering."""
    return images.contiguous(memory_format=torch.channels_last)


def _not_finite(value: float, epoch: int, step: int, data: Tensors, chosen: npt.NDArray[np.int64]) -> FitError:
    names = ", ".join(data.samples[index].id for index in chosen[:8])
    more = f" and {len(chosen) - 8} more" if len(chosen) > 8 else ""
    return FitError(
        f"the loss became {value} in epoch {epoch + 1}, step {step + 1}, on {names}{more}",
        "lower train.lr (a tenth is a good guess), and look at these images",
    )


def predict(
    model: nn.Module, images: npt.NDArray[np.uint8], batch: int = EVALUATION_BATCH, shrink: int = 1
) -> npt.NDArray[np.float32]:
    """Logits float32 ``[n,C]`` of uint8 ``[n,S,S,3]``, in evaluation mode (the mode before is restored)."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.inference_mode():
        parts = [
            model(prepared(torch.from_numpy(images[at : at + batch]).to(device), shrink)).float().cpu().numpy()
            for at in range(0, len(images), batch)
        ]
    model.train(training)
    return np.concatenate(parts)
