"""The README's path with somebody's own images: 45 of them in three classes, and every command works the first time."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fieldlens.cli import main
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import KitError
from fieldlens.train.config import DataConfig
from fieldlens.train.data.duplicates import near_copies
from fieldlens.train.data.load import load_data
from fieldlens.train.data.samples import FileDataSet, Sample

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLASSES = ("smooth skin", "wart", "naevus (möle)")


def own_images(root: Path, each: int = 15) -> Path:
    """Photographs in folders that are called as somebody would call them."""
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for index in range(each):
            draw = np.random.default_rng(1000 * label + index)
            pixels = cv2.resize(draw.uniform(110, 190, (5, 5, 3)).astype(np.float32), (88, 66))
            centre = (int(draw.integers(30, 58)), int(draw.integers(22, 44)))
            if label:
                cv2.circle(pixels, centre, 12, (60, 60, 170) if label == 1 else (20, 20, 20), 4 if label == 1 else -1)
            noisy = np.clip(pixels + draw.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / name / f"Jane Doe {index}.jpg"), noisy)
    return root


def commands(block: str) -> list[list[str]]:
    """The lines of the README's block that holds this word, for the images of this test."""
    [text] = [found for found in re.findall(r"```console\n(.*?)```", README, re.DOTALL) if block in found]
    lines = [shlex.split(line, comments=True) for line in text.splitlines() if line.strip().startswith("fieldlens")]
    assert lines
    replaced = {"CLASS": CLASSES[1], "v4l2://0": "my-images"}
    return [[replaced.get(word, word) for word in line[1:]] for line in lines]


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's commands have run: my-images, my.toml, runs/mine, mine.bundle, results.jsonl, report.html.

    The recipe is edited once, as a user may: 5 epochs instead of 40. With --full it stays as it was written.
    """
    folder = tmp_path_factory.mktemp("own")
    own_images(folder / "my-images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("STATE_DIRECTORY", str(folder / "state"))
        for words in (*commands("new-recipe"), *commands("results.jsonl")):
            assert main(words) == 0, words
            if words[1] == "new-recipe" and not request.config.getoption("--full"):
                recipe = (folder / "my.toml").read_text(encoding="utf-8")
                assert "\nepochs = 40 " in recipe
                (folder / "my.toml").write_text(recipe.replace("\nepochs = 40 ", "\nepochs = 5 "), encoding="utf-8")
        extra = (
            ["convert", "verify", "mine.bundle", "--data", "my-images"],
            ["train", "evaluate", "mine.bundle", "--data", "my-images", "--out", "judged"],
        )
        for words in extra:
            assert main(words) == 0, words
    return folder


def test_every_image_gets_an_answer_without_int8(place: Path) -> None:
    lines = [json.loads(line) for line in (place / "results.jsonl").read_text().splitlines()]
    assert len([line for line in lines if "outcome" in line]) == 45
    manifest = open_bundle(place / "mine.bundle").manifest
    assert [info.id for info in manifest.classes] == sorted(CLASSES)
    assert not [name for name in manifest.files if "int8" in name]
    assert "27 images to calibrate with; INT8 needs at least 32" in manifest.provenance["calibration"]["why"]
    page = (place / "report.html").read_text()
    assert "the bundle has no INT8 for CPUs: the training part has 27 images" in page


def test_nothing_of_the_demo_and_nobody_is_in_the_bundle(place: Path) -> None:
    bundle = place / "mine.bundle"
    manifest = open_bundle(bundle).manifest
    assert manifest.name == "unnamed"
    words = b"".join(path.read_bytes() for path in bundle.rglob("*") if path.suffix in (".json", ".md", ".html"))
    assert not re.search(rb"\bdemo\b|ragged-mark|Marks on synthetic|Jane Doe", words)
    files = sorted((bundle / "golden").glob("*.png")) or sorted((bundle / "golden").glob("*.jpg"))
    inside = FileDataSet(bundle, ("any",), tuple(Sample(path.relative_to(bundle).as_posix(), 0) for path in files))
    assert len(files) == manifest.provenance["golden"]["images"] > 0
    assert near_copies(inside, load_data(place / "my-images", DataConfig())) == []


def test_what_only_the_user_knows_stands_out(place: Path) -> None:
    words = "name, title, intended use"
    assert f"> **Not filled in**: {words}." in (place / "mine.bundle/card.md").read_text()
    for page in ("runs/mine/report.html", "mine.bundle/report.html", "judged/report.html"):
        assert f'<p class="missing">Not filled in: {words}.' in (place / page).read_text(), page


def test_a_recipe_that_does_not_know_the_classes_names_the_command(place: Path) -> None:
    with pytest.raises(KitError) as caught:
        main(["train", "fit", "--recipe", "demo", "--data", str(place / "my-images"), "--out", str(place / "other")])
    assert caught.value.hint.startswith("the recipe does not know this class: ")
    assert "`fieldlens train new-recipe DATA --positive CLASS" in caught.value.hint


def test_writing_a_recipe_needs_no_torch(place: Path, tmp_path: Path) -> None:
    words = ["train", "new-recipe", str(place / "my-images"), "--positive", "wart", "--out", str(tmp_path / "my.toml")]
    code = (
        "import sys\nfrom fieldlens.cli import main\n"
        f"code = main({words!r})\n"
        "heavy = {'torch', 'torchvision', 'scipy', 'sklearn', 'matplotlib', 'onnx'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    next_line = done.stdout.splitlines()[-1]
    assert next_line.startswith(f"  fieldlens train fit --recipe {tmp_path / 'my.toml'} --data ")
