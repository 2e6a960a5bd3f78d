from __future__ import annotations

import re
import subprocess

import pytest

from fieldlens.train import provenance


def test_versions_of_what_the_result_depends_on() -> None:
    found = provenance.versions()
    assert {"python", "torch", "numpy"} <= set(found)
    assert all(found.values())


def test_the_commit_is_hex_or_none() -> None:
    found = provenance.commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found)


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert provenance.commit() is None
