"""The README: short, with links that lead somewhere, and three lines of Python that work as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import simplejpeg

from fieldlens.runtime.prediction import Prediction
from tests.runtime.cameras import camera
from tests.runtime.conftest import build_bundle, jpeg, scene, tiny_manifest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAX_WORDS = 500
"""Before "What is where", whatever else the kit learns."""
MAX_IMAGE_BYTES = 200_000
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")


def test_it_is_short() -> None:
    opening, heading, _ = README.partition("\n## What is where\n")
    assert heading
    assert len(opening.split()) <= MAX_WORDS


def test_it_begins_with_real_output() -> None:
    name = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README.partition("\n**")[0])[0]
    assert 0 < (ROOT / name).stat().st_size < MAX_IMAGE_BYTES


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    """Sphinx checks the pages in docs/, these lie outside of it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    local = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert local
    assert not [link for link in local if not leads_somewhere(link)]


def leads_somewhere(link: str) -> bool:
    """The file is there, and has a heading whose anchor on GitHub is the one named."""
    name, _, anchor = link.partition("#")
    if not (ROOT / name).is_file() or not anchor:
        return (ROOT / name).is_file()
    headings = re.findall(r"^#+ (.*)$", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_check_of_links_itself_notices_a_broken_one() -> None:
    assert leads_somewhere("docs/gate.md#what-it-detects")
    assert not leads_somewhere("docs/gate.md#what-it-detects-not")
    assert not leads_somewhere("docs/gates.md")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's lines name: a bundle and a photograph."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "demo").mkdir()
    build_bundle(folder / "demo/demo.bundle", tiny_manifest())
    (folder / "photograph.jpg").write_bytes(jpeg(scene(7)))
    return folder


@pytest.fixture
def names(place: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the README's Python leaves behind, run in that folder."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("STATE_DIRECTORY", str(place / "state"))
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    return namespace


def test_its_python_prints_an_answer_for_a_path(names: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    answer = names["model"]("photograph.jpg")
    assert isinstance(answer, Prediction)
    print(answer)
    assert str(answer.outcome) in capfd.readouterr().out


def test_its_model_takes_bytes_and_an_array(names: dict[str, Any], place: Path) -> None:
    data = (place / "photograph.jpg").read_bytes()
    from_path, from_bytes = names["model"]("photograph.jpg"), names["model"](data)
    assert from_bytes.probabilities == from_path.probabilities
    from_array = names["model"](simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True))
    assert from_array.outcome == from_path.outcome
    # Not bit for bit: from bytes, the decoder may leave out interpolation that the resize would average away.
    assert from_array.probabilities == pytest.approx(from_path.probabilities, abs=0.02)


def test_its_model_reads_a_camera(names: dict[str, Any]) -> None:
    with camera(fps=10) as filmed:
        answers = (item for item in names["model"].stream(filmed.url) if isinstance(item, Prediction))
        first = next(answers)
    assert first.source.startswith("http://127.0.0.1")
    assert sum(first.probabilities.values()) == pytest.approx(1.0)
