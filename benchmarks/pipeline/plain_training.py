"""A plain torchvision training loop, as tutorials write it: files, transforms, DataLoader, cross-entropy, AdamW.

Started as its own process by ``training``: ``python -m fieldlens.benchmarks.pipeline.plain_training '{"arch": …}'``.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

ROTATE_DEGREES, ZOOM, SHIFT, BRIGHTNESS, CONTRAST = 10, 0.1, 0.06, 0.15, 0.15
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Files(Dataset[tuple[Tensor, int]]):
    """Image files with labels, opened again in every epoch."""

    def __init__(self, root: Path, rows: Sequence[dict[str, str]], size: int) -> None:
        names = sorted({row["label"] for row in rows})
        self.classes = len(names)
        self._items = [(root / row["image"], names.index(row["label"])) for row in rows]
        self._transform = transforms.Compose(
            [
                transforms.Resize(size),
                transforms.CenterCrop(size),
                transforms.RandomAffine(ROTATE_DEGREES, (SHIFT, SHIFT), (1 / (1 + ZOOM), 1 + ZOOM)),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(BRIGHTNESS, CONTRAST),
                transforms.ToTensor(),
                transforms.Normalize(_MEAN, _STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self._items[index]
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        return self._transform(picture), label


def train(task: dict[str, Any]) -> list[float]:
    """All epochs; returns images a second of each. As many loading processes as threads, kept between epochs."""
    torch.manual_seed(0)
    torch.set_num_threads(task["threads"])
    with Path(task["split"]).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    data = Files(Path(task["data"]), rows, task["size"])
    loader = DataLoader(
        data, task["batch_size"], shuffle=True, drop_last=True, num_workers=task["threads"], persistent_workers=True
    )
    model: nn.Module = models.get_model(task["arch"], weights=None, num_classes=data.classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()
    rates = []
    model.train()
    for _ in range(task["epochs"]):
        began, seen = time.perf_counter(), 0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = loss_function(model(images), labels)
            loss.backward()
            optimizer.step()
            seen += len(images)
        rates.append(seen / (time.perf_counter() - began))
    return rates


if __name__ == "__main__":
    print(json.dumps({"images_per_s": train(json.loads(sys.argv[1]))}))
