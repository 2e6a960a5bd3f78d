from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fieldlens.train.pretraining.record import KEY, Making, Settings, making_of

MADE = Making(Settings("resnet18", 4, 32, 0, 160, 0.0, 16, "cpu"), "rings", 160, 0.5, 1.5, "fieldlens train pretrain")


def written(path: Path, metadata: dict[str, str] | None) -> Path:
    save_file({"a": torch.zeros(2)}, path, metadata)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert making_of(written(tmp_path / "w", MADE.to_metadata())) == MADE


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {KEY: "{"}, {KEY: json.dumps({"settings": 1})}])
def test_files_of_others_have_no_record(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    assert making_of(written(tmp_path / "w", metadata)) is None


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"PK\x03\x04", b"\x10\0\0\0\0\0\0\0not JSON at all"])
def test_other_kinds_of_files_have_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    assert making_of(tmp_path / "w") is None
