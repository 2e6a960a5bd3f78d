"""What a file of weights says about its making: JSON in the header of a safetensors file, read without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fieldlens.runtime.files import records
from fieldlens.train.errors import FitError

KEY = "fieldlens"
"""Of the header's ``__metadata__``."""
_LONGEST_HEADER = 10_000_000


@dataclass(frozen=True)
class Settings:
    """What decides the weights. ``images``: 0 where ``minutes`` decided; ``size``: side in pixels; ``batch``: images a
    step; ``device``: the kind, cpu or cuda."""

    arch: str
    classes: int
    size: int
    seed: int
    images: int
    minutes: float
    batch: int
    device: str


@dataclass(frozen=True)
class Making:
    """``images``: seen, each once; ``right``: share of the last twentieth of them that was classified rightly, before
    the network had learnt from them; ``seconds``: in all, over every start."""

    settings: Settings
    generator: str
    images: int
    right: float
    seconds: float
    command: str
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    source: str = "generated images alone: no photograph and no patient"

    def to_metadata(self) -> dict[str, str]:
        """For the header; its values are text."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}


def making_of(path: Path) -> Making | None:
    """The record in a safetensors file; None where it has none, or is another kind of file. Raises FitError."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: Any = json.loads(file.read(length)) if length < _LONGEST_HEADER else {}
    except (ValueError, RecursionError):
        return None
    except OSError as error:
        raise FitError(f"{path} cannot be read: {error.strerror}", "check the path and its rights") from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return records.read(Making, json.loads(text), path.name, FitError)
    except (ValueError, FitError):  # by another version of the kit: the tensors may be fine
        return None
