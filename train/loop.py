"""One epoch of training, and the logits of a set. The inner loop, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from train.augment import Augment
from train.config import TrainConfig
from train.dataset import Tensors
from train.errors import FitError
from train.model import normalise
from train.schedule import learning_rate, set_learning_rate

EVALUATION_BATCH = 128

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class EpochResult:
    """Means over the pictures seen, under augmentation."""

    loss: float
    accuracy: float
    lr: float


def pick_device(name: str) -> torch.device:
    """``auto``: the GPU if there is one. Raises FitError for ``cuda`` without one."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise FitError("train.device is 'cuda', and torch finds no CUDA GPU", "set train.device to auto or cpu")
    return torch.device("cuda")


def make_loss(config: TrainConfig, labels: npt.NDArray[np.int64], classes: int, device: torch.device) -> Loss:
    """Cross-entropy; ``balanced`` weighs a class by its inverse frequency, with mean weight 1 over the pictures."""
    weights = None
    if config.class_weights == "balanced":
        counts = np.bincount(labels, minlength=classes)
        weights = torch.tensor(len(labels) / (classes * counts), dtype=torch.float32, device=device)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=config.label_smoothing)

    return loss


def order_of(epoch: int, count: int, config: TrainConfig) -> Iterator[npt.NDArray[np.int64]]:
    """Index batches of one epoch, shuffled by (seed, epoch) alone.

    A last batch of one picture joins the batch before it: batch norm cannot train on a single one.
    """
    order = np.random.default_rng([config.seed, epoch]).permutation(count)
    cuts = list(range(config.batch_size, count, config.batch_size))
    if cuts and count - cuts[-1] == 1:
        cuts.pop()
    yield from np.split(order, cuts)


def steps_in(count: int, config: TrainConfig) -> int:
    """Batches in an epoch."""
    return sum(1 for _ in order_of(0, count, config))


class Trainer:
    """A network being fitted: an epoch depends on the state before it, the seed and the epoch's number only."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss, augment: Augment, config: TrainConfig
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self._loss = loss
        self._augment = augment
        self._config = config
        self._device = next(model.parameters()).device

    def epoch(self, number: int, data: Tensors, advance: Callable[[float], None]) -> EpochResult:
        """Train on every picture once; ``advance(loss)`` is called after each step.

        Raises FitError for a loss that is not finite, naming the batch's pictures.
        """
        config = self._config
        steps = steps_in(len(data), config)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + number)
        torch.manual_seed(config.seed * 1_000_003 + number)  # dropout
        self.model.train()
        total, right, rate = 0.0, 0, 0.0
        for index, chosen in enumerate(order_of(number, len(data), config)):
            rate = learning_rate(config, number * steps + index, steps)
            set_learning_rate(self.optimizer, rate)
            images = self._augment(torch.from_numpy(data.images[chosen]).to(self._device), generator)
            targets = torch.from_numpy(data.labels[chosen]).to(self._device)
            logits = self.model(channels_last(normalise(images)))
            loss = self._loss(logits, targets)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise _not_finite(value, number, index, data, chosen)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += value * len(chosen)
            right += int((logits.detach().argmax(1) == targets).sum())
            advance(value)
        return EpochResult(total / len(data), right / len(data), rate)


def channels_last(images: Tensor) -> Tensor:
    """float32 ``[N,3,H,W]`` in NHWC memory order: the kernels' own on CPUs and tensor cores, so no reordering."""
    return images.contiguous(memory_format=torch.channels_last)


def _not_finite(value: float, epoch: int, step: int, data: Tensors, chosen: npt.NDArray[np.int64]) -> FitError:
    names = ", ".join(data.samples[index].id for index in chosen[:8])
    more = f" and {len(chosen) - 8} more" if len(chosen) > 8 else ""
    return FitError(
        f"the loss became {value} in epoch {epoch + 1}, step {step + 1}, on {names}{more}",
        "lower train.lr (a tenth is a good guess), and look at these pictures",
    )


def predict(model: nn.Module, images: npt.NDArray[np.uint8], batch: int = EVALUATION_BATCH) -> npt.NDArray[np.float32]:
    """Logits float32 ``[n,C]`` of uint8 ``[n,S,S,3]``, in evaluation mode (the mode before is restored)."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.inference_mode():
        parts = [
            model(channels_last(normalise(torch.from_numpy(images[at : at + batch]).to(device)))).float().cpu().numpy()
            for at in range(0, len(images), batch)
        ]
    model.train(training)
    return np.concatenate(parts)
