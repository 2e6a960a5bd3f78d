"""What ``record`` measures beside the comparison, as Markdown: a table each, and the words to read it by."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from fieldlens.benchmarks.device.roofline.peaks import Measured


def how_quiet(quiet: dict[str, Any]) -> str:
    """The three witnesses, in a sentence."""
    return (
        f"Quiet: load average {quiet['load_1min']:.2f} before the start, others took {quiet['others_cpu_share']:.1%} "
        f"of the cores' time and the hypervisor {quiet['steal_share']:.1%}; the reference loop wandered "
        f"{quiet['reference_wander']:.1%}."
    )


def _roofline(value: dict[str, Any]) -> str:
    peaks, stages = ["| memory, GB/s | " + _spread(value["bandwidth_gb_s"]) + " | |"], []
    for name, rate in value["peaks_gops"].items():
        floor = _spread(value["floors_ms"][name])
        peaks.append(f"| {name}, Gop/s | {_spread(rate)} | {floor}, by {value['bound'][name]} |")
    for stage in value["stages"]:
        least = stage["floor_ms"]
        times = stage["p50_ms"] / least["value"]
        stages.append(
            f"| {stage['name']} | {stage['p50_ms']:.2f} | {stage['bare_ms']:.2f} | {_spread(least)} | {times:.1f} |"
        )
    return _section(
        "The limit",
        "What this machine does at best, from kernels of known size, and what that allows for this network: its "
        f"{value['operations'] / 1e9:.2f} billion multiplications and additions at the peak rate, or its weights once "
        "through memory, whichever takes longer.",
        _rows("| peak | value [from, to] | floor of the network, ms |", peaks),
        "**bare call**: the one library call that a person would write for the stage, alone: simplejpeg, OpenCV's "
        "`INTER_AREA` from the whole image, and OpenVINO. **floor**: for decoding and scaling only the bytes that "
        "must move; the Huffman code of a JPEG has no floor that is known.",
        _rows(f"| stage at {value['precision']} | p50 ms | bare call | floor ms | × floor |", stages),
        how_quiet(value["quiet"]),
    )


def _training(value: dict[str, Any]) -> str:
    settings, shares, rows = value["settings"], value["shares"], []
    for name, rates in value["rates"].items():
        whole = settings["epochs"] * value["trained_on"] / median(rates["whole_s"])
        rows.append(f"| {name} | {median(rates['images_per_s']):.0f} | {whole:.0f} |")
    words = (
        "A whole run is a process from its start to its end, as a person waits for it: few epochs, so mostly what "
        "comes around them. `train fit` also validates after every epoch, calibrates, finds its threshold and stores "
        "checkpoints; the plain loop does none of that, and decodes in every epoch what `fit` decodes once. The "
        f"epochs of `train fit`, decoding counted in, reach {median(shares):.1%} of forward and backward on preloaded "
        f"tensors (turns: {min(shares):.1%} to {max(shares):.1%})."
    )
    return _section(
        "Training",
        f"{settings['arch']} at {settings['size']} px, {value['trained_on']} JPEG images, {settings['epochs']} "
        f"epochs, batches of {settings['batch_size']}, {settings['rounds']} turns each.",
        _rows("| | images/s in an epoch | images/s, whole run |", rows),
        words,
        how_quiet(value["quiet"]),
    )


def _conversion(value: dict[str, Any]) -> str:
    settings = value["settings"]
    rows = [f"| {name} | {median(seconds):.1f} |" for name, seconds in value["seconds"].items()]
    return _section(
        "Conversion",
        f"`convert bundle` of {settings['arch']} at {settings['size']} px for all targets, {settings['rounds']} "
        f"rounds. The network was trained for {settings['epochs']} epochs on its part of {settings['images']} "
        "images. The whole process has its start beside the steps: torch is imported.",
        _rows("| step | median s |", [*rows, f"| the whole process | {median(value['whole_s']):.1f} |"]),
        how_quiet(value["quiet"]),
    )


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join([f"### {title}", *paragraphs])


def _rows(header: str, rows: list[str]) -> str:
    """The first column to the left, figures to the right."""
    return "\n".join([header, "|---|" + "---:|" * (header.count("|") - 2), *rows])


def _spread(value: dict[str, float]) -> str:
    return str(Measured(**value))


PARTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "roofline": _roofline, "training": _training, "conversion": _conversion,
}  # fmt: skip
"""File → its section, in the page's order."""
