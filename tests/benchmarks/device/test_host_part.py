"""What only a host can do says so where it cannot."""

from __future__ import annotations

import builtins
from types import ModuleType
from typing import Any

import pytest

from fieldlens.benchmarks.device.host_part import HostOnly, host_part


def test_it_is_loaded_where_its_libraries_are() -> None:
    assert callable(host_part("charts", "bars.png").bars)


def test_a_missing_library_is_named_with_the_part_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_torch(name: str, *rest: Any, **more: Any) -> ModuleType:
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *rest, **more)

    monkeypatch.delitem(__import__("sys").modules, "fieldlens.benchmarks.networks.throwaway", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(HostOnly, match="--random belongs to the host: torch is missing here") as caught:
        host_part("networks.throwaway", "--random")
    assert "fieldlens[host]" in caught.value.hint
