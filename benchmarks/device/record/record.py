"""Adding a device to ``benchmarks/results/``: a comparison on a quiet machine, or nothing."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldlens.benchmarks.device.compare import session
from fieldlens.benchmarks.device.compare.agreement import agreement, show
from fieldlens.benchmarks.device.compare.comparison import Comparison
from fieldlens.benchmarks.device.compare.stage import Stage, prepare
from fieldlens.benchmarks.device.host_part import HostOnly, host_part
from fieldlens.benchmarks.device.machine.quiet import Quiet, cores_for
from fieldlens.benchmarks.device.machine.surroundings import require, surroundings
from fieldlens.benchmarks.device.machine.validity import verdict
from fieldlens.benchmarks.device.record.parts import PARTS
from fieldlens.benchmarks.device.roofline import roofline
from fieldlens.runtime.errors import EXIT_INVALID_RUN, EXIT_OK, KitError
from fieldlens.runtime.files import atomic

ATTEMPTS = 3
"""At each part but the comparison, which takes longest and is what a device is recorded for."""

_SAME = ("device", "cpu", "cores", "kernel", "python", "versions")
"""Conditions that a comparison measured before must share with this machine to stand beside what is measured now."""


class NotQuiet(Exception):
    """A part whose figures cannot be believed; ``quiet`` says how that is known."""

    def __init__(self, part: str, quiet: Quiet) -> None:
        super().__init__(part)
        self.part = part
        self.quiet = quiet


def record(arguments: argparse.Namespace) -> int:
    """Compare and the other parts, into one folder; 4 and nothing kept where the comparison's machine was not quiet.

    Raises KitError before anything is measured where the conditions are not known, or the name is taken.
    """
    around = surroundings(arguments.power_mode, cores_for(arguments.threads))
    require(around)
    name = arguments.name or folder_name(around, len(cores_for(arguments.threads)))
    target: Path = arguments.results / name
    if target.exists():
        raise KitError(f"{target} is there already", "give another --name, or remove the folder to measure again")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with session.scratch() as scratch, atomic.folder(target) as kept:
            _measure(arguments, prepare(session.subject_of(arguments), scratch), kept, around)
    except NotQuiet as error:
        print(f"nothing recorded: {error.part} was measured on a machine that was not quiet")
        print(verdict(error.quiet))
        return EXIT_INVALID_RUN
    print(f"recorded: {target}; now run fieldlens bench docs")
    return EXIT_OK


def _measure(arguments: argparse.Namespace, stage: Stage, folder: Path, around: dict[str, Any]) -> None:
    parts = [part for part in PARTS if part not in arguments.without]
    if arguments.comparison:
        adopt(arguments.comparison, folder, stage.bundle.hash, around)
        adopt_parts(arguments.comparison, folder, parts, around)
    else:
        comparison: Comparison = session.measure(arguments, stage)
        print(session.show(comparison, stage, around))
        keep_if_quiet("compare", comparison.quiet)
        session.write(folder, comparison, stage, around)
    if arguments.earlier:
        _same_as(arguments.earlier, folder)
    for part in parts:
        path = folder / f"{part}.json"
        if not path.exists() and (value := _quiet_part(part, arguments, stage)):
            atomic.write_json(path, value)


def adopt(source: Path, folder: Path, bundle_hash: str, around: dict[str, Any]) -> None:
    """Take over what ``compare --out`` wrote on this device, with the power mode that is known by now.

    Raises KitError: no such folder, a run that was not quiet, another bundle, device or version than here.
    """
    try:
        facts = json.loads((source / "conditions.json").read_text(encoding="utf-8"))
        quiet, there = facts["quiet"]["valid"], {**facts["conditions"], "bundle": facts["bundle"]["hash"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KitError(f"{source}: no comparison ({error})", "give a folder that compare --out wrote") from error
    if not quiet:
        raise KitError(f"{source}: this run is INVALID, its machine was not quiet", "measure it again")
    here = {**around, "bundle": bundle_hash}
    if differs := [key for key in (*_SAME, "bundle") if there.get(key) != here.get(key)]:
        raise KitError(f"{source} was measured with another {', '.join(differs)}", "measure it again, here and now")
    facts["conditions"]["power_mode"] = around["power_mode"]
    atomic.write_json(folder / "conditions.json", facts)
    for name in ("table.txt", "compare.jsonl", "bars.png", "raw.json"):
        if name != "bars.png" or (source / name).exists():  # a device has no Matplotlib
            atomic.write_bytes(folder / name, (source / name).read_bytes())


def adopt_parts(source: Path, folder: Path, parts: Sequence[str], around: dict[str, Any]) -> None:
    """Take over those ``parts`` that an earlier ``record`` on this device kept beside the comparison.

    Raises KitError: a part of another device or version, or a file that is none.
    """
    for path in (source / f"{part}.json" for part in parts):
        if not path.exists():
            continue
        try:
            there = json.loads(path.read_text(encoding="utf-8"))["conditions"]
            differs = [key for key in _SAME if there.get(key) != around.get(key)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise KitError(f"{path} is no recorded part ({error})", "measure it again: remove the file") from error
        if differs:
            raise KitError(
                f"{path} was measured with another {', '.join(differs)}", "measure it again: remove the file"
            )
        atomic.write_bytes(folder / path.name, path.read_bytes())


def _same_as(earlier: Path, folder: Path) -> None:
    """Raises KitError where the earlier run says something else: then neither is to be believed."""
    found = agreement(earlier, folder)
    print(show(found))
    if not found.holds:
        raise KitError(f"nothing recorded: {earlier} does not agree", "measure both again, on a quiet machine")
    atomic.write_json(folder / "agreement.json", found.to_json())


def _quiet_part(part: str, arguments: argparse.Namespace, stage: Stage) -> dict[str, Any] | None:
    """Measure a part up to ATTEMPTS times; None where the machine was never quiet: the comparison is worth keeping."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _part(part, arguments, stage)
        except HostOnly as error:
            print(f"recorded without {part}: {error.message}")
            return None
        except NotQuiet as error:
            print(f"{part}, attempt {attempt} of {ATTEMPTS}: {verdict(error.quiet)}")
    print(f"recorded without {part}: the machine was not quiet")
    return None


def _part(part: str, arguments: argparse.Namespace, stage: Stage) -> dict[str, Any]:
    """One more part at its default size; its text is printed."""
    threads, settle_s = arguments.threads, arguments.settle
    if part == "roofline":
        found = roofline.measure(stage, threads, 15, settle_s)
        print(roofline.show(found))
        keep_if_quiet(part, found.quiet)
        return found.to_json()
    room = host_part(f"pipeline.{part}", part)
    with session.scratch() as folder:
        if part == "training":
            trained = room.measure(room.TrainingSettings(threads=threads), folder, settle_s)
            print(room.show(trained))
            keep_if_quiet(part, trained.quiet)
            return dict(trained.to_json())
        converted = room.measure(
            room.ConversionSettings(stage.arch, stage.bundle.manifest.size, threads=threads),
            folder,
            settle_s,
        )
        print(room.show(converted))
        keep_if_quiet(part, converted.quiet)
        return dict(converted.to_json())


def keep_if_quiet(part: str, quiet: Quiet) -> None:
    """Raises NotQuiet."""
    if quiet.doubts():
        raise NotQuiet(part, quiet)


def folder_name(around: dict[str, Any], threads: int) -> str:
    """Device, CPU and threads in small letters: ``nvidia-jetson-orin-nano-…-6-threads``."""
    words = f"{around['device']} {around['cpu']} {threads} threads".lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")
