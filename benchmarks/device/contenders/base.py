"""What a contender receives, and what it returns. Imports nothing heavy: a worker's start-up is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ContenderOptions:
    """``model``: the bundle's file that it runs, for those that know nothing of bundles.

    Ours: ``backend`` and ``precision``. OpenVINO's: ``hint``, the precision to compute in; empty: its own default.
    ``one_by_one``: without working ahead. torch's: ``layout``, and ``compile``, where frozen is Inductor's option for
    inference.
    """

    model: str = "fp32"
    backend: str = ""
    precision: str = ""
    hint: Literal["", "f32", "bf16"] = ""
    layout: Literal["contiguous", "channels-last"] = "contiguous"
    compile: Literal["no", "yes", "frozen"] = "no"
    one_by_one: bool = False


@dataclass(frozen=True)
class Job:
    """One contender's task. Paths are text because a job travels as JSON.

    ``models``: precision → ONNX file, for contenders that know nothing of bundles. ``weights``: the same network as a
    torchvision state dict. ``steps``: the manifest's preprocess. ``cache``: an own folder for what a library
    compiles. ``state``: this device's state folder, with TensorRT's engines, or empty.
    """

    bundle: str
    models: dict[str, str]
    weights: str
    arch: str
    steps: list[dict[str, Any]]
    classes: int
    temperature: float
    task: str
    threads: int
    cache: str
    state: str
    options: ContenderOptions

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Job:
        """What ``dataclasses.asdict`` made of one."""
        return cls(**{**value, "options": ContenderOptions(**value["options"])})


Answer = Callable[[bytes], "list[float] | None"]
"""An encoded image → class probabilities in the order of the logits; None from a floor, which gives no answer."""


@dataclass(frozen=True)
class Loaded:
    """A contender ready to answer; ``runs`` says in words what the library reports that it runs."""

    answer: Answer
    runs: str
    many: Callable[[list[str]], None] | None = None
    """Answers image files, as many at a time as it likes; only those that are timed for it have one."""


def no_single_answer(data: bytes) -> None:
    """Of a contender that only takes many images at a time."""
