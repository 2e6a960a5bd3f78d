"""What is on the screen is of the present image, or says that it is not: whatever camera, station or line do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.runtime.cameras import Filmed
from tests.runtime.station.page.conftest import CLEAR, SIGN, Served, Visits, answered, serving_here

LIVE, STALE = ".viewer[data-state=live]", ".viewer[data-state=stale]"
BLANK = """() => {
  const canvas = document.getElementById("preview");
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.every((value) => value === 0);
}"""
LIMIT_S = 3.5
"""The camera's age limit is 1 s, the page's is 2 s."""


def live(page: Page) -> None:
    page.wait_for_selector(LIVE)
    assert not page.evaluate(BLANK)


def no_image_within(page: Page, seconds: float) -> None:
    began = time.monotonic()
    page.wait_for_selector(STALE)
    assert time.monotonic() - began < seconds
    assert page.evaluate(BLANK), "the old image is wiped, not only covered"
    expect(page.locator("#no-image strong")).to_have_text("No current image")
    expect(page.locator("#no-image-age")).to_contain_text("Last image")
    assert page.locator("#capture").get_attribute("aria-disabled") == "true"


@pytest.mark.parametrize("fault", ["silent", "cut"])
def test_a_stalled_camera_turns_grey_and_comes_back(
    served_live: Served, filmed: Filmed, visits: Visits, fault: str
) -> None:
    page = visits.open(served_live.url)
    live(page)
    filmed.tell(fault)
    no_image_within(page, LIMIT_S)
    page.keyboard.press("Space")
    assert page.url == served_live.url + "/", "nothing can be taken"
    assert served_live.station.records.count() == 0
    filmed.tell("ok")
    live(page)
    expect(page.locator("#capture")).to_have_attribute("aria-disabled", "false")


def test_the_page_turns_grey_by_itself_when_the_station_is_gone(served_live: Served, visits: Visits) -> None:
    page = visits.open(served_live.url)
    live(page)
    served_live.stop()
    no_image_within(page, LIMIT_S)
    expect(page.locator("#gone strong")).to_have_text("The station does not answer")


def test_a_station_that_hangs_and_one_that_started_again(
    gated_folder: Path, tmp_path: Path, filmed: Filmed, visits: Visits
) -> None:
    filmed.tell("ok")
    with serving_here(gated_folder, tmp_path, filmed.url) as served:
        page = visits.open(served.url)
        live(page)
        page.route("**/api/v1/preview*", lambda route: None)  # no answer ever
        no_image_within(page, LIMIT_S)
        page.unroute("**/api/v1/preview*")
        live(page)
        port = int(served.url.rpartition(":")[2])
    no_image_within(page, LIMIT_S)
    with serving_here(gated_folder, tmp_path, filmed.url, port):
        live(page)  # the new station counts its frames from one


def test_a_slow_line_draws_nothing_old(served_live: Served, visits: Visits) -> None:
    """An image may be as old as its request: one that was 2.3 s under way is not drawn."""
    page = visits.open(served_live.url)
    live(page)
    arrived: list[float] = []

    def slow(route: Route) -> None:
        if arrived:
            return
        arrived.append(0)
        answer = route.fetch()
        time.sleep(2.3)
        arrived[0] = time.monotonic()
        route.fulfill(response=answer)

    page.route("**/api/v1/preview*", slow)
    page.wait_for_selector(STALE)
    page.wait_for_timeout(1000)
    assert arrived[0], "the late image came"
    assert page.locator(STALE).count()
    assert page.evaluate(BLANK)
    page.unroute_all(behavior="ignoreErrors")
    live(page)


def test_space_bar_and_pedal_take_an_image(served_live: Served, visits: Visits) -> None:
    page = visits.open(served_live.url)
    live(page)
    page.click("#person")
    page.fill("#operator", "Ada")
    page.keyboard.press("Space")  # in a name it is a space
    page.click("#pedal")
    page.keyboard.press("PageDown")
    expect(page.locator("#pedal")).to_have_text("PageDown")
    page.click("#settings .primary")
    page.fill("#subject", "A-17")
    page.keyboard.press("PageDown")
    page.wait_for_selector("#outcome")
    assert not page.locator("#preview").count(), "no other image beside an answer"
    row = served_live.station.records.one(page.url.rpartition("/")[2])
    assert row is not None
    assert (row.origin, row.subject, row.operator, row.site) == ("camera", "A-17", "Ada", "North clinic")
    page.go_back()
    live(page)


def test_an_answer_of_another_image_is_not_shown(served: Served, visits: Visits) -> None:
    page = answered(visits.open(served.url), SIGN)
    other = served.station.records.one(page.url.rpartition("/")[2])
    assert other is not None
    page.goto(served.url)
    answered(page, CLEAR)
    body = page.evaluate("(id) => fetch(`/api/v1/results/${id}`).then((answer) => answer.json())", other.id)
    pattern = f"**/api/v1/results/{page.url.rpartition('/')[2]}"
    page.route(pattern, lambda route: route.fulfill(body=json.dumps(body), content_type="application/json"))
    page.reload()
    page.wait_for_selector("#result a")
    assert not page.locator("#outcome").count()
    assert not page.locator("#result img").count()


def test_an_hour_passes(served_live: Served, visits: Visits) -> None:
    page = visits.open(served_live.url, clock=True)
    live(page)
    page.route("**/api/v1/preview*", lambda route: None)  # no answer ever
    page.clock.fast_forward("01:00:00")  # as a laptop that slept
    page.wait_for_selector(STALE)
    expect(page.locator("#no-image-age")).to_have_text("Last image 1 hour ago")
    assert page.evaluate(BLANK)
    page.unroute("**/api/v1/preview*")
    live(page)
    page.clock.run_for("01:00:00")  # every timer of an hour
    live(page)
    expect(page.locator("#gone")).to_be_hidden(
        timeout=15_000
    )  # an hour in a second leaves the station no time to answer
    answered(page, SIGN)
    assert page.locator("#old").is_visible(), "the browser's clock is two hours ahead: this is no fresh result"


def test_an_open_result_grows_old(served: Served, visits: Visits) -> None:
    page = answered(visits.open(served.url, clock=True), SIGN)
    assert page.locator("#old").is_hidden()
    page.clock.fast_forward("01:00:00")
    expect(page.locator("#old")).to_have_text("This is an earlier result: 1 hour ago.")
    expect(page.locator("#outcome")).to_have_text("Refer")
