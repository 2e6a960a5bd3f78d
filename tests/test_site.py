"""The site builds from docs/ without a network, and a link or an anchor that leads nowhere is an error."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Sphinx, warnings as errors, with everything it writes under ``out``."""
    strict = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-d", str(out / "trees")]
    command = [sys.executable, "-m", "sphinx", *strict, str(source), str(out / "site")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_builds_strictly(tmp_path: Path) -> None:
    done = build(DOCS, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert pages >= {path.stem for path in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]}


def test_a_link_that_leads_nowhere_stops_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(DOCS / "conf.py", source)
    links = ("missing-page.md", "index.md#missing-anchor", "#missing-here", "#title")
    (source / "index.md").write_text("# Title\n\n" + "\n\n".join(f"[to]({link})" for link in links), encoding="utf-8")
    done = build(source, tmp_path)
    assert done.returncode == 1
    warnings = done.stderr.splitlines()
    assert all(
        sum(name in line for line in warnings) == 1 for name in ("missing-page", "missing-anchor", "missing-here")
    )
    assert sum("WARNING" in line for line in warnings) == 3


def test_a_notebook_is_a_page(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(DOCS / "conf.py", source)
    cells = [
        {"cell_type": "markdown", "source": ["# A title\n", "\n", "Words."]},
        {"cell_type": "code", "source": ["print(1)"]},
    ]
    (source / "index.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    done = build(source, tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "<h1>A title" in page
    assert "highlight-python" in page


def test_every_decision_that_the_code_names_is_in_the_design() -> None:
    """A docstring's "design, decision 4" is the fourth item of a list in docs/design.md."""
    root = DOCS.parent
    files = [path for room in ("train", "convert", "runtime", "benchmarks") for path in (root / room).rglob("*.py")]
    named = {int(n) for path in files for n in re.findall(r"decision (\d+)\b", path.read_text(encoding="utf-8"))}
    listed = (DOCS / "design.md").read_text(encoding="utf-8").partition("## Decisions")[2].partition("\n## ")[0]
    assert named
    assert named <= {int(n) for n in re.findall(r"^(\d+)\. \*\*", listed, flags=re.MULTILINE)}
