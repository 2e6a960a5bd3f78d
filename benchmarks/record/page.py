"""``docs/benchmarks.md`` from ``benchmarks/results/``: nobody types a figure into it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fieldlens.benchmarks.record import noted
from fieldlens.benchmarks.record.page_parts import PARTS, how_quiet
from fieldlens.runtime.errors import KitError

_HEAD = """# Benchmarks

Written by `fieldlens bench docs` from `benchmarks/results/`; do not edit it. Every figure stands with the
conditions it was measured under, and a run on a machine that was not quiet is not kept. Figures that were noted
outside of `record` come last, under a title that says so.

```bash
fieldlens bench compare --bundle NAME.bundle --images DIR --labels labels.csv  # your bundle, your images
fieldlens bench compare --random resnet18                                      # no bundle at hand
fieldlens bench roofline --random resnet18                                     # what this machine could do at best
fieldlens bench record --bundle NAME.bundle --power-mode "15 W"                # add your device to this page
fieldlens bench agree RUN LATER-RUN                                            # two compare --out: the same?
```

## How it is measured

- From the bytes of an encoded image in memory to class probabilities; ours goes on to a whole answer with heat map,
  quality gate and out-of-distribution score. All contenders run the same network with the same weights on the same
  images.
- A process per contender, pinned to the same cores, each loaded and warmed up before the first round. In a round
  everybody has one turn, in an order drawn again, on the same images; meanwhile the others are asleep, which is
  checked by looking at their threads. The first three images of a turn are not counted. Garbage collection is off.
- **× ours** is the median over rounds of the ratio of the two medians within a round, with a 95% bootstrap interval
  over rounds. Above 1 is slower than ours. An interval that contains 1 decides nothing.
- **start** is from starting a process to its first answer: the median of the starts after the first, with whatever
  the library keeps on disk for the next start.
- **agrees**: share of images with the same most probable class as our FP32. With random weights it means little,
  because the probabilities are nearly tied.
- The machine counts as quiet when the load average and the idle cores before the start, the time that other processes
  and the hypervisor took during the rounds, and the wandering of a fixed piece of work all stay below their limits.
  Otherwise the run is INVALID, exit code 4. The rounds begin after twenty calm seconds, so as to begin between the
  spells of a busy neighbour; what is measured then counts, whatever it is.
- **files of a folder**: how many images a second are answered where many are at hand, each read from its file; turns
  and ratios (of times) as above, five times as many images a turn.
- TensorRT and CUDA graphs take part where there is an NVIDIA GPU; elsewhere their rows say what is missing.

`pytest benchmarks --benchmark-only` times the parts one by one; `--store-ratios FILE` and `--against FILE` compare two
commits by ratios to a reference loop, because machines differ.
"""


def render(results: Path, page: Path) -> str:
    """The whole page; images are linked relative to ``page``. Raises KitError for a folder that is not whole."""
    devices = sorted(path for path in results.glob("[!.]*") if (path / "conditions.json").is_file())
    parts = [_device(folder, page) for folder in devices]
    noted_folders = sorted(path.parent for path in results.glob(f"[!.]*/{noted.FILE}"))
    parts += [noted.section(_read(folder / noted.FILE)) for folder in noted_folders]
    if not parts:
        parts = ["## Devices\n\nNone recorded yet.\n"]
    return "\n".join([_HEAD, *parts])


def _device(folder: Path, page: Path) -> str:
    facts = _read(folder / "conditions.json")
    around, network, settings = facts["conditions"], facts["network"], facts["settings"]
    title = f"{around['device']}, {around['cpu']}, {settings['threads']} threads"
    picture = os.path.relpath(folder / "bars.png", page.parent).replace(os.sep, "/")
    parts = [
        f"## {title}",
        f"{network['arch']} at {network['size']} px; {facts['images']['what']}; {settings['rounds']} rounds of "
        f"{settings['per_round']} images.",
        _table(folder / "compare.jsonl"),
        *([f"![bars: p50 of every contender]({picture})"] if (folder / "bars.png").is_file() else []),
        _conditions(facts),
    ]
    if (folder / "agreement.json").is_file():
        parts.append(_agreement(_read(folder / "agreement.json")))
    for name, text in PARTS.items():
        if (folder / f"{name}.json").is_file():
            parts.append(text(_read(folder / f"{name}.json")))
    return "\n\n".join(parts) + "\n"


def _table(path: Path) -> str:
    """Fastest first; those without figures last, with their reason."""
    every = [json.loads(line) for line in _text(path).splitlines()]
    rows = [row for row in every if row["group"] != "folder"]
    timed = sorted((row for row in rows if row["p50_ms"] is not None), key=lambda row: row["p50_ms"])
    header = "| contender | p50 ms | p90 | p99 | images/s | MB | start s | × ours [95%] | agrees | AUC | accuracy |"
    lines = [header, "|---|" + "---:|" * 10]
    lines += [_row(row) for row in timed]
    lines += [f"| {row['contender']} | {row['note']} |" + " |" * 9 for row in rows if row["p50_ms"] is None]
    return "\n".join([*lines, *_folders([row for row in every if row["group"] == "folder"])])


def _folders(rows: list[dict[str, Any]]) -> list[str]:
    """Images of a folder a second, most first."""
    if not rows:
        return []
    lines = ["", "| files of a folder | images/s | × ours [95%] | what runs |", "|---|---:|---:|---|"]
    for row in sorted(rows, key=lambda row: -(row["images_per_s"] or 0)):
        shown = _number(row["images_per_s"], ".0f")
        lines.append(f"| {row['contender']} | {shown} | {_against(row)} | {row['note'] or row['runs']} |")
    return lines


def _against(row: dict[str, Any]) -> str:
    if row["contender"] == row["reference"] or not row["ratio_interval"]:
        return "1"
    low, high = row["ratio_interval"]
    return f"{row['ratio_to_ours']:.2f} [{low:.2f}, {high:.2f}]"


def _row(row: dict[str, Any]) -> str:
    start = None if row["start_ms"] is None or row["group"] == "floor" else row["start_ms"] / 1e3
    cells = [
        f"**{row['contender']}**" if row["group"] == "ours" else row["contender"],
        _number(row["p50_ms"], ".2f"), _number(row["p90_ms"], ".2f"), _number(row["p99_ms"], ".2f"),
        _number(row["images_per_s"], ".0f"), _number(row["peak_mb"], ".0f"), _number(start, ".2f"), _against(row),
        _number(row["agrees"], ".1%"), _number(row["auc"], ".4f"), _number(row["accuracy"], ".4f"),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _conditions(facts: dict[str, Any]) -> str:
    around, quiet = facts["conditions"], facts["quiet"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(around["versions"].items()))
    before, after = ("/".join(map(str, around.get(key, []))) for key in ("clocks_mhz", "clocks_mhz_after"))
    return (
        f"Power mode: {around['power_mode']}. Clocks: {before} MHz before, {after} MHz after"
        f"{'; ' + around['clocks'] if around.get('clocks') else ''}. {around.get('os', '')}, kernel "
        f"{around.get('kernel', '')}, Python {around.get('python', '')}. {around.get('time_utc', '')[:10]}.\n\n"
        f"Versions: {versions}.\n\n" + how_quiet(quiet)
    )


def _agreement(value: dict[str, Any]) -> str:
    changes = {name: again / first - 1 for name, (first, again) in value["changes"].items()}
    name = max(changes, key=lambda name: abs(changes[name]))
    return (
        f"Measured twice, {value['hours_apart']:.1f} hours apart: no ratio to ours changed by more than "
        f"{abs(changes[name]):.1%} ({name}), and of the {value['decided']} pairs whose order the first run decides "
        f"the second turned {len(value['reversed']) or 'none'} round."
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(_text(path))
    except ValueError as error:
        raise KitError(f"{path} is not JSON ({error})", "record the device again") from error
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise KitError(f"{path}: {error.strerror or error}", "record the device again") from error
