"""What a nurse and a clinician do on the page, in a real Chromium that reaches nothing but loopback."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.promise import Promise
from fieldlens.runtime.site.record import SiteThreshold, approve
from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.records.search import Filters
from tests.runtime.conftest import BROKEN, build_bundle, tiny_manifest
from tests.runtime.dicom_made import encoded, made
from tests.runtime.station.page.conftest import (
    BETWEEN,
    CLEAR,
    DARK,
    PHONE,
    SIGN,
    Served,
    Visits,
    answered,
    serving_here,
    upload,
)

IMAGE_LOADED = "() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)"


def set_operator(page: Page, name: str) -> None:
    page.click("#person")
    page.fill("#operator", name)
    page.click("#settings .primary")


def test_from_upload_to_slip(served: Served, visits: Visits, tmp_path: Path) -> None:
    page = visits.open(served.url + "/?lang=en")
    set_operator(page, "Ada M.")
    page.fill("#subject", "A-17")
    answered(page, SIGN)
    expect(page.locator("#outcome")).to_have_text("Refer")
    assert page.locator("#outcome").evaluate("(it) => it === document.activeElement"), "a screen reader begins there"
    expect(page.locator(".score p")).to_have_text("Score 70%. This model refers from 50%.")
    result_id = page.url.rpartition("/")[2]
    assert page.locator("figure img").get_attribute("src") == f"/api/v1/results/{result_id}/image"

    page.click("#heat")
    expect(page.locator(".heat figcaption")).to_have_text("Where the model looked, not where the disease is.")
    page.wait_for_function(IMAGE_LOADED)
    page.click("#heat")
    expect(page.locator(".heat")).to_have_count(0)

    page.click("#disagree")
    page.fill("#note", "A scar, <b>not</b> a sign.")
    page.click(".review-fields button")
    expect(page.locator(".reviewed strong")).to_have_text("Disagrees")
    expect(page.locator(".reviewed .note")).to_have_text("A scar, <b>not</b> a sign.")

    page.click("nav a[href='/history']")
    page.fill("#text", "scar")
    expect(page.locator("#results li")).to_have_count(1)
    page.click("#more-filters")
    page.select_option("#outcome", "no-sign-found")
    expect(page.locator("#count")).to_have_text("No results found.")
    page.select_option("#outcome", "refer")
    page.select_option("#review", "disagrees")
    today = page.evaluate("new Date().toLocaleDateString('sv')")
    page.fill("#since", today)
    page.fill("#until", today)
    expect(page.locator("#results .who strong")).to_have_text("A-17")
    with page.expect_download() as download:
        page.click("#csv")
    download.value.save_as(tmp_path / "results.csv")
    (row,) = csv.DictReader((tmp_path / "results.csv").read_text(encoding="utf-8").splitlines())
    assert (row["subject"], row["operator"], row["agrees"]) == ("A-17", "Ada M.", "disagrees")
    page.reload()
    expect(page.locator("#results li")).to_have_count(1)
    assert page.locator("#outcome").input_value() == "refer", "filters outlive a reload"

    page.click("#results a")
    page.wait_for_selector(".reviewed")
    page.evaluate("() => { window.print = () => { window.printed = true } }")
    page.get_by_role("button", name="Print slip").click()
    page.wait_for_function("() => window.printed")
    page.emulate_media(media="print")
    slip = page.locator("#slip").inner_text()
    row_id = served.station.records.one(result_id)
    assert row_id is not None
    for text in ("Referral slip", "Refer", "A-17", "Ada M.", "North clinic", "tiny v3", "50.0%", "Accepted", result_id,
                 row_id.bundle_hash[:16], row_id.created_utc):  # fmt: skip
        assert text in slip
    head = page.locator("#slip dd").last.inner_text()
    assert int(head.partition(":")[0]) > 5
    verify_log(served.station.records.folder, [head])
    assert not page.locator("header.head").is_visible()
    assert "print the slip" not in slip, "the slip is read by whoever has it in hand"
    assert not page.locator("#slip img").count(), "no image of a patient on paper"
    assert page.pdf(format="A4").count(b"/Type /Page\n") == 1


def test_result_and_slip_name_who_approved_the_clinics_own_threshold(
    gated_folder: Path, visits: Visits, tmp_path: Path
) -> None:
    promise = Promise("sensitivity", 0.95, 0.951, 0.9, 60, 60, 45)
    record = SiteThreshold(0.004, (0.004, 0.004), promise, "Dr Amina <b>", "2026-11-27T09:00:00Z", 120, 60)
    approve(tmp_path / "state", open_bundle(gated_folder), record)
    with serving_here(gated_folder, tmp_path) as own:
        page = visits.open(own.url + "/?lang=en")
        answered(page, SIGN)
        whose = "This clinic's own, approved by Dr Amina <b> on 27 Nov 2026, from 120 cases"
        expect(page.locator(".score .soft")).to_have_text(f"Whose threshold: {whose}")
        result = page.url
        page.emulate_media(media="print")
        slip = page.locator("#slip").inner_text()
        assert whose in slip
        assert "This model refers from 0.4%." in slip, "not from 0%"
        assert page.pdf(format="A4").count(b"/Type /Page\n") == 1
        page.emulate_media(media="screen")
        page.goto(result + "?lang=es")
        expect(page.locator(".score .soft")).to_contain_text("Propio de este centro, aprobado por Dr Amina <b> el ")


@pytest.mark.parametrize(
    ("image", "outcome", "primary"),
    [(CLEAR, "No sign found", "Next person"), (BETWEEN, "Uncertain: treat as refer", "Print slip")],
    ids=["clear", "between"],
)
def test_each_outcome_has_its_word_and_icon(
    served: Served, visits: Visits, image: bytes, outcome: str, primary: str
) -> None:
    page = answered(visits.open(served.url), image)
    expect(page.locator("#outcome")).to_have_text(outcome)
    assert page.locator(".outcome .badge use").get_attribute("href") != "#i-refer"
    expect(page.locator("#result .actions .primary")).to_have_text(primary)


def test_a_dark_image_is_taken_again_for_the_same_person(served: Served, visits: Visits) -> None:
    page = visits.open(served.url)
    page.fill("#subject", "B-2")
    answered(page, DARK)
    expect(page.locator("#outcome")).to_have_text("Take the image again")
    expect(page.locator(".reason")).to_have_text("Too dark: switch the lamp on or move to the light")
    for never in ("#heat", ".score", ".ranks", ".review", "#slip > *"):
        assert not page.locator(never).count(), f"{never} on a retake"
    page.click("#result .actions .primary")
    expect(page.locator("#subject")).to_have_value("B-2")
    answered(page, CLEAR)
    page.click("#result .actions .primary")
    page.wait_for_selector("#preview, #drop")
    page.wait_for_load_state("networkidle")
    assert page.locator("#subject").input_value() == "", "the next person has no ID of the one before"


def test_each_file_gets_its_answer_or_its_reason(served: Served, visits: Visits) -> None:
    page = visits.open(served.url, PHONE)
    upload(
        page, ("left.jpg", SIGN), ("notes.txt", b"hello"), ("half.jpg", BROKEN["truncated.jpg"]()), ("dark.jpg", DARK)
    )
    page.wait_for_selector("#batch-done:not([disabled])")
    expect(page.locator("#batch-progress")).to_have_text("Answered: 2. Not answered: 2. The reasons are below.")
    assert page.locator("#batch-items li strong").all_inner_texts() == [
        "Refer", "This file cannot be read as an image", "This file cannot be read as an image", "Take the image again",
    ]  # fmt: skip
    details = page.locator("#batch-items .detail").all_inner_texts()
    assert len(set(details)) == 2, "each says what is wrong with it"
    page.locator("#batch-items a").first.click()
    expect(page.locator("#outcome")).to_have_text("Refer")


def test_files_can_be_dropped(served: Served, visits: Visits) -> None:
    page = visits.open(served.url)
    page.evaluate(
        """() => {
          const files = new DataTransfer();
          for (const name of ["a.txt", "b.txt"]) files.items.add(new File(["no image"], name));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
        }"""
    )
    expect(page.locator("#batch-items .file")).to_have_text(["a.txt", "b.txt"])


def test_the_name_of_a_dicom_file_is_not_shown(served: Served, visits: Visits) -> None:
    page = visits.open(served.url, PHONE)
    loop = np.random.default_rng(1).integers(60, 200, (2, 64, 64), dtype=np.uint8)
    first = ("Zebrowski.dcm", encoded(made(loop, NumberOfFrames=2)))
    upload(page, first, ("ZEBROWSKI", b"no DICOM file"), ("a.jpg", SIGN))
    page.wait_for_selector("#batch-done:not([disabled])")
    names = page.locator("#batch-items .file").all_inner_texts()
    assert [name[-2:] for name in names] == ["#1", "#2", " 2", "pg"]
    assert names[0].startswith("dicom-")
    assert names[2] == "DICOM file 2"
    assert "zebrowski" not in page.content().lower()
    page.click("#batch-done")
    upload(page, ("Zebrowski.dcm", b"no DICOM file"))
    expect(page.locator("#trouble .detail")).to_contain_text("DICOM file 1: ")


def test_one_wrong_file_says_why(served: Served, visits: Visits) -> None:
    page = visits.open(served.url)
    upload(page, ("notes.pdf", b"%PDF-1.7"))
    expect(page.locator("#trouble strong")).to_have_text("This file cannot be read as an image")
    expect(page.locator("#trouble .detail")).to_contain_text("notes.pdf: ")
    page.evaluate("document.body.dataset.imageBytes = 1000")
    upload(page, ("large.jpg", SIGN))
    expect(page.locator("#trouble strong")).to_have_text("This file is too large")


def test_on_a_phone_the_id_and_the_reason_can_be_read(served_live: Served, visits: Visits) -> None:
    page = visits.open(served_live.url, PHONE)
    page.click("#new-subject")
    page.wait_for_function("() => /^S-/.test(document.getElementById('subject').value)")
    fits = "() => { const at = document.getElementById('subject'); return at.scrollWidth <= at.clientWidth; }"
    assert page.evaluate(fits), "its last letter is the check letter"
    upload(page, ("notes.pdf", b"%PDF-1.7"))
    page.wait_for_selector("#trouble .detail")
    covered = """() => {
      const at = document.querySelector("#trouble .detail"), box = at.getBoundingClientRect();
      return !at.contains(document.elementFromPoint(box.x + 5, box.bottom - 3));
    }"""
    assert not page.evaluate(covered)


def test_of_classes_with_thresholds_of_their_own_the_one_that_decided_is_shown(tmp_path: Path, visits: Visits) -> None:
    decision = Decision("any", ("clear", "sign"), {"clear": 0.9, "sign": 0.2}, (0.0, 0.0), "", {})
    bundle = build_bundle(tmp_path / "any.bundle", dataclasses.replace(tiny_manifest(), decision=decision))
    with serving_here(bundle, tmp_path) as served:
        page = answered(visits.open(served.url), SIGN)
        (row,) = served.station.records.page(Filters(), 1).results
        share = f"{row.probabilities['sign']:.0%}"
        expect(page.locator(".score p")).to_have_text(f"Sign: {share}. This model refers from 20%.")
        assert "Sign: 20.0%" in (page.locator("#slip").text_content() or "")


def test_an_id_is_typed_scanned_or_made(served: Served, visits: Visits) -> None:
    page = visits.open(served.url)
    page.locator("h1").click(force=True)
    page.keyboard.type("A-17/2\n")  # a scanner, wherever the focus is
    assert page.locator("#subject").input_value() == "A-17/2"
    page.fill("#subject", "Ada Müller")
    upload(page, ("a.jpg", SIGN))
    expect(page.locator("#subject-wrong")).to_be_visible()
    page.click("#new-subject")
    page.wait_for_function("() => /^S-/.test(document.getElementById('subject').value)")
    made = page.locator("#subject").input_value()
    page.fill("#subject", made[:-1] + ("A" if made[-1] != "A" else "B"))
    upload(page, ("a.jpg", SIGN))
    expect(page.locator("#trouble strong")).to_have_text("The subject ID has a typing mistake")


def test_a_general_bundle_lists_the_likeliest_three(classifier_folder: Path, tmp_path: Path, visits: Visits) -> None:
    with serving_here(classifier_folder, tmp_path) as served:
        page = answered(visits.open(served.url), SIGN)
        expect(page.locator("#outcome")).to_have_text("Classified")
        assert page.locator(".ranks li").count() == 3
        expect(page.locator(".best")).to_have_text("Dog")
        assert not page.locator(".score").count()
        slip = page.locator("#slip").text_content() or ""
        assert all(name in slip for name in page.locator(".ranks li > span:first-child").all_inner_texts())
        assert "Threshold" not in slip


def test_a_banner_stays_until_somebody_has_seen_it(served: Served, visits: Visits) -> None:
    served.station.records.notify("changed-device", "the processor changed: A → B", "ask", "2026-11-27T00:00:00.000Z")
    page = visits.open(served.url)
    expect(page.locator("#banners strong")).to_have_text("The model runs on another processor")
    page.click("nav a[href='/history']")
    expect(page.locator("#banners .detail")).to_have_text("the processor changed: A → B")
    page.fill("#banners input", "Ada")
    page.click("#banners button")
    expect(page.locator("#banners")).to_be_hidden()
    (row,) = served.station.records.banners(everything=True)
    assert row.seen_by == "Ada"


def test_an_image_that_is_gone_leaves_its_result(served: Served, visits: Visits) -> None:
    page = answered(visits.open(served.url), SIGN)
    served.station.recent._views.clear()
    page.reload()
    expect(page.locator(".missing")).to_have_text("This image was not kept. The result stays.")
    assert not page.locator("#heat").count()
    page.goto(served.url + "/results/" + "0" * 32)
    expect(page.locator("#trouble strong")).to_have_text("There is no such result")
