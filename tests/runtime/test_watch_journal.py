"""``--watch`` goes on where it was: a minute (``--full``: ten) of files that come, change and go, killed twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.cli import main
from fieldlens.runtime.sources import folder
from tests.runtime.conftest import jpeg, scene
from tests.runtime.dicom_made import NAME, PATIENT, ct
from tests.runtime.dicom_second import shipped
from tests.runtime.test_classify import ROOT, command

GOOD = jpeg(scene(1, 120, 160))


class Folder:
    """Somebody who fills a folder, in every way that people and programs do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.good: set[str] = set()
        self.broken: set[str] = set()
        self.gone: set[str] = set()
        self.written: Counter[str] = Counter()
        self._random = random.Random(7)
        self._open: list[tuple[str, int]] = []
        self._number = 0

    def step(self) -> None:
        """One more thing happens."""
        self._number += 1
        kind = self._random.choice(
            [
                "whole",
                "whole",
                "moved",
                "half",
                "bytes",
                "newline",
                "broken",
                "below",
                "rename",
                "delete",
                "again",
                "link",
            ]
        )
        getattr(self, f"_{kind}")()
        if len(self._open) > 3:
            self.finish_one()

    def _name(self, kind: str) -> str:
        return str(self.folder / f"{kind}-{self._number:05d}.jpg")

    def _write(self, path: str, data: bytes = GOOD) -> None:
        Path(path).write_bytes(data)
        self.written[path] += 1
        self.good.add(path)

    def _whole(self) -> None:
        self._write(self._name("whole"))

    def _moved(self) -> None:
        path = self._name("moved")
        Path(f"{path}.part").write_bytes(GOOD)
        os.replace(f"{path}.part", path)  # noqa: PTH105
        self.written[path] += 1
        self.good.add(path)

    def _half(self) -> None:
        path = self._name("half")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(handle, GOOD[: len(GOOD) // 2])
        self._open.append((path, handle))

    def finish_one(self) -> None:
        path, handle = self._open.pop(0)
        os.write(handle, GOOD[len(GOOD) // 2 :])
        os.close(handle)
        self.written[path] += 1
        self.good.add(path)

    def finish(self) -> None:
        while self._open:
            self.finish_one()

    def _bytes(self) -> None:
        self._write(os.fsdecode(os.fsencode(self.folder) + b"/b\xff\xfe-%d.jpg" % self._number))

    def _newline(self) -> None:
        self._write(str(self.folder / f"new\nline-{self._number}.jpg"))

    def _broken(self) -> None:
        path = self._name("broken")
        Path(f"{path}.part").write_bytes(GOOD[:500] + b"\xff\xd9")
        os.replace(f"{path}.part", path)  # noqa: PTH105
        self.broken.add(path)

    def _below(self) -> None:
        below = self.folder / f"day-{self._number // 50}"
        below.mkdir(exist_ok=True)
        self._write(str(below / f"{self._number}.jpg"))

    def _link(self) -> None:
        (self.folder / f"dangling-{self._number}.jpg").symlink_to("nowhere")

    def _some(self) -> str:
        return self._random.choice(sorted(self.good)) if self.good else ""

    def _rename(self) -> None:
        if path := self._some():
            new = self._name("renamed")
            os.replace(path, new)  # noqa: PTH105
            self.good.remove(path)
            self.gone.add(path)
            self.written[new] += 1
            self.good.add(new)

    def _delete(self) -> None:
        if path := self._some():
            Path(path).unlink()
            self.good.remove(path)
            self.gone.add(path)

    def _again(self) -> None:
        if path := self._some():
            self._write(path, jpeg(scene(self._number, 120, 160)))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize(
    ("seconds", "workers"), [(60.0, 0), pytest.param(600.0, 2, marks=pytest.mark.full)], ids=["a-minute", "ten-minutes"]
)
def test_nothing_is_missed_and_nothing_is_repeated_unmarked(
    basic: Sequence[object], tmp_path: Path, seconds: float, workers: int
) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    results = tmp_path / "r.jsonl"
    options = ("--watch", "--json", results, "--csv", tmp_path / "r.csv", "--workers", workers)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command("classify", inbox, *basic, *options), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    somebody, began = Folder(inbox), time.monotonic()
    running, kills = start(), [seconds / 3, seconds * 2 / 3]
    rest_s = 8.0
    while (elapsed := time.monotonic() - began) < seconds - rest_s:
        somebody.step()
        time.sleep(0.02)
        if kills and elapsed > kills[0]:
            kills.pop(0)
            running.kill()
            assert b"Traceback" not in running.communicate()[1]
            for _ in range(10):  # while nobody watches
                somebody.step()
            running = start()
    somebody.finish()
    wanted, until = somebody.good | somebody.broken, time.monotonic() + 60
    while not wanted <= {r["source"] for r in records(results)} and time.monotonic() < until:
        time.sleep(0.5)
    time.sleep(1.0)
    running.send_signal(signal.SIGTERM)
    said = running.communicate(timeout=30)[1]
    assert b"Traceback" not in said
    assert running.returncode == 3
    check(somebody, records(results))


def check(somebody: Folder, found: list[dict[str, Any]]) -> None:
    answered = {r["source"] for r in found if r["outcome"]}
    failed = {r["source"] for r in found if r["error"]}
    assert somebody.good <= answered, sorted(somebody.good - answered)
    assert somebody.broken <= failed
    once = Counter(r["source"] for r in found if not r.get("possibly_repeated") and r["outcome"])
    assert {path: count for path, count in once.items() if count > somebody.written[path]} == {}
    assert all(path in somebody.broken | somebody.gone | somebody.good for path in failed)
    marked = [r for r in found if r.get("possibly_repeated")]
    assert len(marked) <= 4, "at most what was under way at a kill"
    assert len(answered) > 50


def test_dicom_files_are_answered_once_and_the_journal_names_no_patient(
    basic: Sequence[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "REST_S", 1.0)  # nobody says that they are complete
    inbox = tmp_path / "in"
    (inbox / NAME).mkdir(parents=True)
    (inbox / NAME / f"{PATIENT}.dcm").write_bytes(ct(1))
    (inbox / f"{PATIENT}.jpg").write_bytes(ct(2))  # by the name of another format: refused, once
    (inbox / "clip.dcm").write_bytes(shipped("SC_rgb_rle_2frame.dcm").read_bytes())
    (inbox / "plain.jpg").write_bytes(GOOD)
    for path in inbox.rglob("*.*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    results = tmp_path / "r.jsonl"

    def watched(number: int) -> int:
        options = ("--watch", "--json", results, "--limit", number, "--duration", 60)
        main(list(map(str, ("classify", inbox, *basic, *options))))
        return len(records(results))

    assert watched(5) == 5
    (journal,) = (tmp_path / "state" / "watch").glob("*.jsonl")
    kept = journal.read_text()
    assert kept.count('"done"') == 4
    assert kept.count('["done", "dicom:') == 3
    assert NAME.lower() not in kept.lower()
    assert PATIENT.lower() not in kept.lower()
    (inbox / "more.jpg").write_bytes(GOOD)
    assert watched(1) == 6
    assert not [each for each in records(results) if each.get("possibly_repeated")]
