"""What each command does: open, run, print."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from typing import TextIO

from runtime.backends.base import BackendInfo, LoadOptions
from runtime.backends.select import Choice, choose_backend
from runtime.bundle import Bundle, open_bundle
from runtime.classifier import Classifier
from runtime.describe import describe
from runtime.errors import EXIT_OK, EXIT_REFUSED, KitError
from runtime.host import conditions, state_folder
from runtime.latency import table
from runtime.output import STANDARD_OUTPUT, CsvSink, HumanSink, JsonSink, Sink
from runtime.overlay import OverlaySink
from runtime.report import write_report
from runtime.run import Run, RunLog
from runtime.selftest import SelfTest, load_golden, run_selftest
from runtime.sources import Sources


def classify(arguments: argparse.Namespace) -> int:
    """Classify all sources; lines, latency table, report."""
    if arguments.report is not None and arguments.report.suffix.lower() not in (".html", ".htm"):
        raise KitError(
            f"--report {arguments.report}: not an HTML file's name", "end it in .html; FILE.json is its twin"
        )
    bundle = open_bundle(arguments.bundle)
    around = conditions()
    choice = _choose(bundle, arguments)
    talk = sys.stderr if arguments.json == STANDARD_OUTPUT else sys.stdout
    with contextlib.ExitStack() as stack:
        classifier = stack.enter_context(Classifier(bundle, choice.backend))
        sinks = _sinks(arguments, bundle)
        for sink in sinks:
            stack.callback(sink.close)
        overlays = OverlaySink(arguments.overlays, classifier) if arguments.overlays else None
        run = Run(classifier, sinks, overlays, arguments.limit, arguments.duration)
        log = run(Sources(arguments.sources))
    _finish(log, choice, talk)
    if arguments.report is not None:
        write_report(arguments.report, log, bundle, choice.backend.info, choice.reasons, around)
        print(f"report: {arguments.report}", file=talk)
    if log.exit_code() == EXIT_REFUSED:
        raise KitError(
            f"none of the {log.failed} inputs could be classified; the first: {log.failures[0].error}",
            "check the paths; --help lists what a source may be",
        )
    return log.exit_code()


def _choose(bundle: Bundle, arguments: argparse.Namespace) -> Choice:
    state = state_folder(arguments.state)
    options = LoadOptions(threads=arguments.threads, cache=state / "compiled")
    return choose_backend(bundle, arguments.backend, arguments.precision, options, state)


def _sinks(arguments: argparse.Namespace, bundle: Bundle) -> list[Sink]:
    manifest = bundle.manifest
    sinks: list[Sink] = [] if arguments.json == STANDARD_OUTPUT else [HumanSink(manifest, arguments.top_k)]
    if arguments.json is not None:
        sinks.append(JsonSink(arguments.json))
    if arguments.csv is not None:
        sinks.append(CsvSink(arguments.csv, manifest))
    return sinks


def _finish(log: RunLog, choice: Choice, talk: TextIO) -> None:
    """The latency table and what stands behind it."""

    def say(text: str) -> None:
        print(text, file=talk)

    say("")
    if log.answered:
        say(table(log.latency.summary()))
    outcomes = ", ".join(f"{count} {name}" for name, count in log.outcomes.most_common())
    say(f"{log.answered} pictures in {log.seconds:.1f} s ({log.per_second:.1f} a second): {outcomes or 'none'}")
    say(f"{log.dropped} frames dropped; ended by {log.ended_by}")
    say(_backend_line(choice.backend.info))
    for note in (*choice.reasons, *choice.backend.info.notes, *log.notes):
        say(f"note: {note}")
    if log.failed:
        say(f"{log.failed} inputs could not be classified:")
        for failure in log.failures[:20]:
            say(f"  {failure.source}: {failure.error}")
        if log.failed > 20:
            say(f"  … and {log.failed - 20} more (all of them in --json and --csv)")


def _backend_line(info: BackendInfo) -> str:
    return f"{info.name} {info.version} on {info.device}, {info.precision}, {info.threads} threads"


def info(arguments: argparse.Namespace) -> int:
    """Show a manifest."""
    bundle = open_bundle(arguments.bundle)
    if arguments.json:
        print(json.dumps(bundle.manifest.to_json(), indent=2, ensure_ascii=False))
    else:
        print(describe(bundle))
    return EXIT_OK


def selftest(arguments: argparse.Namespace) -> int:
    """Run the golden images, freshly, whatever is cached."""
    bundle = open_bundle(arguments.bundle)
    with _choose(bundle, arguments).backend as backend:
        result = run_selftest(bundle, backend, load_golden(bundle))
        line = _backend_line(backend.info)
    if arguments.json:
        print(json.dumps({**result.__dict__, "passed": result.passed, "conditions": conditions()}))
    else:
        print(f"{line}\n{_selftest_text(result)}")
    return EXIT_OK if result.passed else EXIT_REFUSED


def _selftest_text(result: SelfTest) -> str:
    rows = [
        f"golden images            {result.images}",
        f"preprocess bit-identical {result.images - result.preprocess_differs} of {result.images}",
        f"largest logit difference {result.max_logit_difference:.3g} (allowed {result.allowed_logit_difference:.3g})",
        f"decisions turned over    {result.flips} (allowed 0)",
        f"inference p50            {result.inference_p50_ms:.2f} ms",
        f"self-test                {'passed' if result.passed else 'FAILED'}",
    ]
    return "\n".join(rows)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"classify": classify, "info": info, "selftest": selftest}
