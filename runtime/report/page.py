"""A report's facts as one self-contained page: for the engineer who compares, and for whoever looks after a station."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fieldlens.runtime.files.printable import html_text as escape
from fieldlens.runtime.report.charts import Band, Gap, Points, histogram, shares, time_panel
from fieldlens.runtime.report.diagnosis import FEWEST
from fieldlens.runtime.report.results import results
from fieldlens.runtime.report.results_style import RESULTS_STYLE
from fieldlens.runtime.report.style import STYLE
from fieldlens.runtime.report.table_script import SCRIPT_HASH
from fieldlens.runtime.running.latency import PERCENTILES, Summary, carried, milliseconds, needed, shown, stage_name
from fieldlens.runtime.view.gallery import Thumbnail

COLUMNS = ("p50", "p90", "p95", "p99", "p99.9", "max", "mean", "std")
MEANINGS = {
    "frame_age": "from the camera's capture to the start of our work",
    "decode": "reading the file and unpacking it (for a camera: unpacking its frame)",
    "preprocess": "turning, cropping and scaling to the network's input",
    "host_to_device": "copying the input to the GPU",
    "inference": "the network",
    "device_to_host": "copying the outputs back",
    "postprocess": "quality gate, probabilities and decision",
    "wait": "an image that workers had prepared, or that came by the clock, waited for its turn",
    "total": "from the image at hand to the answer, measured on its own",
    "camera_to_answer": "from the camera's capture to the answer",
    "enqueue": "the CPU's time to hand the work to the GPU, a part of inference",
}
_PARTS = ("decode", "preprocess", "host_to_device", "inference", "device_to_host", "postprocess", "wait")


def page(facts: dict[str, Any], gallery: Sequence[Thumbnail] = ()) -> str:
    """The HTML. Loads nothing: styles, images and the table's script are inside, and a policy forbids the rest."""
    backend = facts["backend"]
    title = f"{facts['bundle']['title']}: {backend['name']} {backend['version']}, {backend['precision']}"
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(facts, gallery)}">'
        f"<title>{escape(title)}</title><style>{STYLE}{RESULTS_STYLE}</style>"
    )
    body = "".join(_body(facts, title, gallery))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _policy(facts: dict[str, Any], gallery: Sequence[Thumbnail]) -> str:
    script = f"; script-src '{SCRIPT_HASH}'" if facts["results"] and facts["results"]["rows"] else ""
    return f"default-src 'none'; style-src 'unsafe-inline'{script}{'; img-src data:' if gallery else ''}"


def _body(facts: dict[str, Any], title: str, gallery: Sequence[Thumbnail]) -> Iterator[str]:
    run, conditions = facts["run"], facts["conditions"]
    where = escape(str(conditions["start"].get("device", "")))
    when = escape(str(conditions["start"].get("time_utc", "")))
    yield f"<header><h1>{escape(title)}</h1>"
    yield f'<p class="soft">{where} · {when} · ended by {escape(run["ended_by"])}</p></header><main>'
    if facts["bundle"]["signed_by"] is None:
        words = escape(facts["bundle"]["signed"])
        yield f'<div class="note warn"><b>No signature was checked</b><p>This bundle is {words}.</p></div>'
    if verdict := facts["single_stream"] or facts["fixed_rate"]:
        yield _verdict(verdict)
    if facts["results"]:
        yield from results(facts, gallery)
        yield "<h2>Latency</h2>"
    yield f'<p class="lead">{escape(summary_sentence(run, facts["percentile"]))}</p>'
    yield _tiles(facts)
    yield "<h2>What held this run back</h2>" + _findings(facts)
    if run["images"]:
        yield "<h2>Where the time goes</h2>" + shares(_median_parts(run["latency_ms"]))
        yield '<p class="soft">Medians of the stages, one after the other.</p>'
        yield "<h2>Latency per image</h2>" + _latency_table(run["latency_ms"])
        yield "<h2>How the total is spread</h2>" + histogram(run["histogram_total_ms"], _marks(run["latency_ms"]))
        yield '<p class="soft">The outermost bars also hold what lies beyond them.</p>'
        yield '<h2>Over the run</h2><div class="panels">' + "".join(time_panels(facts)) + "</div>"
    if not facts["results"]:
        yield "<h2>Outcomes</h2>" + _table({name: f"{count:,}" for name, count in sorted(run["outcomes"].items())})
    for heading, rows in _condition_groups(facts):
        yield f"<h2>{heading}</h2>{_table(rows)}" if rows else ""
    if run["failures"] and not facts["results"]:
        failures = {failure["source"]: failure["error"] for failure in run["failures"]}
        yield "<h2>Not classified</h2>" + _table(failures)
    yield "<h2>What the stages mean</h2>" + _meanings(run["latency_ms"]) + "</main>"


def summary_sentence(run: dict[str, Any], asked: str) -> str:
    """What a person wants to know first. ``asked``: the percentile's name, ``p99``."""
    total = run["latency_ms"]["total"]
    if not run["images"]:
        return "No image was classified."
    reported = f"Half of the {run['images']:,} images were answered within {milliseconds(total['p50'])} ms"
    if asked == "p50" or asked not in run["intervals_total_ms"]:
        return f"{reported}, the slowest within {milliseconds(total['max'])} ms."
    low, high = run["intervals_total_ms"][asked]
    sure = f"{milliseconds(low)} to {milliseconds(high)} ms with 95% confidence"
    return f"{reported}, and {asked[1:]}% within {milliseconds(total[asked])} ms ({sure})."


def _verdict(verdict: dict[str, Any]) -> str:
    held = verdict["verdict"] == "VALID"
    rows = "".join(
        f"<tr><td>{escape(c['rule'])}</td><td>{escape(c['found'])}</td><td>{escape(c['asked'])}</td>"
        f"<td>{'held' if c['held'] else '<b>broken</b>'}</td></tr>"
        for c in verdict["checks"]
    )
    short = "" if verdict["comparable"] else "<p>Shorter than 600 s: for a quick look, not for comparison.</p>"
    return (
        f'<div class="note {"good" if held else "bad"}">'
        f"<b>{verdict['verdict']}: {escape(verdict['headline'])}</b>"
        f"<p>{escape(verdict['described'])}</p>{short}</div>"
        '<div class="wide" tabindex="0"><table class="rules">'
        "<tr><th>rule</th><th>found</th><th>asked</th><th></th></tr>"
        f"{rows}</table></div>"
    )


def _tiles(facts: dict[str, Any]) -> str:
    run, telemetry, asked = facts["run"], facts["telemetry"], facts["percentile"]
    total = run["latency_ms"]["total"]
    tiles = [
        ("images", f"{run['images']:,}", f"{run['failed']:,} not classified"),
        ("p50", f"{milliseconds(total['p50'])} ms", ""),
        *([(asked, f"{shown(total, asked)} ms", _sure(run, asked))] if asked != "p50" else []),
        ("slowest", f"{milliseconds(total['max'])} ms", ""),
        ("jitter", f"{milliseconds(run['jitter_ms'])} ms", "mean step between neighbours"),
        ("images a second", f"{run['images_per_second']:.1f}", f"over {run['seconds']:.1f} s"),
        ("frames dropped", f"{run['frames_dropped']:,}", ""),
    ]
    if "camera_to_answer" in run["latency_ms"]:
        seen = run["latency_ms"]["camera_to_answer"]
        tiles.insert(1, ("camera to answer, p95", f"{milliseconds(seen['p95'])} ms", ""))
    if telemetry["energy_per_picture_j"] is not None:
        tiles.append(("energy an image", f"{telemetry['energy_per_picture_j']:.3g} J", telemetry["power_of"]))
    if telemetry["hottest"] is not None:
        zone = telemetry["hottest"]
        tiles.append(("hottest", f"{zone['max_c']:.0f} °C", f"{zone['zone']}, from {zone['start_c']:.0f} °C"))
    cells = (
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(more)}</small></div>'
        for name, value, more in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _sure(run: dict[str, Any], name: str) -> str:
    if name not in run["intervals_total_ms"]:
        return f"needs {needed(float(name[1:]))} images"
    low, high = run["intervals_total_ms"][name]
    return f"{milliseconds(low)}–{milliseconds(high)}, 95% sure"


def _findings(facts: dict[str, Any]) -> str:
    if not facts["diagnosis"]:
        few = facts["run"]["images"] < FEWEST
        words = f"Too few images to tell: {FEWEST} are needed." if few else "Nothing was found."
        return f'<div class="note {"warn" if few else "good"}"><b>{words}</b></div>'
    return "".join(
        f'<div class="note warn"><b>{escape(found["rule"].replace("-", " "))}</b>'
        f"<p>{escape(found['words'])}.</p><p>What to do: {escape(found['advice'])}.</p></div>"
        for found in facts["diagnosis"]
    )


def _median_parts(latency: dict[str, dict[str, float]]) -> dict[str, float]:
    return {stage_name(stage): latency[stage]["p50"] for stage in _PARTS if stage in latency}


def _marks(latency: dict[str, Summary]) -> dict[str, float]:
    total = latency["total"]
    return {name: total[name] for name in ("p50", "p90", "p99") if carried(total, name)}


def _latency_table(latency: dict[str, Summary]) -> str:
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    rows = "".join(
        f"<tr{' class=total' if stage == 'total' else ''}><td>{escape(stage_name(stage))}</td>"
        + "".join(f"<td>{shown(values, column)}</td>" for column in COLUMNS)
        + "</tr>"
        for stage, values in latency.items()
    )
    count = int(latency["total"]["n"])
    lacking = ", ".join(f"p{p:g} needs {needed(p):,}" for p in PERCENTILES if count < needed(p))
    doubts = f" A question mark: too few images to trust that percentile ({lacking})." if lacking else ""
    note = f'<p class="soft">Milliseconds.{doubts}</p>'
    return f'<div class="wide" tabindex="0"><table><tr><th>stage</th>{head}</tr>{rows}</table></div>{note}'


def time_panels(facts: dict[str, Any]) -> Iterator[str]:
    """Latency, and under it on the same scale of time: temperature, power, clocks."""
    line, end_s = facts["run"]["time_line"], max(facts["run"]["seconds"], 1e-3)
    second = line["second"]
    columns = [list(zip(second, line[name], strict=True)) for name in ("min_ms", "mean_ms", "max_ms")]
    low, mean, high = columns
    slowest, usual = max(line["max_ms"]), facts["run"]["latency_ms"]["total"]["p99"] or max(line["mean_ms"])
    top = usual * 2 if slowest > usual * 4 else None
    lines = {f"mean of each {line['width_s']:g} s (the band: fastest to slowest)": mean}
    gaps = _gaps(facts["run"]["cameras"])
    yield time_panel("Total latency", "ms", lines, end_s, Band(low, high), top, gaps)
    if top is not None:
        yield f'<p class="soft">Marks at the upper edge: beyond the scale; the slowest took {slowest:.0f} ms.</p>'
    samples = facts["telemetry"]["samples"]
    for field, title, unit in (
        ("temperature_c", "Temperature", "°C"), ("power_w", "Power", "W"), ("clock_mhz", "Clocks", "MHz")
    ):  # fmt: skip
        yield time_panel(title, unit, _series(samples, field), end_s, gaps=gaps)
    if not any(sample[field] for sample in samples for field in ("temperature_c", "power_w", "clock_mhz")):
        yield '<p class="soft">This machine shows no temperature, power or clock (a virtual machine, mostly).</p>'


def _gaps(cameras: list[dict[str, Any]]) -> tuple[Gap, ...]:
    """Every camera's outages; one that never ended has lasted until the end of the run."""
    found = [outage for camera in cameras for outage in camera["outages"]]
    return tuple(Gap(each["second"], each["second"] + each["seconds"], each["reason"]) for each in found)


def _series(samples: list[dict[str, Any]], field: str) -> dict[str, Points]:
    """At most six lines: those with the highest values, named by their sensor."""
    found: dict[str, Points] = {}
    for sample in samples:
        for name, value in sample[field].items():
            found.setdefault(name, []).append((sample["second"], value))
    strongest = sorted(found, key=lambda name: -max(value for _, value in found[name]))
    return {name: found[name] for name in strongest[:6] if len(found[name]) > 1}


def _condition_groups(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    backend, bundle = facts["backend"], facts["bundle"]
    start, end = dict(facts["conditions"]["start"]), facts["conditions"]["end"]
    versions = start.pop("versions", {})
    yield "Model and backend", _filled({
        "bundle": f"{bundle['title']} ({bundle['hash'][:16]}…)",
        "signature": bundle["signed"],
        "threshold": facts["decision"]["threshold_from"] or "",
        "backend": f"{backend['name']} {backend['version']} on {backend['device']}",
        "precision, as the model reports it": backend["precision"],
        "threads": str(backend["threads"]),
        "chosen because": "; ".join(backend["chosen_because"]),
        "golden images": _golden(facts["run"]),
        "notes": "; ".join((*backend["notes"], *facts["run"]["notes"])),
    })  # fmt: skip
    changed = {key: value for key, value in end.items() if value != start.get(key) and key != "versions"}
    rows = {key.replace("_", " "): _told(value, changed.get(key)) for key, value in start.items()}
    yield "Machine", _filled({**rows, "versions": ", ".join(f"{name} {number}" for name, number in versions.items())})
    yield "Heat and power", _filled(_telemetry_rows(facts["telemetry"]))


def _golden(run: dict[str, Any]) -> str:
    check, repeats = run["golden_check"], run["golden_repeats"]
    if check is None:
        return ""
    return (
        f"{check['images']} answered as accepted in {check['ms']:.0f} ms (logits differ by "
        f"{check['max_logit_difference']:.3g}, {check['allowed_logit_difference']:.3g} allowed)"
        + (f", {repeats} times again" if repeats else "")
    )


def _told(value: Any, later: Any) -> str:
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    if later is None:
        return text
    return f"{text} at the start, {later:.2f} at the end" if isinstance(later, float) else f"{text}, then {later}"


def _telemetry_rows(telemetry: dict[str, Any]) -> dict[str, str]:
    hottest, others = telemetry["hottest"], telemetry["others_share"]
    visible = any(sample["throttles"] or sample["cooling"] for sample in telemetry["samples"])
    events = [f"{kind} {count}×" for kind, count in telemetry["throttle_events"].items()]
    events += [f"{kind} {share:.0%} of the run" for kind, share in telemetry["cooling_share"].items()]
    return {
        "hottest zone": "{zone}: {start_c:.1f} °C at the start, {end_c:.1f} at the end".format(**hottest)
        if hottest
        else "",
        "throttling": ", ".join(events) or ("none" if visible else "this machine does not show it"),
        "mean power": f"{telemetry['power_w']:.2f} W, {telemetry['power_of']}" if telemetry["power_w"] else "",
        "energy an image": f"{telemetry['energy_per_picture_j']:.3g} J" if telemetry["energy_per_picture_j"] else "",
        "cores' time taken by others": f"{others:.0%}" if others is not None else "",
    }


def _meanings(latency: dict[str, Any]) -> str:
    rows = (f"<dt>{escape(stage_name(stage))}</dt><dd>{escape(MEANINGS[stage])}</dd>" for stage in latency)
    return f"<dl>{''.join(rows)}</dl>"


def _filled(rows: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in rows.items() if value}


def _table(rows: dict[str, str]) -> str:
    if not rows:
        return '<p class="soft">None.</p>'
    cells = "".join(f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in rows.items())
    return f'<div class="wide" tabindex="0"><table class="facts">{cells}</table></div>'
