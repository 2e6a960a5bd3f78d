from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from fieldlens.runtime.errors import ConfigError
from fieldlens.train.config import Config, DataConfig, DecisionConfig, TrainConfig

PAGE = Path(__file__).resolve().parents[2] / "docs/training.md"


def test_every_key_is_in_the_documentation_with_its_default() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = []
    for section in dataclasses.fields(Config):
        if section.name == "preprocess":
            continue
        table = text.partition(f"\n`[{section.name}]`\n")[2].partition("\n`[")[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", table, flags=re.MULTILINE))
        for key, value in Config().to_json()[section.name].items():
            shown = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
            shown = shown or (f'"{value}"' if isinstance(value, str) else str(value).replace("'", '"'))
            if rows.get(key, "").replace("\\|", "|") != shown:  # a bar ends a cell unless it is escaped
                missing.append(f"{section.name}.{key}: {shown} (the page says {rows.get(key)})")
    assert not missing


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().train.epochs = 3  # type: ignore[misc]


def test_its_json_shares_nothing_with_it() -> None:
    config = Config(data=DataConfig(labels={"a": "b"}))
    config.to_json()["data"]["labels"]["a"] = "c"
    assert config.data.labels == {"a": "b"}


@pytest.mark.parametrize(
    "make",
    [lambda: TrainConfig(lr=0.0), lambda: DataConfig(test_fraction=0.9), lambda: DecisionConfig(band=1.0)],
)
def test_ranges_hold_without_a_file_too(make: object) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match="must be between"):
        make()
