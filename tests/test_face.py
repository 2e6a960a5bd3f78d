"""The face of the kit: `import fieldlens` is quick, light, and not to be confused with a user's own files."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import fieldlens

ROOT = Path(__file__).resolve().parents[1]
IMPORT_LIMIT_S = 0.05


def python(code: str, folder: Path = ROOT) -> str:
    """What ``code`` prints in a fresh process in ``folder``, with the checkout on its path."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_importing_it_takes_no_time() -> None:
    code = "import time; began = time.perf_counter(); import fieldlens; print(time.perf_counter() - began)"
    assert statistics.median(float(python(code)) for _ in range(5)) < IMPORT_LIMIT_S


def test_importing_it_imports_no_room_and_no_library() -> None:
    loaded = python("import sys, fieldlens; print(*sys.modules)").split()
    assert "fieldlens" in loaded
    assert not [name for name in loaded if name.startswith("fieldlens.") or name in {"numpy", "cv2", "torch"}]


def test_its_names_are_those_of_the_rooms() -> None:
    from fieldlens.runtime.bundle.open import open_bundle
    from fieldlens.runtime.errors import KitError

    assert fieldlens.open_bundle is open_bundle
    assert fieldlens.KitError is KitError
    assert set(fieldlens.__all__) == set(dir(fieldlens))
    assert all(getattr(fieldlens, name) for name in fieldlens.__all__)


def test_a_name_that_it_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = fieldlens.lode


def test_a_users_own_train_and_runtime_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("MINE = 1\n")
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime/__init__.py").write_text("MINE = 2\n")
    code = (
        "import runtime, train\nfrom fieldlens import open_bundle\nimport fieldlens.train.config\n"
        "print(train.MINE, runtime.MINE, open_bundle.__module__, fieldlens.train.config.__name__)"
    )
    assert python(code, tmp_path).split() == ["1", "2", "fieldlens.runtime.bundle.open", "fieldlens.train.config"]


def test_its_version_is_the_projects() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^version = "(.*)"$', text, flags=re.MULTILINE)[1] == fieldlens.__version__  # type: ignore[index]
