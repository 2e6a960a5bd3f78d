"""What each command does: measure, print, write."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fieldlens.benchmarks.compare.comparison import Comparison, Settings, raw
from fieldlens.benchmarks.compare.comparison import compare as run_comparison
from fieldlens.benchmarks.compare.output import bars, json_lines, table
from fieldlens.benchmarks.compare.stage import Stage, Subject, prepare
from fieldlens.benchmarks.contenders.catalogue import pick
from fieldlens.benchmarks.machine.quiet import Quiet, cores_for
from fieldlens.benchmarks.machine.surroundings import clocks_mhz, surroundings
from fieldlens.runtime.errors import EXIT_INVALID_RUN, EXIT_OK, EXIT_REFUSED, KitError
from fieldlens.runtime.files import atomic


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for models, caches and made pictures; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fieldlens-benchmarks-") as folder:
        yield Path(folder)


def compare(arguments: argparse.Namespace) -> int:
    """Table, verdict, and the JSON lines last."""
    with scratch() as folder:
        stage = prepare(subject_of(arguments), folder)
        around = surroundings(cores=cores_for(arguments.threads))
        comparison = measure(arguments, stage)
        print(show(comparison, stage, around))
        if arguments.out:
            write(arguments.out, comparison, stage, around)
            print(f"table, picture, lines and raw times: {arguments.out}")
    if arguments.json:
        atomic.write_text(arguments.json, json_lines(comparison))
    print(verdict(comparison.quiet))
    print(json_lines(comparison), end="")
    return exit_code(comparison.quiet)


def subject_of(arguments: argparse.Namespace) -> Subject:
    """Raises KitError for labels without pictures."""
    if arguments.labels and not arguments.images:
        raise KitError("--labels needs --images", "give the folder of the pictures that it names")
    return Subject(
        arguments.bundle,
        arguments.random or "resnet18",
        arguments.size,
        arguments.images,
        arguments.labels,
        arguments.state,
    )


def measure(arguments: argparse.Namespace, stage: Stage) -> Comparison:
    """The comparison that the options ask for."""
    settings = Settings(
        rounds=arguments.rounds, per_round=arguments.per_round, starts=arguments.starts, threads=arguments.threads,
        settle_s=arguments.settle, seed=arguments.seed,
    )  # fmt: skip
    return run_comparison(stage, pick(arguments.peers), settings)


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
            f"{settings.rounds} rounds × {settings.per_round} pictures a turn, random order per round; a process per "
            "contender, the others asleep; garbage collection off",
            versions,
            "",
            table(comparison),
            "",
        ]
    )


def verdict(quiet: Quiet) -> str:
    """VALID, or INVALID with every reason."""
    seen = (
        f"load average {quiet.load_1min:.2f}; others took {quiet.others:.1%} of the cores' time, the hypervisor "
        f"{quiet.steal:.1%}; the reference loop wandered {quiet.wander:.1%}"
    )
    if not quiet.doubts():
        return f"VALID: the machine was quiet ({seen})"
    reasons = "\n".join(f"  - {doubt}" for doubt in quiet.doubts())
    return f"INVALID: do not quote these figures, the machine was not quiet ({seen})\n{reasons}"


def exit_code(quiet: Quiet) -> int:
    """4 where the run is invalid."""
    return EXIT_INVALID_RUN if quiet.doubts() else EXIT_OK


def facts(comparison: Comparison, stage: Stage, around: dict[str, Any]) -> dict[str, Any]:
    """Conditions and settings of a comparison, as stored."""
    settings, manifest = comparison.settings, stage.bundle.manifest
    return {
        "format": 1,
        "conditions": {**around, "clocks_mhz_after": clocks_mhz(cores_for(settings.threads))},
        "bundle": {"title": stage.bundle.title, "hash": stage.bundle.hash},
        "network": {"arch": stage.arch, "size": manifest.size, "classes": len(manifest.classes)},
        "pictures": stage.pictures.to_json(),
        "settings": {
            "rounds": settings.rounds, "per_round": settings.per_round, "not_counted_per_turn": settings.warmup,
            "threads": comparison.threads, "seed": settings.seed, "starts": settings.starts,
        },
        "quiet": comparison.quiet.to_json(),
    }  # fmt: skip


def write(folder: Path, comparison: Comparison, stage: Stage, around: dict[str, Any]) -> None:
    """Table, bar picture, JSON lines, conditions and every single time, into ``folder``."""
    title = f"{stage.arch} at {stage.bundle.manifest.size} px, {around.get('cpu')}, {comparison.threads} threads"
    atomic.write_text(folder / "table.txt", table(comparison) + "\n")
    atomic.write_text(folder / "compare.jsonl", json_lines(comparison))
    atomic.write_bytes(folder / "bars.png", bars(comparison, title))
    atomic.write_json(folder / "conditions.json", facts(comparison, stage, around))
    times = {name: [[round(ms, 4) for ms in turn] for turn in rounds] for name, rounds in raw(comparison).items()}
    atomic.write_json(folder / "raw.json", times)


def roofline(arguments: argparse.Namespace) -> int:
    """The machine's limits, and the stages beside them."""
    from fieldlens.benchmarks.roofline import roofline as room

    with scratch() as folder:
        stage = prepare(subject_of(arguments), folder)
        result = room.measure(stage, arguments.threads, arguments.repeats, arguments.settle)
    return _finish(room.show(result), result.to_json(), result.quiet, arguments.json)


def training(arguments: argparse.Namespace) -> int:
    """`train fit` against a plain loop and preloaded tensors."""
    from fieldlens.benchmarks.pipeline import training as room

    settings = room.Settings(
        arguments.arch, arguments.size, arguments.pictures, arguments.epochs, arguments.rounds, arguments.threads
    )
    with scratch() as folder:
        result = room.measure(settings, folder, arguments.settle)
    return _finish(room.show(result), result.to_json(), result.quiet, arguments.json)


def conversion(arguments: argparse.Namespace) -> int:
    """Steps of making a bundle."""
    from fieldlens.benchmarks.pipeline import conversion as room

    settings = room.Settings(arguments.arch, arguments.size, arguments.pictures, arguments.rounds, arguments.threads)
    with scratch() as folder:
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
    from fieldlens.benchmarks.compare import agreement as room

    found = room.agreement(arguments.earlier, arguments.later)
    print(room.show(found))
    if arguments.json:
        atomic.write_json(arguments.json, found.to_json())
    return EXIT_OK if found.holds else EXIT_REFUSED


def record(arguments: argparse.Namespace) -> int:
    """Measure everything and keep it, or refuse and keep nothing."""
    from fieldlens.benchmarks.record.record import record as keep

    return keep(arguments)


def gate(arguments: argparse.Namespace) -> int:
    """Spoil, judge, print."""
    from fieldlens.benchmarks.detection.detection import examine
    from fieldlens.benchmarks.detection.table import show as tables
    from fieldlens.benchmarks.pictures import read
    from fieldlens.runtime.backends.base import LoadOptions
    from fieldlens.runtime.backends.select import choose_backend
    from fieldlens.runtime.bundle.open import open_bundle
    from fieldlens.runtime.classifier import Classifier
    from fieldlens.runtime.machine.host import state_folder

    bundle, state = open_bundle(arguments.bundle), state_folder(arguments.state)
    beside = arguments.images / "labels.csv"
    labels = arguments.labels or (beside if beside.is_file() else None)
    chosen = read(arguments.images, labels, bundle.manifest)
    choice = choose_backend(bundle, "auto", "auto", LoadOptions(cache=state / "compiled"), state)
    with Classifier(bundle, choice.backend) as classifier:
        result = examine(classifier, chosen, arguments.near, arguments.limit, arguments.seed)
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
    raise KitError(f"{arguments.out} is not what {arguments.results} says", "run python -m benchmarks docs")
