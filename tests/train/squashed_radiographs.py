"""What the radiographs of 224×224 px were before: how wide, and which of them PneumoniaMNIST has too.

Their source squashed every file to a square; PneumoniaMNIST cut the central square out instead. So the width over
height at which a squashed file's central square looks most like an image of PneumoniaMNIST is the radiograph's own.
Pixels decide, no label is read. Where nothing looks alike, the image is not in PneumoniaMNIST.

    python -m tests.train.squashed_radiographs chest-xray pneumoniamnist.npz [RUN ...]
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.train.checkpoint import load_run
from fieldlens.train.epoch.loop import predict
from fieldlens.train.metrics import accuracy, auc

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

RATIOS = np.exp(np.linspace(np.log(0.7), np.log(3.0), 44))
"""Width over height that are tried, 3.4% apart."""
SIDE = 28
SAME = 0.955
"""Least correlation of the same image. Between .936 and .971 there is none in the test part."""


def unit(vectors: npt.NDArray[np.generic]) -> Floats:
    """Rows of mean 0 and length 1, so that a product is a correlation."""
    rows = vectors.astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)


def central(squashed: Grey, ratio: float) -> Grey:
    """What the central square of the radiograph, had it been ``ratio`` times as wide as high, is of the squashed file;
    at 28×28."""
    height, width = squashed.shape
    wide, high = round(min(1.0, 1 / ratio) * width), round(min(1.0, ratio) * height)
    left, top = (width - wide) // 2, (height - high) // 2
    cut = squashed[top : top + high, left : left + wide]
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def ratios_of(squashed: Sequence[Grey], cropped: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Each file's width over height, and the correlation found with it. ``cropped``: PneumoniaMNIST's, [n,28,28]."""
    known = unit(cropped.reshape(len(cropped), -1))
    best, found = np.full(len(squashed), -1, np.float32), np.ones(len(squashed), np.float32)
    for ratio in RATIOS:
        looks = unit(np.stack([central(each, float(ratio)).ravel() for each in squashed]))
        alike = (looks @ known.T).max(1)
        better = alike > best
        best[better], found[better] = alike[better], ratio
    return found, best


def _shown(share: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> str:
    both = np.stack([1 - share, share], 1)
    return f"AUC {auc(both, labels):.4f}, accuracy {accuracy(both, labels):.4f}"


def main(folder: Path, arrays: Path, runs: Sequence[str]) -> None:
    """Print the widths of each part and class, what they tell of the class, how many images are the same; then, for
    every run, its figures on the whole test part and on what PneumoniaMNIST's test part has too."""
    table = list(csv.DictReader((folder / "labels.csv").open(encoding="utf-8")))
    with np.load(arrays) as parts:
        known = {"train": np.concatenate((parts["train_images"], parts["val_images"])), "test": parts["test_images"]}
    for part, cropped in known.items():
        rows = [row for row in table if row["split"] == part]
        labels = np.array([int(row["label"] != "normal") for row in rows])
        pictures = [np.asarray(cv2.imread(str(folder / row["image"]), cv2.IMREAD_GRAYSCALE), np.uint8) for row in rows]
        ratios, alike = ratios_of(pictures, cropped)
        same = alike > SAME
        for label, name in enumerate(("normal", "pneumonia")):
            chosen = ratios[labels == label]
            low, middle, high = np.quantile(chosen, (0.05, 0.5, 0.95))
            shared = same[labels == label].sum()
            print(
                f"{part} {name}: {len(chosen)}, {shared} shared, width over height {middle:.2f} [{low:.2f}, {high:.2f}]"
            )
        share = (np.log(ratios) - np.log(RATIOS[0])) / np.log(RATIOS[-1] / RATIOS[0])
        print(f"{part}: the width alone has an AUC of {auc(np.stack([1 - share, share], 1), labels):.3f}")
    for name in runs:
        run = load_run(Path(name))
        preprocess = Preprocess(run.config.preprocess.steps)
        images = np.stack([np.array(preprocess(np.repeat(each[..., None], 3, 2))) for each in pictures])
        logits = predict(run.model, images).astype(np.float64)
        share = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        print(f"{name}: all {_shown(share, labels)}; shared {_shown(share[same], labels[same])}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
