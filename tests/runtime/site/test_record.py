"""``calibrate-site`` from the command line: shown, approved, said in every output, and ignored by another network."""

from __future__ import annotations

import csv
import dataclasses
import errno
import hashlib
import html
import json
import os
from pathlib import Path

import pytest

from fieldlens import load
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.cli import main
from fieldlens.runtime.errors import BundleError, KitError
from fieldlens.runtime.files import atomic
from tests.runtime.conftest import build_bundle, jpeg, scene, tiny_manifest

COUNT = 104


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """52 people with the finding and 52 without, an image each; the network's answers to them are noise."""
    folder = tmp_path_factory.mktemp("site")
    rows = ["image,label,group"]
    for number in range(COUNT):
        (folder / f"{number}.jpg").write_bytes(jpeg(scene(number, 60, 80)))
        rows.append(f"{number}.jpg,{'Sign' if number % 2 else 'clear'},p{number}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def calibrate(site: Path, bundle: Path, state: Path, *more: object) -> int:
    fixed = ("--bundle", bundle, "--state", state, "--backend", "onnxruntime")
    return main(["calibrate-site", *map(str, (site, *fixed, *more))])


def test_it_is_shown_approved_said_and_ignored_by_another_network(
    site: Path, bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, page = tmp_path / "state", tmp_path / "site.html"
    options = ("--prevalence", 0.1, "--cost-miss", 100, "--cost-referral", 3, "--report", page)
    assert calibrate(site, bundle_folder, state, *options) == 0
    said = capsys.readouterr().out
    assert "not approved: tiny v3 keeps its own threshold" in said
    assert "104 cases of 104 people, 52 with the finding" in said
    assert "proposed: " in said
    assert "needed to prove 0.95: 45 positives with 0 missed, 77 with 1" in said
    assert page.read_text().count("<svg") == 3
    with load(bundle_folder, state=state, backend="onnxruntime") as model:
        assert model.classifier.origin.threshold_from is None
        own = model.classifier.origin.threshold

    assert calibrate(site, bundle_folder, state, "--approved-by", "Dr Amina") == 0
    said = capsys.readouterr().out
    assert "approved: this clinic's own, approved by Dr Amina" in said
    image, report = site / "0.jpg", tmp_path / "report.html"
    with load(bundle_folder, state=state, backend="onnxruntime") as model:
        answer = model(image)
        assert answer.origin.threshold != own
        assert "approved by Dr Amina" in str(answer.origin.threshold_from)
        assert "approved by Dr Amina" in answer.to_dict()["threshold_from"]
        assert any("approved by Dr Amina" in note for note in model.notes)
        assert model.bundle.hash == open_bundle(bundle_folder).hash
    fixed = ("--bundle", bundle_folder, "--state", state, "--backend", "onnxruntime")
    main(["classify", *map(str, (image, *fixed, "--csv", tmp_path / "out.csv", "--report", report))])
    assert (
        json.loads(report.with_suffix(".json").read_text())["decision"]["threshold_from"]
        == answer.origin.threshold_from
    )
    text = html.unescape(report.read_text())
    assert f"The threshold is {answer.origin.threshold_from}." in text
    assert "The bundle refers" not in text
    assert "approved by Dr Amina" in capsys.readouterr().out
    with (tmp_path / "out.csv").open(newline="") as file:
        assert all("Dr Amina" in row["threshold_from"] for row in csv.DictReader(file))
    assert main(["info", str(bundle_folder), "--state", str(state)]) == 0
    assert "approved by Dr Amina" in " ".join(capsys.readouterr().out.split())

    other = build_bundle(tmp_path / "other.bundle", dataclasses.replace(tiny_manifest(), temperature=2.0))
    with load(other, state=state, backend="onnxruntime") as model:
        assert model.classifier.origin.threshold_from is None
        assert model.classifier.origin.threshold == own
        assert any("made for another network and is ignored" in note for note in model.notes)

    log = [json.loads(line) for line in (state / "site/audit.jsonl").read_text().splitlines()]
    assert [(event["by"], event["before"], event["cases"]) for event in log] == [("Dr Amina", own, COUNT)]
    record = next(path for path in (state / "site").glob("*.json"))
    record.write_bytes(record.read_bytes()[:-5])
    with pytest.raises(BundleError, match="damaged"):
        load(bundle_folder, state=state, backend="onnxruntime")


def test_killed_half_way_no_threshold_holds_that_the_log_does_not_know(
    site: Path, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    state, writes, replace = tmp_path / "state", list[Path](), os.replace

    def killed_at(count: int) -> None:
        writes.clear()

        def stop(source: str, target: Path, **more: object) -> None:
            if Path(target).parent == state / "site":
                writes.append(Path(target))
                if len(writes) == count:
                    raise Killed
            replace(source, target, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "replace", stop)

    for count, logged in ((1, 0), (2, 1)):
        killed_at(count)
        with pytest.raises(Killed):
            calibrate(site, bundle_folder, state, "--approved-by", "Dr Amina")
        log = state / "site/audit.jsonl"
        assert (len(log.read_text().splitlines()) if log.exists() else 0) == logged
        with load(bundle_folder, state=state, backend="onnxruntime") as model:
            assert model.classifier.origin.threshold_from is None
    killed_at(0)
    assert calibrate(site, bundle_folder, state, "--approved-by", "Dr Amina") == 0
    first, second = log.read_bytes().splitlines(keepends=True)
    assert json.loads(second)["previous"] == hashlib.sha256(first).hexdigest()
    with load(bundle_folder, state=state, backend="onnxruntime") as model:
        assert "Dr Amina" in str(model.classifier.origin.threshold_from)


def test_a_page_that_cannot_be_written_says_which_threshold_holds(
    site: Path, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "write_text", full)  # after the look at the place, before the page
    page = ("--report", tmp_path / "site.html")
    with pytest.raises(KitError, match=r"cannot be written .*; not approved: tiny v3 keeps its own"):
        calibrate(site, bundle_folder, tmp_path / "state", *page)
    with pytest.raises(KitError, match=r"cannot be written .*; approved: this clinic's own, approved by Dr Amina"):
        calibrate(site, bundle_folder, tmp_path / "state", "--approved-by", "Dr Amina", *page)


def test_too_few_cases_or_wrong_ones_keep_nothing(site: Path, bundle_folder: Path, tmp_path: Path) -> None:
    rows = (site / "labels.csv").read_text().splitlines()
    few = tmp_path / "few"
    few.mkdir()
    for number in range(8):
        (few / f"{number}.jpg").write_bytes((site / f"{number}.jpg").read_bytes())
    (few / "labels.csv").write_text("\n".join(rows[:9]))
    with pytest.raises(KitError, match=r"4 positives can prove a sensitivity of at most 0\.562; 0\.95 needs 45"):
        calibrate(few, bundle_folder, tmp_path / "state", "--approved-by", "Dr Amina")
    assert not (tmp_path / "state/site").exists()
    (few / "labels.csv").write_text("image,label\n0.jpg,maybe\n1.jpg,1\n77.jpg,0\n")
    with pytest.raises(KitError, match="neither a class of the bundle nor 0 or 1") as caught:
        calibrate(few, bundle_folder, tmp_path / "state")
    assert "77.jpg" in caught.value.message
    (few / "copy.jpg").write_bytes((few / "1.jpg").read_bytes())
    (few / "labels.csv").write_text("image,label\n0.jpg,0\n1.jpg,1\ncopy.jpg,1\n")
    with pytest.raises(KitError, match=r"^labels\.csv line 4: 'copy\.jpg' is the same image as '1\.jpg'$") as caught:
        calibrate(few, bundle_folder, tmp_path / "state")
    assert "as two people" in caught.value.hint
    (few / "labels.csv").write_text("image,label,group\n0.jpg,0,a\n1.jpg,1,b\ncopy.jpg,1,b\n")
    assert calibrate(few, bundle_folder, tmp_path / "state") == 0, "twice of one person counts once"
    (few / "labels.csv").write_text("image,label\n0.jpg,1\n")
    with pytest.raises(KitError, match="1 cases with the finding and 0 without"):
        calibrate(few, bundle_folder, tmp_path / "state")
    (few / "labels.csv").write_text("file,diagnosis\n0.jpg,1\n")
    with pytest.raises(KitError, match="no column 'image'") as caught:
        calibrate(few, bundle_folder, tmp_path / "state")
    assert "there are 'file', 'diagnosis'" in caught.value.hint
    (few / "labels.csv").unlink()
    with pytest.raises(KitError, match=r"there is no .*labels\.csv") as caught:
        calibrate(few, bundle_folder, tmp_path / "state")
    assert "columns image, label" in caught.value.hint
    with pytest.raises(KitError, match="belong together"):
        calibrate(site, bundle_folder, tmp_path / "state", "--cost-miss", 3)
