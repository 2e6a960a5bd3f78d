"""Small real data in every form that the trainer reads, made here; a tiny recipe; one tiny finished run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from fieldlens.train.config import Config
from fieldlens.train.recipe import config_from_json

SIDE = 40


def picture(label: int, seed: int, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """RGB noise with a bright square (label 1) or without (label 0): learnable in a few steps."""
    random = np.random.default_rng(seed)
    pixels = random.integers(40, 120, (side, side, 3), dtype=np.uint8)
    if label:
        pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] += 120
    return pixels


def write_image(path: Path, label: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(picture(label, seed), cv2.COLOR_RGB2BGR))


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Networks of seconds gain nothing from threads that wait for each other; the long tests take theirs back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For each module, so that other rooms' tests keep theirs."""
    with single_thread():
        yield


@pytest.fixture
def table_data(tmp_path: Path) -> Path:
    """``labels.csv`` with group and site columns: 20 subjects of 3 images, two classes, two sites."""
    return make_table_data(tmp_path / "table data")


def make_table_data(root: Path, subjects: int = 20) -> Path:
    lines = ["image,label,group,site"]
    for subject in range(subjects):
        label = subject % 2
        for shot in range(3):
            name = f"images/{subject:02d}-{shot}.png"
            write_image(root / name, label, subject * 10 + shot)
            lines.append(f"{name},{('healthy', 'ill')[label]},s{subject},{('hill', 'river')[subject % 4 // 2]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def folder_data(tmp_path: Path) -> Path:
    """A folder per class: ``a`` and ``b``, 12 images each."""
    root = tmp_path / "folders"
    for label, name in enumerate("ab"):
        for index in range(12):
            write_image(root / name / f"{index}.png", label, label * 100 + index)
    return root


@pytest.fixture
def npz_data(tmp_path: Path) -> Path:
    """MedMNIST-style: 24, 8 and 8 grey images of 28×28, labels 0 and 1 as ``[n,1]``."""
    arrays = {}
    for seed, (part, count) in enumerate({"train": 24, "val": 8, "test": 8}.items()):
        labels = np.arange(count) % 2
        arrays[f"{part}_images"] = np.stack(
            [picture(int(x), 1000 * seed + i, 28)[..., 0] for i, x in enumerate(labels)]
        )
        arrays[f"{part}_labels"] = labels[:, None].astype(np.uint8)
    path = tmp_path / "tiny.npz"
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


Configure = Callable[..., Config]


def make_config(**sections: dict[str, object]) -> Config:
    """A recipe for seconds: 32 pixels, 2 epochs, small batches; keyword sections are merged over it."""
    base: dict[str, dict[str, object]] = {
        "recipe": {"name": "tiny"},
        "data": {"val_fraction": 0.3, "test_fraction": 0.2},
        "preprocess": {"size": 32},
        "train": {"epochs": 2, "batch_size": 8, "schedule": "constant", "seed": 3, "device": "cpu"},
        "augment": {"rotate_degrees": 10, "flip_horizontal": True},
        "decision": {"positive": ["ill"], "rounds": 50},
    }
    for name, values in sections.items():
        base[name] = {**base.get(name, {}), **values}
    return config_from_json(base)


@pytest.fixture(scope="session")
def configure() -> Configure:
    return make_config


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, fitted once for all tests; its data is beside it in ``data``. Not to be changed."""
    from fieldlens.train.fitting.fit import fit

    root = tmp_path_factory.mktemp("shared")
    data = make_table_data(root / "data")
    with single_thread():  # a session's fixture comes before a module's
        fit(make_config(), data, root / "run")
    return root / "run"


@pytest.fixture
def finished_run(shared_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be broken or added to."""
    import shutil

    return Path(shutil.copytree(shared_run, tmp_path / "run"))
