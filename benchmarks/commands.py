"""What each command does: measure, print, write."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldlens.benchmarks.device.host_part import host_part
from fieldlens.benchmarks.device.machine.quiet import Quiet, cores_for
from fieldlens.benchmarks.device.machine.surroundings import surroundings
from fieldlens.benchmarks.device.machine.validity import exit_code, verdict
from fieldlens.runtime.errors import EXIT_OK, EXIT_REFUSED, KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.terminal.beginning import loading


def compare(arguments: argparse.Namespace) -> int:
    """Table, verdict, and the JSON lines last."""
    from fieldlens.benchmarks.device.compare import session
    from fieldlens.benchmarks.device.compare.output import json_lines
    from fieldlens.benchmarks.device.compare.stage import prepare

    with session.scratch() as folder:
        stage = prepare(session.subject_of(arguments), folder)
        around = surroundings(cores=cores_for(arguments.threads))
        comparison = session.measure(arguments, stage)
        print(session.show(comparison, stage, around))
        if arguments.out:
            session.write(arguments.out, comparison, stage, around)
            print(f"table, lines and raw times: {arguments.out}")
    if arguments.json:
        atomic.write_text(arguments.json, json_lines(comparison))
    print(verdict(comparison.quiet))
    print(json_lines(comparison), end="")
    return exit_code(comparison.quiet)


def roofline(arguments: argparse.Namespace) -> int:
    """The machine's limits, and the stages beside them."""
    from fieldlens.benchmarks.device.compare import session
    from fieldlens.benchmarks.device.compare.stage import prepare
    from fieldlens.benchmarks.device.roofline import roofline as room

    with session.scratch() as folder:
        stage = prepare(session.subject_of(arguments), folder)
        result = room.measure(stage, arguments.threads, arguments.repeats, arguments.settle)
    return _finish(room.show(result), result.to_json(), result.quiet, arguments.json)


def training(arguments: argparse.Namespace) -> int:
    """`train fit` against a plain loop and preloaded tensors."""
    from fieldlens.benchmarks.device.compare import session

    with loading("torch"):
        room = host_part("pipeline.training", "bench training")

    settings = room.TrainingSettings(
        arguments.arch, arguments.size, arguments.images, arguments.epochs, arguments.rounds, arguments.threads
    )
    with session.scratch() as folder:
        result = room.measure(settings, folder, arguments.settle)
    return _finish(room.show(result), result.to_json(), result.quiet, arguments.json)


def conversion(arguments: argparse.Namespace) -> int:
    """Steps of making a bundle."""
    from fieldlens.benchmarks.device.compare import session

    with loading("torch"):
        room = host_part("pipeline.conversion", "bench conversion")

    settings = room.ConversionSettings(
        arguments.arch, arguments.size, arguments.images, arguments.rounds, arguments.threads
    )
    with session.scratch() as folder:
        result = room.measure(settings, folder, arguments.settle)
    return _finish(room.show(result), result.to_json(), result.quiet, arguments.json)


def _finish(text: str, value: dict[str, Any], quiet: Quiet, path: Path | None) -> int:
    print(text)
    print(verdict(quiet))
    if path:
        atomic.write_json(path, value)
        print(f"figures: {path}")
    return exit_code(quiet)


def agree(arguments: argparse.Namespace) -> int:
    """Two runs, side by side; 2 where they do not agree."""
    from fieldlens.benchmarks.device.compare import agreement as room

    found = room.agreement(arguments.earlier, arguments.later)
    print(room.show(found))
    if arguments.json:
        atomic.write_json(arguments.json, found.to_json())
    return EXIT_OK if found.holds else EXIT_REFUSED


def record(arguments: argparse.Namespace) -> int:
    """Measure everything and keep it, or refuse and keep nothing."""
    from fieldlens.benchmarks.device.record.record import record as keep

    return keep(arguments)


def gate(arguments: argparse.Namespace) -> int:
    """Spoil, judge, print."""
    from fieldlens.benchmarks.device.detection.detection import examine
    from fieldlens.benchmarks.device.detection.table import show as tables
    from fieldlens.benchmarks.device.image_set import read
    from fieldlens.runtime.model import load

    model = load(arguments.bundle, state=arguments.state)
    beside = arguments.images / "labels.csv"
    labels = arguments.labels or (beside if beside.is_file() else None)
    chosen = read(arguments.images, labels, model.bundle.manifest)
    with model:
        result = examine(model.classifier, chosen, arguments.near, arguments.limit, arguments.seed)
    print(tables(result))
    if arguments.json:
        atomic.write_json(arguments.json, result.to_json())
        print(f"figures: {arguments.json}")
    return EXIT_OK


def docs(arguments: argparse.Namespace) -> int:
    """Write the page, or compare it."""
    from fieldlens.benchmarks.record.page import render

    text = render(arguments.results, arguments.out)
    if not arguments.check:
        atomic.write_text(arguments.out, text)
        print(arguments.out)
        return EXIT_OK
    if arguments.out.is_file() and arguments.out.read_text(encoding="utf-8") == text:
        return EXIT_OK
    raise KitError(f"{arguments.out} is not what {arguments.results} says", "run fieldlens bench docs")


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "compare": compare,
    "roofline": roofline,
    "training": training,
    "conversion": conversion,
    "record": record,
    "agree": agree,
    "gate": gate,
    "docs": docs,
}
