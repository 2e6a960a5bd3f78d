"""The report: one page that loads nothing, and the same facts as JSON."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fieldlens.runtime.backends.base import BackendInfo
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.machine.host import conditions
from fieldlens.runtime.machine.sensors import Sensors
from fieldlens.runtime.machine.telemetry import TelemetryRecord
from fieldlens.runtime.prediction import ALWAYS, STAGES, Failure
from fieldlens.runtime.report.charts import Band, Gap, histogram, shares, time_panel
from fieldlens.runtime.report.diagnosis import Diagnosis, Evidence, diagnose
from fieldlens.runtime.report.facts import Observed, report_facts, write_report
from fieldlens.runtime.report.page import MEANINGS, page
from fieldlens.runtime.running.latency import LatencyLog
from fieldlens.runtime.running.run import RunLog
from fieldlens.runtime.running.single_stream import judge
from fieldlens.runtime.sources.cameras.camera import CameraLog
from tests.runtime.layouts import orin_nano
from tests.runtime.report.test_diagnosis import quiet, simulated

INFO = BackendInfo("tensorrt", "10.3.0", "Orin (nvgpu)", "int8", 1, ("CUDA graph: on", "memory: zero-copy"))
VOID = {"meta", "img", "input", "rect", "line", "polyline", "polygon"}


class Balanced(HTMLParser):
    """Every element is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A closed one."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def run_log(latency: LatencyLog, **fields: Any) -> RunLog:
    answered = latency.stages["total"].count
    log = RunLog(latency=latency, seconds=20.0, **fields)
    log.outcomes.update({"refer": answered // 4, "no-sign-found": answered - answered // 4})
    return log


def facts_of(bundle: Bundle, tmp_path: Path, log: RunLog, percentile: float = 99.0) -> dict[str, Any]:
    start = conditions(orin_nano(tmp_path / "orin"))
    record = TelemetryRecord(quiet())
    diagnosis = diagnose(Evidence(log.latency, record, percentile))
    around = Observed(start, {**start, "load_1min": 9.87}, record, diagnosis, percentile)
    return json.loads(json.dumps(report_facts(log, bundle, INFO, ("it was asked for",), around)))


def words_of(html: str) -> str:
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    return " ".join(" ".join(parser.text).split())


def test_the_page_says_everything(bundle: Bundle, tmp_path: Path) -> None:
    words = words_of(page(facts_of(bundle, tmp_path, run_log(simulated()))))
    for expected in (
        "tiny v3: tensorrt 10.3.0, int8", "Half of the 3,000 images were answered within 6.6", "95% confidence",
        "p99.9", "jitter", "images a second", "frames dropped", "Nothing was found.", "capture/decode",
        "NVIDIA Jetson Orin Nano", "JetPack 6.2", "15W", "cpu free, 115–1510 MHz", "CUDA graph: on", "zero-copy",
        "int8", "threads", "it was asked for", "energy an image", "whole board (VDD_IN)", "hottest zone",
        "cpu: 50.0 °C at the start, 51.9 at the end", "throttling none", "9.87 at the end", "12.6.11", "Temperature",
        "Power", "Clocks",
    ):  # fmt: skip
        assert expected in words, expected


def test_the_page_loads_nothing(bundle: Bundle, tmp_path: Path) -> None:
    html = page(facts_of(bundle, tmp_path, run_log(simulated())))
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|//\w|<script|<link|<img|<iframe|@import|url\(|\son\w+=", html)


def test_what_others_named_cannot_become_markup(bundle: Bundle, tmp_path: Path) -> None:
    evil = '<img src=x onerror="alert(1)">'
    log = run_log(simulated(), failed=1, failures=[Failure(evil, evil)], ended_by=evil, notes=[evil])
    facts = facts_of(bundle, tmp_path, log)
    facts["bundle"]["title"] = facts["conditions"]["start"]["device"] = evil
    facts["diagnosis"] = [{"rule": evil, "words": evil, "advice": evil}]
    facts["telemetry"]["samples"][0]["temperature_c"][evil] = 1.0
    facts["telemetry"]["samples"][1]["temperature_c"][evil] = 1.0
    html = page(facts)
    assert "<img" not in html
    assert html.count("&lt;img") >= 8


def test_findings_come_with_what_to_do(bundle: Bundle, tmp_path: Path) -> None:
    words = words_of(page(facts_of(bundle, tmp_path, run_log(simulated(decode=30.0)))))
    assert "decode bound decode takes 3" in words
    assert "What to do: give smaller images" in words
    assert "Nothing was found" not in words


def test_a_handful_of_images_gets_dashes_and_no_verdict(bundle: Bundle, tmp_path: Path) -> None:
    words = words_of(page(facts_of(bundle, tmp_path, run_log(simulated(count=7)), percentile=50.0)))
    assert "Too few images to tell: 30 are needed." in words
    assert "p99 needs 299" in words
    assert "the slowest within" in words


def test_a_run_without_an_answer_has_a_page(bundle: Bundle, tmp_path: Path) -> None:
    log = RunLog(failed=1, failures=[Failure("a.jpg", "truncated")], seconds=0.1)
    words = words_of(page(facts_of(bundle, tmp_path, log)))
    assert "No image was classified." in words
    assert "truncated" in words


def test_a_camera_shows_its_own_latency(bundle: Bundle, tmp_path: Path) -> None:
    log = run_log(simulated(frame_age=12.0, camera_to_answer=19.0), dropped=42)
    words = words_of(page(facts_of(bundle, tmp_path, log)))
    for expected in ("camera to answer, p95", "frame age", "42"):
        assert expected in words


def test_a_machine_without_sensors_says_so(bundle: Bundle, tmp_path: Path) -> None:
    log = run_log(simulated())
    bare = TelemetryRecord([Sensors(tmp_path).read(), Sensors(tmp_path).read()])
    around = Observed(conditions(tmp_path), conditions(tmp_path), bare, (), 99.0)
    words = words_of(page(report_facts(log, bundle, INFO, (), around)))
    assert "shows no temperature, power or clock" in words
    assert "throttling this machine does not show it" in words
    assert "energy" not in words


def test_a_valid_benchmark_says_what_it_is_not(bundle: Bundle, tmp_path: Path) -> None:
    log = run_log(simulated(), ended_by="the rules: time and queries reached")
    log.seconds = 61.0
    facts = facts_of(bundle, tmp_path, log)
    facts["single_stream"] = json.loads(json.dumps(judge(log, 0, 5).to_json()))
    words = words_of(page(facts))
    assert "VALID: p90" in words
    assert "INVALID" not in words
    assert "not an official MLPerf result" in words


def test_json_and_page_are_written_together(bundle: Bundle, tmp_path: Path) -> None:
    around = Observed(conditions(), conditions(), TelemetryRecord([]), (Diagnosis("busy-machine", "a", "b"),), 99.0)
    size = write_report(tmp_path / "r.html", report_facts(run_log(simulated()), bundle, INFO, (), around))
    assert size == (tmp_path / "r.html").stat().st_size
    facts = json.loads((tmp_path / "r.json").read_text())
    assert facts["format"] == 1
    assert facts["run"]["latency_ms"]["total"]["p99.9"] is not None
    assert facts["run"]["intervals_total_ms"]["p99"][0] <= facts["run"]["latency_ms"]["total"]["p99"]
    assert sum(facts["run"]["time_line"]["count"]) == 3000
    assert facts["diagnosis"][0]["rule"] == "busy-machine"


def test_every_stage_is_explained() -> None:
    assert set(MEANINGS) == set(STAGES) >= set(ALWAYS)


@pytest.mark.parametrize("values", [[5.0, 5.0], [0.0, 0.0], [47.3, 51.2], [1e-4, 3e4], [1190.0, 1510.4]])
def test_scales_hold_every_value_and_end_in_round_numbers(values: list[float]) -> None:
    points = list(enumerate(values))
    html = time_panel("T", "u", {"a": [(float(x), y) for x, y in points]}, 1.0)
    top, middle, bottom = (float(text.replace(",", "")) for text in re.findall(r"<span>([\d.,e+-]+)</span>", html)[:3])
    assert bottom <= min(values) <= max(values) <= top
    assert middle == pytest.approx((top + bottom) / 2, rel=0.01)


def test_a_cut_scale_marks_what_is_beyond() -> None:
    line = [(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)]
    band = Band(line, [(0.0, 5.5), (1.0, 900.0), (2.0, 5.5)])
    assert time_panel("T", "ms", {"mean": line}, 2.0, band, top=10.0).count('class="cut"') == 1


def test_an_outage_is_shaded_and_the_line_stops_there() -> None:
    line = [(float(second), 5.0) for second in (0, 1, 2, 7, 8)]
    gaps = (Gap(2.2, 6.9, "no image for <2.5> s"), Gap(7.4, 7.6, "a blink"))
    html = time_panel("T", "ms", {"mean": line}, 10.0, Band(line, line), gaps=gaps)
    assert '<rect class="gone" x="220.0" y="0" width="470.0"' in html
    assert "4.7 s without a camera: no image for &lt;2.5&gt; s" in html
    assert html.count("<polyline") == html.count("<polygon") == 2  # a blink does not cut the line
    assert "camera lost" in html
    assert "camera lost" not in time_panel("T", "ms", {"mean": line}, 10.0, Band(line, line))


def test_the_page_draws_what_happened_to_the_camera(bundle: Bundle, tmp_path: Path) -> None:
    camera = CameraLog("v4l2://0")
    camera.outages.append((4.0, 6.0, "frozen: the same image for 2.5 s"))
    html = page(facts_of(bundle, tmp_path, run_log(simulated(), cameras=[camera])))
    panels = html.count("<h3>")
    assert html.count('<rect class="gone" x="200.0" y="0" width="300.0"') == panels >= 4
    words_of(html)


def test_charts_of_nothing() -> None:
    assert "No answers" in histogram([], {})
    assert time_panel("T", "u", {}, 1.0) == shares({}) == ""
