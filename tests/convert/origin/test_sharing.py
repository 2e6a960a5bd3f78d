"""No image of the data leaves by accident: what consent is, and a search of a bundle for copies."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fieldlens.convert import golden
from fieldlens.convert.assembly import bundle as make_bundle
from fieldlens.convert.card import text
from fieldlens.convert.origin.origin import BundleOptions
from fieldlens.convert.origin.sharing import FOLDER, STATISTICS, check_consent, golden_candidates
from fieldlens.convert.origin.training_run import Source, from_run, load_source
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.terminal.reporter import SILENT, Lines
from fieldlens.train.data.duplicates import near_copies
from fieldlens.train.data.samples import ArrayDataSet, Sample
from fieldlens.train.evaluation.evaluate import EvaluationOptions, evaluate
from tests.convert.conftest import picture

Pixels = npt.NDArray[np.uint8]
_SIDE = 64


@pytest.fixture(scope="module")
def source(run: Path) -> Source:
    return load_source(run, None)


@pytest.fixture(scope="module")
def default(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle made without a word about images, of a run whose own report shows its mistakes."""
    shown = Path(shutil.copytree(run, tmp_path_factory.mktemp("default") / "spots"))
    evaluate(shown, options=EvaluationOptions(with_images=True))
    assert images_inside(shown), "the run's own report has images to lose"
    return make_bundle(shown, shown.parent / "default.bundle", BundleOptions(targets=("cpu",))).path


@pytest.mark.parametrize("given", ["", "yes", "0123456789ab", "short"])
def test_sharing_needs_the_hash_of_this_very_data(source: Source, given: str) -> None:
    given = source.data.hash[:7] if given == "short" else given
    with pytest.raises(KitError) as caught:
        check_consent(source.data, source.part("val"), BundleOptions(share_images=given), SILENT)
    assert "up to 64 of the 72 validation images of spots.npz" in caught.value.message
    assert f"--share-images {source.data.hash[:12]}" in caught.value.hint


def test_what_will_be_inside_is_said_before(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    val = source.part("val")
    check_consent(source.data, val, BundleOptions(share_images=source.data.hash[:8].upper()), Lines())
    assert "up to 64 of the 72 validation images of spots.npz" in capsys.readouterr().out
    check_consent(source.data, val[:5], BundleOptions(share_images=source.data.hash), Lines())
    assert "up to 5 of the 5 validation images" in capsys.readouterr().out
    check_consent(source.data, val, BundleOptions(), Lines())
    assert "no image of spots.npz goes into the bundle; its golden images are synthetic" in capsys.readouterr().out


def test_shared_images_are_in_the_bundle_its_manifest_and_its_card(run: Path, source: Source, tmp_path: Path) -> None:
    asked = BundleOptions(targets=("cpu",), share_images=source.data.hash[:12])
    made = make_bundle(run, tmp_path / "shared.bundle", asked).manifest
    said = made.provenance["golden"]
    assert said["from"] == f"from spots.npz itself (validation), shared by --share-images {source.data.hash[:12]}"
    files = sorted((tmp_path / "shared.bundle/golden").glob("*.png"))
    assert said["images"] == len(files) > 8
    assert f"{len(files)} golden images, {said['from']}." in (tmp_path / "shared.bundle/card.md").read_text()
    inside = [decoded(path.read_bytes()) for path in files]
    assert len({pair.first for pair in near_copies(array_set(inside), source.data)}) == len(files)


def test_neither_an_old_recipe_nor_an_old_run_shares(broken_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("run.json", "config.json"):
        facts = json.loads((broken_run / name).read_text())
        facts["data"]["shareable"] = True
        (broken_run / name).write_text(json.dumps(facts))
    origin = from_run(broken_run, BundleOptions(), Lines())
    assert origin.golden_from == STATISTICS
    assert {item.name for item in origin.candidates} == {"synthetic"}
    assert "data.shareable is ignored" in capsys.readouterr().out
    assert "shareable" not in json.dumps(origin.draft.provenance)


def test_a_folder_may_be_given_but_not_with_the_datas_own_images(source: Source, data: Path, tmp_path: Path) -> None:
    for index in range(20):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(index % 2, 77_000 + index))
    options = BundleOptions(images=tmp_path)
    check_consent(source.data, source.part("val"), options, SILENT)
    candidates, words = golden_candidates(source.data, source.part("val"), [], options)
    assert (len(candidates), words) == (20, FOLDER)
    with np.load(data) as content:
        cv2.imwrite(str(tmp_path / "copy.png"), content["train_images"][3][..., ::-1])
    with pytest.raises(KitError, match=r"1 of its 21 images are images of spots.npz, or nearly so .*copy\.png"):
        check_consent(source.data, source.part("val"), options, SILENT)


def test_a_mean_over_few_people_is_never_drawn(source: Source) -> None:
    one = np.full((64, 64, 3), 90, np.uint8)
    candidates, words = golden_candidates(source.data, source.part("val"), [one], BundleOptions())
    assert "owes nothing to the data" in words
    shown = candidates[0].load()
    assert isinstance(shown, np.ndarray)
    assert shown.shape == (128, 128, 3)


def test_the_card_counts_what_is_inside_and_says_what_nobody_filled_in(default: Path) -> None:
    manifest = open_bundle(default).manifest
    page = text(manifest, None)
    assert f"64 golden images, {STATISTICS}. No other file shows an image, or names one." in page
    assert "> **Not filled in**: title, intended use." in page
    recipe = {**manifest.provenance["recipe"]["recipe"], "title": "Spots on skin", "intended_use": "Nurses"}
    filled = replace(manifest, provenance={**manifest.provenance, "recipe": {"recipe": recipe}})
    assert "Not filled in" not in text(filled, None)
    assert "\nSpots on skin\n" in text(filled, None)


# ---------------------------------------------------------------- the search


def decoded(data: bytes) -> Pixels:
    """RGB of a file's bytes."""
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return np.asarray(found[..., ::-1], np.uint8)


def array_set(images: list[Pixels]) -> ArrayDataSet:
    names = [f"train/{index:05d}" for index in range(len(images))]
    return ArrayDataSet(
        "found", ("any",), tuple(Sample(name, 0) for name in names), dict(zip(names, images, strict=True))
    )


def images_inside(bundle: Path) -> list[Pixels]:
    """Every raster image of every file: files that are one, and those embedded in pages, cards and drawings."""
    found = []
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        found += [decoded(path.read_bytes())] if cv2.haveImageReader(str(path)) else []
        found += embedded(path.read_bytes()) if path.suffix in (".html", ".md", ".json") else []
    return found


def embedded(page: bytes) -> list[Pixels]:
    """The rasters of a page's ``data:`` addresses, and of the drawings (SVG) among them."""
    found = []
    for kind, code in re.findall(rb"data:image/([\w.+-]+);base64,([\w+/=]+)", page):
        data = base64.b64decode(code)
        found += embedded(data) if kind == b"svg+xml" else [decoded(data)]
    return found


def pixels_of(source: Source) -> list[Pixels]:
    """Every image of the data, uint8 RGB."""
    return [np.asarray(source.data.read(sample), np.uint8) for sample in source.data.samples]


def details(image: Pixels) -> npt.NDArray[np.float32]:
    """All eight ways round, without what is coarser than a sixteenth of the side, each of length 1: ``[8,S·S]``."""
    grey = cv2.cvtColor(cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    fine = grey.astype(np.float32) - cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _SIDE / 16)
    ways = [np.rot90(way, turn) for way in (fine, fine[:, ::-1]) for turn in range(4)]
    rows = np.stack([way.ravel() - way.mean() for way in ways])
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)


def most_alike(found: list[Pixels], known: list[Pixels]) -> float:
    """The largest normalised correlation of any two, turned and mirrored in every way."""
    return max(float((details(one) @ np.stack([details(each)[0] for each in known]).T).max()) for one in found)


def test_no_image_of_a_default_bundle_is_a_near_copy_of_one_of_the_datas(default: Path, source: Source) -> None:
    """Golden images, report and card, of a run whose own report shows its mistakes."""
    found = images_inside(default)
    assert len(found) == golden.COUNT, "golden images, and no other"
    known = pixels_of(source)
    assert near_copies(array_set(found), source.data) == []
    assert most_alike(found, known) < 0.6  # 0.38; a copy has more than 0.8, see below
    files = [path for path in default.rglob("*") if path.is_file() and path.suffix != ".onnx"]
    words = b"".join(path.read_bytes() for path in files)
    assert not [sample.id for sample in source.data.samples if sample.id.encode() in words]


def test_the_search_itself_finds_a_copy_that_was_turned_reduced_and_compressed(source: Source) -> None:
    known = pixels_of(source)
    small = cv2.resize(np.rot90(known[7])[:, ::-1], (40, 40), interpolation=cv2.INTER_AREA)
    copy = decoded(cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    assert most_alike([copy], known) > 0.8
    assert [pair.second for pair in near_copies(array_set([known[7]]), source.data)] == [source.data.samples[7].id]
