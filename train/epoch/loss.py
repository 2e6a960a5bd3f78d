"""What is minimised: cross-entropy, focal loss or binary cross-entropy, with weights from the training labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from fieldlens.train.config import TrainConfig


@dataclass(frozen=True)
class Loss:
    """``loss(logits [n,C], targets)`` is the mean over a batch; targets: int64 ``[n]``, or 0/1 ``[n,C]`` of findings.

    ``weights`` ``[C]``: of a class; with several findings an image, of a finding that is present.
    """

    kind: str
    weights: Tensor | None = None
    smoothing: float = 0.0
    gamma: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar, in nats."""
        if targets.ndim == 2:
            return self._of_findings(logits, targets)
        if self.kind != "focal":
            return functional.cross_entropy(logits, targets, weight=self.weights, label_smoothing=self.smoothing)
        # Lin et al., Focal Loss for Dense Object Detection, ICCV 2017: (1 - p)^gamma x cross-entropy.
        each = functional.cross_entropy(logits, targets, self.weights, reduction="none", label_smoothing=self.smoothing)
        right = logits.softmax(1).gather(1, targets[:, None])[:, 0]
        return ((1 - right) ** self.gamma * each).sum() / self.mass(targets)

    def _of_findings(self, logits: Tensor, targets: Tensor) -> Tensor:
        truth = targets.to(logits.dtype)
        soft = truth * (1 - self.smoothing) + self.smoothing / 2
        if self.kind != "focal":
            return functional.binary_cross_entropy_with_logits(logits, soft, pos_weight=self.weights)
        each = functional.binary_cross_entropy_with_logits(logits, soft, pos_weight=self.weights, reduction="none")
        return ((logits.sigmoid() - truth).abs() ** self.gamma * each).mean()

    def mass(self, targets: Tensor) -> Tensor:
        """What the mean divides by, scalar: several processes weigh their shares of a batch with it."""
        if targets.ndim == 2 or self.weights is None:
            return torch.tensor(float(targets.numel()), device=targets.device)
        return self.weights[targets].sum()


def make_loss(config: TrainConfig, labels: npt.NDArray[np.int64], classes: int, device: torch.device) -> Loss:
    """From the training labels ``[n]`` or ``[n,C]``.

    ``balanced`` weighs a class by its inverse frequency with mean 1 over the images; a finding by absent / present.
    Where the sampling has balanced the classes already, there is nothing left to weigh.
    """
    several = labels.ndim == 2
    kind = {True: "bce", False: "cross-entropy"}[several] if config.loss == "auto" else config.loss
    weights = None
    if config.class_weights == "balanced" and config.sampling == "none":
        counts = labels.sum(axis=0) if several else np.bincount(labels, minlength=classes)
        present = np.maximum(counts, 1)
        values = (len(labels) - counts) / present if several else len(labels) / (classes * present)
        weights = torch.tensor(values, dtype=torch.float32, device=device)
    return Loss(kind, weights, config.label_smoothing, config.focal_gamma)
