"""Where a run's answers go, as the options of ``classify`` say."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.output.people import HumanSink
from fieldlens.runtime.output.places import check_places
from fieldlens.runtime.output.progress import FEWEST_FOR_BAR, ProgressSink
from fieldlens.runtime.output.rows import RowSink
from fieldlens.runtime.output.sinks import STANDARD_OUTPUT, CsvSink, JsonSink, Rotation, Sink
from fieldlens.runtime.prediction import AnswerOrigin
from fieldlens.runtime.report.summary import Detail
from fieldlens.runtime.running.run import Drawn
from fieldlens.runtime.sources.count import images_ahead
from fieldlens.runtime.terminal.colour import is_terminal
from fieldlens.runtime.view.gallery import Gallery
from fieldlens.runtime.view.overlay import OverlaySink


@dataclass(frozen=True)
class Collected:
    """What a report shows of single images."""

    rows: RowSink
    gallery: Gallery | None = None


def places_of(arguments: argparse.Namespace) -> list[str]:
    """Look at every place that a run will write to, before any work; notes of folders made. Raises OutputError."""
    files = [path for path in (arguments.json, arguments.csv) if path not in (None, STANDARD_OUTPUT)]
    report = arguments.report
    return check_places(
        files,
        [arguments.overlays] if arguments.overlays else [],
        [report, report.with_suffix(".json")] if report is not None else [],  # with its twin
    )


def drawn_by(arguments: argparse.Namespace, classifier: Classifier, collected: Collected) -> list[Drawn]:
    """Who else gets each answer with its image."""
    drawn: list[Drawn] = []
    if arguments.overlays:
        goes_on = bool(arguments.watch or arguments.rotate)  # as the lines do
        drawn.append(OverlaySink(arguments.overlays, classifier, goes_on=goes_on))
    return drawn if collected.gallery is None else [*drawn, collected.gallery]


_NEVER_FULL = 1 << 60
"""Bytes: a file that goes on, and is never rotated."""


def results_of(arguments: argparse.Namespace) -> list[Path]:
    """The files and folders that the answers themselves go to."""
    given = (arguments.json, arguments.csv, arguments.overlays)
    return [path for path in given if path is not None and path != STANDARD_OUTPUT]


def sinks_of(arguments: argparse.Namespace, manifest: Manifest, origin: AnswerOrigin) -> list[Sink]:
    """Lines for people, JSON and CSV."""
    goes_on = _NEVER_FULL if arguments.watch else None  # a restart must not lose what its journal calls done
    rotation = Rotation(arguments.rotate or goes_on, arguments.keep)
    sinks = _for_people(arguments)
    if arguments.json is not None:
        sinks.append(JsonSink(arguments.json, origin, rotation))
    if arguments.csv is not None:
        sinks.append(CsvSink(arguments.csv, manifest, origin, rotation))
    return sinks


def _for_people(arguments: argparse.Namespace) -> list[Sink]:
    """Lines for people, and on a terminal a bar where it is known how many images there will be."""
    lines = HumanSink(arguments.top_k, verbose=arguments.verbose)
    shown = None if arguments.quiet or arguments.json == STANDARD_OUTPUT else lines
    ahead = None
    if is_terminal(sys.stderr) and not arguments.quiet and not arguments.watch:
        ahead = images_ahead(arguments.sources)
    if ahead is not None and min(ahead, arguments.limit or ahead) >= FEWEST_FOR_BAR:
        return [ProgressSink(shown, min(ahead, arguments.limit or ahead))]
    return [] if shown is None else [shown]


def detail_of(arguments: argparse.Namespace) -> Detail:
    """How much the end of a run says."""
    if arguments.quiet:
        return Detail.QUIET
    if arguments.verbose:
        return Detail.VERBOSE
    return Detail.LATENCY if arguments.latency or arguments.report else Detail.BRIEF
