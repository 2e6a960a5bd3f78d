"""A comparison from its options to what is printed and stored: for ``compare`` and ``record`` alike."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fieldlens.benchmarks.device.compare.comparison import Comparison, ComparisonSettings, compare, raw
from fieldlens.benchmarks.device.compare.output import json_lines, table
from fieldlens.benchmarks.device.compare.stage import ComparisonSubject, Stage
from fieldlens.benchmarks.device.contenders.catalogue import pick
from fieldlens.benchmarks.device.host_part import HostOnly, host_part
from fieldlens.benchmarks.device.machine.quiet import cores_for
from fieldlens.benchmarks.device.machine.surroundings import clocks_mhz
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for models, caches and made images; gone afterwards."""
    with atomic.scratch("benchmarks") as folder:
        yield folder


def subject_of(arguments: argparse.Namespace) -> ComparisonSubject:
    """Raises KitError for labels without images."""
    if arguments.labels and not arguments.images:
        raise KitError("--labels needs --images", "give the folder of the images that it names")
    return ComparisonSubject(
        arguments.bundle,
        arguments.random or "resnet18",
        arguments.size,
        arguments.images,
        arguments.labels,
        arguments.state,
    )


def measure(arguments: argparse.Namespace, stage: Stage) -> Comparison:
    """The comparison that the options ask for."""
    settings = ComparisonSettings(
        rounds=arguments.rounds, per_round=arguments.per_round, starts=arguments.starts, threads=arguments.threads,
        settle_s=arguments.settle, seed=arguments.seed,
    )  # fmt: skip
    return compare(stage, pick(arguments.peers), settings)


def show(comparison: Comparison, stage: Stage, around: dict[str, Any]) -> str:
    """The table with what stands behind it."""
    settings = comparison.settings
    versions = ", ".join(f"{name} {version}" for name, version in sorted(around.get("versions", {}).items()))
    return "\n".join(
        [
            "",
            f"{stage.bundle.title}, {stage.arch} at {stage.bundle.manifest.size} px; {stage.pictures.what}",
            f"{around.get('device')}, {around.get('cpu')}, {comparison.threads} threads pinned, power mode "
            f"{around.get('power_mode', 'not known')}, clocks {around.get('clocks_mhz', 'not known')} MHz",
            f"{settings.rounds} rounds × {settings.per_round} images a turn, random order per round; a process per "
            "contender, the others asleep; garbage collection off",
            versions,
            "",
            table(comparison),
            "",
        ]
    )


def facts(comparison: Comparison, stage: Stage, around: dict[str, Any]) -> dict[str, Any]:
    """Conditions and settings of a comparison, as stored."""
    settings, manifest = comparison.settings, stage.bundle.manifest
    return {
        "format": 1,
        "conditions": {**around, "clocks_mhz_after": clocks_mhz(cores_for(settings.threads))},
        "bundle": {"title": stage.bundle.title, "hash": stage.bundle.hash},
        "network": {"arch": stage.arch, "size": manifest.size, "classes": len(manifest.classes)},
        "images": stage.pictures.to_json(),
        "settings": {
            "rounds": settings.rounds, "per_round": settings.per_round, "not_counted_per_turn": settings.warmup,
            "threads": comparison.threads, "seed": settings.seed, "starts": settings.starts,
        },
        "quiet": comparison.quiet.to_json(),
    }  # fmt: skip


def write(folder: Path, comparison: Comparison, stage: Stage, around: dict[str, Any]) -> None:
    """Table, JSON lines, conditions and every single time, into ``folder``; a bar image where Matplotlib is."""
    title = f"{stage.arch} at {stage.bundle.manifest.size} px, {around.get('cpu')}, {comparison.threads} threads"
    atomic.write_text(folder / "table.txt", table(comparison) + "\n")
    atomic.write_text(folder / "compare.jsonl", json_lines(comparison))
    try:
        atomic.write_bytes(folder / "bars.png", host_part("charts", "bars.png").bars(comparison, title))
    except HostOnly as error:
        print(f"left out: {error.message}")
    atomic.write_json(folder / "conditions.json", facts(comparison, stage, around))
    times = {name: [[round(ms, 4) for ms in turn] for turn in rounds] for name, rounds in raw(comparison).items()}
    atomic.write_json(folder / "raw.json", times)
