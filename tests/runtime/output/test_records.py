"""Every kind of line of ``--json`` against the schema in ``docs/``, and the same facts in the CSV."""

from __future__ import annotations

import csv
import ctypes
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.fake import load
from fieldlens.runtime.bundle.decision import Decision
from fieldlens.runtime.bundle.manifest import ClassInfo, Manifest
from fieldlens.runtime.bundle.open import MANIFEST, open_bundle
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.machine import clock
from fieldlens.runtime.output.sinks import CsvSink, JsonSink
from fieldlens.runtime.prediction import AnswerOrigin, Failure, Notice, Prediction, Result, json_line
from tests.runtime.conftest import ORIGIN, jpeg, scene, seal, tiny_manifest

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs/answer.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
ANY = Decision("any", ("sign", "mark"), {"sign": 0.2, "mark": 0.9}, (0.0, 0.0), "sensitivity >= 0.9", {})


def decided(threshold: float, band: tuple[float, float] = (0.0, 0.0)) -> Manifest:
    decision = Decision("sum", ("sign",), {"sign": threshold}, band, "sensitivity >= 0.95", {})
    return replace(tiny_manifest(), decision=decision)


def several(decision: Decision | None, task: str) -> Manifest:
    classes = (ClassInfo("clear", "No sign"), ClassInfo("sign", "Sign"), ClassInfo("mark", "Mark"))
    return replace(tiny_manifest(), classes=classes, decision=decision, task=task)


MANIFESTS = {
    "refer": decided(0.0),
    "no-sign-found": decided(1.0),
    "uncertain": decided(0.5, (1e-9, 1.0)),
    "retake": replace(decided(0.5), quality={"limits": {"brightness": [254, 255]}, "bounds": {"brightness": [0, 255]}}),
    "classified": replace(tiny_manifest(), decision=None),
    "multilabel, classified": several(None, "multilabel"),
    "multilabel": several(ANY, "multilabel"),
    "multiclass of three": several(replace(ANY, rule="sum", thresholds={"sign": 0.3, "mark": 0.3}), "multiclass"),
}
"""Named by the outcome that they give where there is only one."""


def answered(copy: Path, manifest: Manifest) -> tuple[Prediction, AnswerOrigin]:
    seal(copy, manifest)
    bundle = open_bundle(copy, check_files=False)  # its golden images have two classes, and are not asked here
    with Classifier(bundle, load(LoadOptions(), "fp32", len(manifest.classes), 7, 16)) as classifier:
        return classifier.classify_bytes(jpeg(scene(1, 120, 160)), "ward 7/a.jpg"), classifier.origin


def checked(result: Result, origin: AnswerOrigin = ORIGIN) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(json_line(result, origin))
    VALIDATOR.validate(line)
    return line


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_line_of_every_outcome_fits_the_schema(kind: str, copy: Path) -> None:
    prediction, origin = answered(copy, MANIFESTS[kind])
    line = checked(prediction, origin)
    assert line["outcome"] == kind or "multi" in kind
    assert line["bundle_hash"] == hashlib.sha256((copy / MANIFEST).read_bytes()).hexdigest()
    assert (line["bundle_name"], line["bundle_version"], line["backend"]) == ("tiny", 3, "fake")
    assert line["host"]
    decision = MANIFESTS[kind].decision
    assert line["threshold"] == (decision.threshold if decision else None)
    assert line["band"] == (list(decision.band) if decision and decision.band[1] > 0 else None)


@pytest.mark.parametrize(
    "result",
    [Failure("a.jpg", "truncated"), Notice("csi://0", "lost", "gone"), Notice("csi://0", "recovered", "", 3.5)],
)
def test_failed_inputs_and_news_fit_it_and_say_what_would_have_answered(result: Result) -> None:
    line = checked(result)
    assert line["bundle_hash"] == ORIGIN.bundle_hash
    assert line["time_utc"] is not None


def test_the_schema_refuses_what_no_line_may_be(copy: Path) -> None:
    prediction, origin = answered(copy, MANIFESTS["refer"])
    good = checked(prediction, origin)
    bad: list[dict[str, Any]] = [
        {**good, "time_utc": "yesterday"},
        {**good, "time_utc": None},
        {**good, "clock": clock.NOT_SET},
        {**good, "score": None},
        {**good, "threshold": None},
        {**good, "outcome": "healthy"},
        {**good, "outcome": "retake"},
        {**good, "outcome": "uncertain", "band": None},
        {**good, "bundle_hash": "5a"},
        {**good, "probabilities": {}},
        {**good, "error": "but it went on"},
        {**good, "surprise": 1},
        *({key: value for key, value in good.items() if key != gone} for gone in good),
    ]
    assert [line for line in bad if VALIDATOR.is_valid(line)] == []


def test_a_clock_that_was_never_set_gives_no_time(tmp_path: Path) -> None:
    failure = Failure("a.jpg", "truncated", time_s=86_400.0 * 3)
    line = checked(failure)
    assert (line["time_utc"], line["clock"]) == (None, "clock not set")
    sink = CsvSink(tmp_path / "r.csv", tiny_manifest(), ORIGIN)
    sink.write(failure)
    sink.close()
    (row,) = csv.DictReader((tmp_path / "r.csv").read_text().splitlines())
    assert (row["time_utc"], row["clock"]) == ("", "clock not set")


def test_times_are_utc_to_the_millisecond() -> None:
    assert clock.time_utc(1_772_350_200.1254) == "2026-03-01T07:30:00.125Z"
    assert clock.time_utc(1_704_067_199.0) is None  # one second before 2024
    assert clock.clock_state(1_772_350_200.0) in (clock.SET, clock.SYNCHRONISED, clock.UNSYNCHRONISED)


@pytest.mark.parametrize(
    ("status", "expected"), [(0x40, clock.UNSYNCHRONISED), (0x01, clock.SYNCHRONISED), (-1, clock.SET)]
)
def test_the_kernel_is_asked_whether_the_clock_is_synchronised(
    status: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        @staticmethod
        def adjtimex(timex: Any) -> int:
            if status >= 0:
                timex[40:44] = status.to_bytes(4, "little")
            return min(status, 0)

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Libc)
    clock._kernel_state.cache_clear()
    try:
        assert clock.clock_state(1.8e9) == expected
    finally:
        clock._kernel_state.cache_clear()


def test_the_csv_has_the_same_facts(copy: Path, tmp_path: Path) -> None:
    prediction, origin = answered(copy, MANIFESTS["uncertain"])
    sinks = JsonSink(tmp_path / "r.jsonl", origin), CsvSink(tmp_path / "r.csv", MANIFESTS["uncertain"], origin)
    failure = Failure("b.jpg", "truncated")
    for sink in sinks:
        sink.write(prediction)
        sink.write(failure)
        sink.close()
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    for line, row in zip(lines, rows, strict=True):
        for name in (
            "time_utc",
            "clock",
            "source",
            "bundle_name",
            "bundle_hash",
            "backend",
            "precision",
            "device",
            "host",
        ):
            assert row[name] == line[name], name
        assert float(row["threshold"]) == line["threshold"]
        assert [float(row["band_low"]), float(row["band_high"])] == line["band"]
        assert row["bundle_version"] == str(line["bundle_version"])
    assert float(rows[0]["score"]) == lines[0]["score"]  # all digits
    assert (rows[1]["score"], rows[1]["error"]) == ("", "truncated")


def test_a_run_writes_lines_that_fit(bundle_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "good.jpg").write_bytes(jpeg(scene(1)))
    (tmp_path / "bad.jpg").write_bytes(b"")
    words = ["--bundle", bundle_folder, "--state", tmp_path / "state", "--backend", "fake", "--json", "-"]
    command = [sys.executable, "-m", "runtime", "classify", tmp_path, *words]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        VALIDATOR.validate(line)
    assert [line["record"] for line in lines] == ["failure", "answer"]
