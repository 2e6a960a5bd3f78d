"""docs/quickstart.ipynb: stored without outputs, and every cell of it runs."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs/quickstart.ipynb"
TIMEOUT_S = 2400
"""Some minutes on two idle cores; a busy machine may need several times that."""

RUN_CELLS = """
import ast, json, sys
for number, text in enumerate(json.load(sys.stdin)):
    exec(compile(ast.parse(text), f"cell {number}", "exec"), globals())
import matplotlib.pyplot as plt
for number in plt.get_fignums():
    plt.figure(number).savefig(f"figure-{number}.png")
"""
"""What a kernel does with them, as far as these cells need it: one namespace, one after the other, plots drawn.
(nbclient would start a real kernel, with some twenty packages more in every developer's environment.)"""


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def code() -> list[str]:
    return ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code"]


def test_it_holds_no_outputs() -> None:
    assert not [cell["id"] for cell in cells() if cell.get("outputs") or cell.get("execution_count")]


def test_its_code_is_plain_python_that_shows_the_face() -> None:
    """No line magics: a cell can be copied into a script."""
    text = "\n".join(code())
    imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert "fieldlens" in imported
    for call in ("load(", "model(", "model.many(", ".heatmap()", ".overlay()", ".top("):
        assert call in text


@pytest.mark.full
def test_every_cell_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS],
        input=json.dumps(code()),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    drawn = sorted(tmp_path.glob("figure-*.png"))
    assert len(drawn) == sum("plt.subplots" in cell for cell in code())
    assert all(path.stat().st_size > 5000 for path in drawn)
