"""Accounts on the page: log in, be locked out, see what the role may do, log out, and a session that ends meanwhile."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from fieldlens.runtime.station.records import accounts
from fieldlens.runtime.station.records.audit_key import verify_log
from fieldlens.runtime.station.serving.access import COOKIE
from tests.runtime.station.conftest import SECRETS
from tests.runtime.station.made_results import made
from tests.runtime.station.page.conftest import DESKTOP, PHONE, SIGN, Served, Visits, answered
from tests.runtime.station.page.test_everybody import SCREENS

ENDED_MS = 8000
"""The page asks every three seconds."""


def log_in(page: Page, role: str, secret: str = "") -> None:
    page.fill("#name", role)
    page.fill("#secret", secret or SECRETS[role])
    page.click("#enter")


def inside(visits: Visits, served: Served, role: str, path: str = "/", *, clock: bool = False) -> Page:
    """A page of somebody who has just logged in."""
    page = visits.open(served.url + path, clock=clock)
    page.wait_for_url("**/login?next=**")
    log_in(page, role)
    page.wait_for_url(served.url + path)
    page.wait_for_selector("#log-out")
    return page


def end_sessions(served: Served, role: str) -> None:
    """As `fieldlens station account` does from a shell."""
    served.station.records.change(lambda connection: accounts.put(connection, role, role, SECRETS[role]))


def test_log_in_work_and_log_out(manned: Served, visits: Visits) -> None:
    page = inside(visits, manned, "operator", "/history")
    page.click("nav a[href='/']")
    page.wait_for_url(f"{manned.url}/")
    page.fill("#subject", "A-17")
    answered(page, SIGN)  # a form, with the session's token
    expect(page.locator("#person-words")).to_have_text("operator")
    expect(page.locator(".facts").first).to_contain_text("operator")
    result = page.url
    cookie = next(each for each in page.context.cookies() if each.get("name") == COOKIE)
    assert cookie.get("httpOnly") is True
    stolen = f"{COOKIE}={cookie.get('value')}"
    assert page.evaluate("document.cookie") == ""

    page.click("#log-out")
    page.wait_for_url("**/login")
    page.go_back()
    page.wait_for_url("**/login?**")
    assert "A-17" not in page.locator("body").inner_text(), "nothing of a patient behind the back button"
    page.goto(result)
    page.wait_for_url(f"**/login?next=/results/{result.rpartition('/')[2]}")
    with pytest.raises(HTTPError, match="401"):  # the cookie is worth nothing any more
        urlopen(Request(f"{manned.url}/api/v1/me", headers={"Cookie": stolen}))
    log_in(page, "clinician")
    page.wait_for_url(result)
    events = [(row.event, row.who) for row in reversed(manned.station.records.audit_rows(50))]
    assert [each for each in events if each[0] in ("login", "logout", "result")] == [
        ("login", "operator"), ("result", "operator"), ("logout", "operator"), ("login", "clinician"),
    ]  # fmt: skip


def test_wrong_pins_lock_and_say_until_when(manned: Served, visits: Visits) -> None:
    page = visits.open(manned.url)
    for _ in range(accounts.FREE_TRIES - 1):
        log_in(page, "operator", "000001")
        expect(page.locator("#wrong")).to_have_text("The name or the PIN is wrong")
        expect(page.locator("#secret")).to_have_value("")
    log_in(page, "operator", "000001")
    expect(page.locator("#wrong")).to_contain_text("Too many wrong tries. Try again after ")
    log_in(page, "operator")
    expect(page.locator("#wrong")).to_contain_text("Too many wrong tries")
    end_sessions(manned, "operator")  # a new PIN unlocks
    log_in(page, "operator")
    page.wait_for_url(f"{manned.url}/")


@pytest.mark.parametrize("role", ["operator", "clinician", "admin"])
def test_what_a_role_may_not_do_is_not_offered(manned: Served, visits: Visits, role: str) -> None:
    may_review = role != "operator"
    page = answered(inside(visits, manned, role), SIGN)
    assert bool(page.locator("#agree").count()) == may_review
    if may_review:
        page.click("#agree")
        assert not page.locator("#reviewer").count(), "whoever is logged in signs"
        page.click(".review-fields button")
        expect(page.locator(".reviewed .small")).to_contain_text(role)
    page.click("nav a[href='/history']")
    expect(page.locator("#results li")).to_have_count(1)
    assert bool(page.locator("#csv").count()) == may_review
    assert bool(page.locator("nav a[href='/log']").count()) == (role == "admin")
    page.click("#person")
    expect(page.locator("#settings")).to_contain_text(f"{role} ({role})")
    assert not page.locator("#operator").count()


def test_an_admin_reads_the_log_and_deletes_a_person(manned: Served, visits: Visits) -> None:
    page = inside(visits, manned, "admin")
    for subject in ("A-17", "A-17", "B-2"):
        page.wait_for_load_state("networkidle")
        page.fill("#subject", subject)
        answered(page, SIGN)
        page.click("nav a[href='/']")
        page.wait_for_url(f"{manned.url}/")
    page.click("nav a[href='/log']")
    expect(page.locator("#events li").first).to_contain_text("Log read")
    expect(page.locator("#events")).to_contain_text("Image answered")
    verify_log(manned.station.records.folder, [page.locator("#head").inner_text()])
    page.fill("#subject", "A-1")
    page.click("#forget button")
    expect(page.locator("#forgotten")).to_have_text("No results found.")
    page.fill("#subject", "A-17")
    page.click("#forget button")
    expect(page.locator("#sure-words")).to_have_text("Delete 2 results of A-17?")
    page.click("#no")
    assert manned.station.records.count() == 3
    page.click("#forget button")
    page.click("#yes")
    expect(page.locator("#forgotten")).to_have_text("Deleted results: 2")
    expect(page.locator("#events")).to_contain_text("one subject: 2 results")
    assert manned.station.records.count() == 1
    page.locator("#events a").last.click()
    page.wait_for_url("**/results/*")
    verify_log(manned.station.records.folder, [])


def test_a_session_that_ends_while_the_page_is_open(manned: Served, visits: Visits) -> None:
    page = answered(inside(visits, manned, "clinician"), SIGN)
    result = page.url
    page.click("#agree")
    end_sessions(manned, "clinician")
    page.wait_for_url("**/login?ended=1&next=**", timeout=ENDED_MS)
    expect(page.locator("#ended")).to_be_visible()
    assert "Refer" not in page.locator("body").inner_text()
    log_in(page, "clinician")
    page.wait_for_url(result)
    page.click("#result .actions button:has-text('same person')")
    page.wait_for_url(f"{manned.url}/")
    assert page.locator("#subject").input_value()

    end_sessions(manned, "clinician")
    page.locator("#new-subject").click()  # sooner than the page asks by itself
    page.wait_for_url("**/login?ended=1&next=**")
    log_in(page, "operator")
    page.wait_for_selector("#log-out")
    assert page.locator("#subject").input_value() == "", "the subject of another account's work is gone"


def test_a_log_in_in_another_tab_changes_neither_the_work_nor_the_name(manned: Served, visits: Visits) -> None:
    page = answered(inside(visits, manned, "clinician"), SIGN)
    other = page.context.new_page()
    for role in ("clinician", "admin"):
        other.context.clear_cookies()
        other.goto(f"{manned.url}/login")
        log_in(other, role)
        other.wait_for_url(f"{manned.url}/")
        page.click("#agree")
        page.click(".review-fields button")
        if role == "clinician":
            expect(page.locator(".reviewed")).to_have_count(1)
        else:
            expect(page.locator("#person-words")).to_have_text("admin")
    (row,) = [row for row in manned.station.records.audit_rows(50) if row.event == "review"]
    assert row.who == "clinician", "nothing is signed by an account that the page did not show"


def test_only_a_person_keeps_a_session_alive(manned: Served, visits: Visits) -> None:
    page = inside(visits, manned, "operator", clock=True)
    page.wait_for_load_state("networkidle")

    def asks_as_unattended() -> bool:
        with page.expect_response("**/api/v1/status") as answer:
            page.clock.fast_forward(3100)
        page.wait_for_timeout(100)  # until the page has set its timer again
        return "x-unattended" in answer.value.request.headers

    asks_as_unattended()
    assert asks_as_unattended(), "nobody is at the page"
    page.mouse.move(200, 200)
    assert not asks_as_unattended()
    assert asks_as_unattended()


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example/", "/\\evil.example", "/api/v1/export.csv"])
def test_the_way_back_leads_to_our_own_pages_only(manned: Served, visits: Visits, wanted: str) -> None:
    page = visits.open(f"{manned.url}/login?next={wanted}")
    log_in(page, "operator")
    page.wait_for_url(f"{manned.url}/")


@pytest.mark.parametrize(
    ("language", "scheme", "size"), [("en", "light", PHONE), ("es", "dark", DESKTOP)], ids=["en-390", "es-1280"]
)
def test_the_log_in_is_for_everybody(
    manned: Served, visits: Visits, language: str, scheme: str, size: tuple[int, int]
) -> None:
    page = visits.open(
        f"{manned.url}/login?ended=1&lang={language}", size, color_scheme=scheme, reduced_motion="reduce"
    )
    log_in(page, "operator", "000001")
    page.wait_for_function("() => document.getElementById('wrong').textContent !== ''")
    assert page.evaluate("document.documentElement.lang") == language
    found = {"log-in": serious(page)}
    page.click(".languages a:not([aria-current])")
    page.wait_for_url("**ended=1**")
    log_in(page, "admin")
    page.wait_for_selector("#log-out")
    found["inside"] = serious(page)
    page.click("#person")
    found["settings"] = serious(page)
    page.keyboard.press("Escape")
    page.click("nav a[href='/log']")
    page.wait_for_selector("#events li")
    found["log"] = serious(page)
    manned.station.records.add(made("A-17"))
    page.fill("#subject", "A-17")
    page.click("#forget button")
    page.wait_for_selector("#sure[open]")
    found["sure"] = serious(page)
    assert not {screen: wrong for screen, wrong in found.items() if wrong}


def serious(page: Page) -> list[str]:
    """What axe-core and the eye for sizes find."""
    violations = Axe().run(page).response["violations"]
    grave = [each for each in violations if each["impact"] in ("serious", "critical")]
    axe = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in grave]
    return [*axe, *page.evaluate(SCREENS)]
