"""What waits to be sent is on the status bar: how much, and whether there is a line."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from fieldlens.runtime.station.sending.tus import Receiver
from tests.runtime.station.page.conftest import SIGN, Visits, answered, serving_here
from tests.runtime.station.sending.receiver import receiving


def test_the_bar_says_what_waits(gated_folder: Path, tmp_path: Path, visits: Visits) -> None:
    with receiving(tmp_path / "received") as receiver:
        receiver.ready = False
        with serving_here(gated_folder, tmp_path, send=True, receiver=Receiver(receiver.url)) as served:
            page = answered(visits.open(served.url), SIGN)
            expect(page.locator("#bar-items")).to_contain_text("1 to send when there is a line")
            receiver.ready = True
            assert served.station.sender is not None
            served.station.sender._wake.set()
            expect(page.locator("#bar-items")).to_contain_text("Everything sent")
    assert len(list((tmp_path / "received").glob("*.tar"))) == 1
