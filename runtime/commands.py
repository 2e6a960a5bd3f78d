"""What each command does: open, run, print."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldlens.runtime.backends import golden_check
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.select import choose_backend
from fieldlens.runtime.backends.selftest import SelfTest, load_golden, run_selftest
from fieldlens.runtime.bundle.describe import describe
from fieldlens.runtime.bundle.find import find_bundle
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.bundle.quality_limits import Range, limits_from_json
from fieldlens.runtime.bundle.signature import Policy
from fieldlens.runtime.classifier import Classifier
from fieldlens.runtime.doctor.checks import doctor
from fieldlens.runtime.errors import EXIT_INVALID_RUN, EXIT_OK, EXIT_REFUSED, KitError, OutputError
from fieldlens.runtime.files import keeping
from fieldlens.runtime.files.printable import json_text, printable
from fieldlens.runtime.machine.host import conditions, own_state_folder
from fieldlens.runtime.machine.telemetry import Recorder, TelemetryRecord
from fieldlens.runtime.model import Model, load_opened
from fieldlens.runtime.output.rows import RowSink
from fieldlens.runtime.output.sinks import STANDARD_OUTPUT, Talk
from fieldlens.runtime.pixels.decode_limits import DecodeLimits
from fieldlens.runtime.quality.camera_limits import measure_images, propose, save
from fieldlens.runtime.report.diagnosis import Diagnosis, Evidence, diagnose
from fieldlens.runtime.report.facts import Observed, megabytes, observed, report_facts, write_report
from fieldlens.runtime.report.outputs import Collected, detail_of, drawn_by, places_of, results_of, sinks_of
from fieldlens.runtime.report.summary import Detail, backend_line, summary_lines
from fieldlens.runtime.running.fixed_rate import DEFAULT_RATE, ArrivalPace, run_fixed_rate
from fieldlens.runtime.running.heartbeat import LifeSigns
from fieldlens.runtime.running.rules import SHORT_S, Verdict, load_images
from fieldlens.runtime.running.run import END_OF_INPUT, ClassificationRun, RunLog
from fieldlens.runtime.running.single_stream import run_single_stream
from fieldlens.runtime.site.cases import read_cases
from fieldlens.runtime.site.record import localised
from fieldlens.runtime.site.study import scored, study
from fieldlens.runtime.sources.inputs import Sources
from fieldlens.runtime.stopping import Stop, Stopper
from fieldlens.runtime.view.gallery import Gallery
from fieldlens.runtime.view.live import LiveView, keep_showing


def classify(arguments: argparse.Namespace) -> int:
    """Classify all sources; lines, summary, report."""
    _check_options(arguments)
    sources = Sources(arguments.sources, watch=arguments.watch)
    talk = Talk(sys.stderr if arguments.json == STANDARD_OUTPUT else sys.stdout)
    notes = places_of(arguments)
    bundle = open_bundle(find_bundle(arguments.bundle))
    around = conditions()
    model = _load(bundle, arguments)
    sources.private = model.private
    if arguments.mode != "run":
        return _benchmark(arguments, model, around)
    sources.keep_journal(own_state_folder(arguments.state), results_of(arguments))
    stopper = Stopper()
    for note in () if arguments.quiet else (*notes, *said_always(bundle)):
        talk.say(f"note: {note}")
    with contextlib.ExitStack() as stack:
        classifier = stack.enter_context(model).classifier
        sinks = sinks_of(arguments, bundle.manifest, classifier.origin)
        for sink in sinks:
            stack.callback(sink.close)
        collected = Collected(RowSink(), Gallery(classifier) if arguments.with_images else None)
        # Until here a signal ends the process by itself: an output may wait for its reader, and there is no run yet.
        stack.enter_context(stopper.listening(to_the_end=True))
        view = _view(arguments, classifier, stack, talk)
        signs = stack.enter_context(contextlib.closing(LifeSigns(arguments.heartbeat, classifier.origin)))
        with contextlib.ExitStack() as inner:
            rows = [collected.rows] if arguments.report else []  # without a report nobody reads them
            run = ClassificationRun(
                classifier, [*sinks, *rows], drawn_by(arguments, classifier, collected), arguments.limit,
                arguments.duration, workers=arguments.workers, view=view, beat=signs.beat, stopper=stopper,
            )  # fmt: skip
            watch = inner.enter_context(Recorder()) if arguments.report else None
            signs.ready("; ".join((f"{bundle.title} on {model.info.name}", *unsigned(bundle), *model.site)), run.log)
            log = run(sources)
        for sink in sinks:
            sink.close()
        code = _conclude(arguments, model, around, log, watch.record if watch else None, talk, collected)
        if view is not None and log.ended_by == END_OF_INPUT and not log.cameras and arguments.limit is None:
            left_s = math.inf if arguments.duration is None else arguments.duration - log.seconds
            keep_showing(view, left_s, stopper, talk.say, signs.beat)
        return code


def _check_options(arguments: argparse.Namespace) -> None:
    """What does not go together, before any work."""
    if arguments.report is not None and arguments.report.suffix.lower() not in (".html", ".htm"):
        raise KitError(
            f"--report {arguments.report}: not an HTML file's name", "end it in .html; FILE.json is its twin"
        )
    if arguments.with_images and arguments.report is None:
        raise KitError("--with-images belongs to --report", "give --report FILE.html, too")
    if arguments.seconds is not None and arguments.mode == "run":
        hint = "give --duration S to end a run after S seconds"
        raise KitError("--seconds belongs to --mode single-stream and fixed-rate", hint)
    if arguments.mode != "fixed-rate" and (given := [name for name in ("rate", "late") if getattr(arguments, name)]):
        raise KitError(f"--{given[0]} belongs to --mode fixed-rate", "give --mode fixed-rate, too")


def _conclude(
    arguments: argparse.Namespace, model: Model, around: dict[str, Any], log: RunLog,
    record: TelemetryRecord | None, talk: Talk, collected: Collected,
) -> int:  # fmt: skip
    """Summary, report and exit code of a run that has ended."""
    log.notes += keeping.notes()
    percentile = arguments.percentile if record else 50.0
    diagnosis = diagnose(Evidence(log.latency, record, percentile, log.dropped, log.sharing))
    _finish(log, model, talk, diagnosis, detail_of(arguments))
    if record is not None:
        seen = observed(around, record, diagnosis, arguments.percentile)
        said = _report(arguments.report, log, model, seen, collected)
        if not arguments.quiet:
            talk.say(said)
    if broken := log.broken or talk.broken:
        raise broken
    if log.exit_code() == EXIT_REFUSED:
        first = log.failures[0]
        raise KitError(
            f"no input could be classified (of {log.failed}); the first: {first.error}",
            first.hint or "check the paths; --help lists what a source may be",
        )
    return log.exit_code()


def _report(path: Path, log: RunLog, model: Model, seen: Observed, collected: Collected | None = None) -> str:
    """Write it; the line that says where it is and how large."""
    rows, gallery = (collected.rows, collected.gallery) if collected else (None, None)
    facts = report_facts(log, model.bundle, model.info, model.reasons, seen, rows)
    size = write_report(path, facts, gallery.thumbnails() if gallery else ())
    return f"report: {path} ({megabytes(size)}{', with images' if gallery else ''})"


def _load(bundle: Bundle, arguments: argparse.Namespace) -> Model:
    return load_opened(
        bundle, backend=arguments.backend, precision=arguments.precision, state=arguments.state,
        threads=arguments.threads, golden_every_s=arguments.golden_every, decode_limits=_decode_limits(arguments),
    )  # fmt: skip


def _decode_limits(arguments: argparse.Namespace) -> DecodeLimits:
    given = {"seconds": arguments.decode_seconds, "memory_mb": arguments.decode_memory}
    return DecodeLimits(**{name: value for name, value in given.items() if value is not None})


def _view(
    arguments: argparse.Namespace, classifier: Classifier, stack: contextlib.ExitStack, talk: Talk
) -> LiveView | None:
    if not arguments.show and arguments.stream is None:
        return None
    view = stack.enter_context(
        LiveView(classifier, window=arguments.show, port=arguments.stream, stale_after_s=arguments.stale_after)
    )
    if view.url:
        talk.say(f"live view: {view.url}")
    return view


def _benchmark(arguments: argparse.Namespace, model: Model, around: dict[str, Any]) -> int:
    """A benchmark mode: images into memory, then queries by its rules."""
    others = (
        "json", "csv", "overlays", "limit", "duration", "watch", "workers", "show", "stream", "with_images",
        "heartbeat",
    )  # fmt: skip
    if given := [name for name in others if getattr(arguments, name)]:
        hint = "it takes --seconds and --report"
        raise KitError(f"--{given[0].replace('_', '-')} does not go with --mode {arguments.mode}", hint)
    seconds = arguments.seconds or SHORT_S
    with model:
        pictures = load_images(Sources(arguments.sources, private=model.private))
        stopper, talk = Stopper(), Talk()
        with stopper.listening(to_the_end=True):
            Talk(sys.stderr).say(f"{len(pictures)} images in memory; asking for {seconds:g} s or longer")
            with Recorder() as watch:
                log, verdict = _measure(arguments, model.classifier, pictures, seconds, stopper)
            log.notes += keeping.notes()
            diagnosis = diagnose(Evidence(log.latency, watch.record, verdict.percentile, log.dropped))
            _finish(log, model, talk, diagnosis, Detail.LATENCY)
            talk.say_all(verdict.text())
            if arguments.report is not None:
                seen = observed(around, watch.record, diagnosis, verdict.percentile, verdict)
                talk.say(_report(arguments.report, log, model, seen))
            if talk.broken is not None:
                raise talk.broken
            return EXIT_OK if verdict.valid else EXIT_INVALID_RUN


def _measure(
    arguments: argparse.Namespace, classifier: Classifier, pictures: list[tuple[str, bytes]], seconds: float,
    stopper: Stopper,
) -> tuple[RunLog, Verdict]:  # fmt: skip
    if arguments.mode == "single-stream":
        return run_single_stream(classifier, pictures, seconds, stopper=stopper)
    pace = ArrivalPace(arguments.rate or DEFAULT_RATE, arguments.late or "drop")
    return run_fixed_rate(classifier, pictures, seconds, pace, stopper=stopper)


def unsigned(bundle: Bundle) -> tuple[str, ...]:
    """What must be said with every outcome of a bundle for which nobody vouches; nothing where somebody does."""
    return () if bundle.signer is not None else (f"{bundle.title} is {bundle.signed}",)


def said_always(bundle: Bundle) -> tuple[str, ...]:
    """What must be said with every outcome: what this version leaves out of the bundle, and that nobody vouches."""
    return (*bundle.manifest.notes, *unsigned(bundle))


def _finish(log: RunLog, model: Model, talk: Talk, diagnosis: tuple[Diagnosis, ...], detail: Detail) -> None:
    """The end of a run in words."""
    said = (*said_always(model.bundle), *model.site)
    choice = tuple(note for note in model.notes if note not in said)
    for line in summary_lines(log, model.info, said, choice, diagnosis, detail):
        talk.say(line)


def info(arguments: argparse.Namespace) -> int:
    """Show a manifest."""
    bundle = open_bundle(find_bundle(arguments.bundle))
    if arguments.json:
        print(json_text(bundle.manifest.to_json(), indent=2))
    else:
        state = own_state_folder(arguments.state)
        local, notes = localised(state, bundle)
        print(describe(local))
        for note in notes:
            print(f"\nsite        {printable(note)}")
        start = golden_check.last_start(state, bundle)
        print(
            f"\nlast start  {start.time_utc}, {start.backend} {start.precision}; golden images: {start.check}"
            if start else "\nlast start  none here yet"
        )  # fmt: skip
    return EXIT_OK


def verify(arguments: argparse.Namespace) -> int:
    """Check the signature first, then every file. Without a policy or a signers' file, the files only."""
    given = arguments.allowed_signers
    bundle = open_bundle(find_bundle(arguments.bundle), signers=Policy(given, guarded=False) if given else None)
    print(f"{printable(bundle.title)}: {bundle.matching}")
    print(f"manifest's SHA-256: {bundle.hash}")
    if bundle.signer is not None:
        print(f"signed by {printable(bundle.signer)}")
    else:
        there = "a signature is there, but" if bundle.has_signature else "not signed, and"
        print(f"{there} this machine has no policy that says whose counts: give --allowed-signers FILE to check")
    return EXIT_OK


def calibrate_camera(arguments: argparse.Namespace) -> int:
    """Measure good images of this device's camera, and move the gate's limits as far as the bundle allows."""
    bundle = open_bundle(find_bundle(arguments.bundle))
    limits = limits_from_json(bundle.manifest.quality)
    if limits is None:
        raise KitError(f"{bundle.path.name} has no quality gate", "make the bundle with a version that fits one")
    stopper = Stopper()
    with stopper.listening(to_the_end=True):
        try:
            with stopper.waiting():
                measures = measure_images(bundle, Sources(arguments.sources), arguments.images)
        except Stop:
            raise KitError(f"ended by {stopper.reason}: nothing was kept", "run it again") from None
    moved = propose(limits, measures)
    print(f"{len(measures)} images\n{'check':<12}{'seen':>20}{'limits before':>24}{'limits now':>24}")
    for row in moved:
        mark = "  moved" if row.after != row.before else ""
        print(f"{row.check:<12}{_range(row.seen):>20}{_range(row.before):>24}{_range(row.after):>24}{mark}")
    try:
        path = save(own_state_folder(arguments.state), bundle, moved)
    except OSError as error:
        raise OutputError(
            f"the limits cannot be kept ({error.strerror})", "give a --state DIR that can be written"
        ) from error
    print(f"kept in {path}; delete it to go back to the bundle's limits")
    return EXIT_OK


def _range(pair: Range) -> str:
    return " … ".join("open" if value is None else f"{value:.3g}" for value in pair)


def calibrate_site(arguments: argparse.Namespace) -> int:
    """What each threshold would do on this clinic's labelled cases; with an approval, the proposed one is kept."""
    bundle, state = open_bundle(find_bundle(arguments.bundle)), own_state_folder(arguments.state)
    if (arguments.cost_miss is None) != (arguments.cost_referral is None):
        raise KitError("--cost-miss and --cost-referral belong together", "give both, in the same unit")
    cases = read_cases(arguments.local, bundle.manifest)
    model = load_opened(
        bundle, backend=arguments.backend, precision=arguments.precision, state=arguments.state,
        threads=arguments.threads, golden_every_s=golden_check.INTERVAL_S, site=False,
    )  # fmt: skip
    with model:
        local = scored(cases, lambda case: model(case.path, keep_image=False))
    found = study(local, bundle, arguments.prevalence, arguments.cost_miss, arguments.cost_referral)
    Talk().say_all("\n".join(found.lines))
    print(printable(found.conclude(bundle, state, arguments.approved_by, arguments.report)))
    return EXIT_OK


def selftest(arguments: argparse.Namespace) -> int:
    """Run the golden images, freshly, whatever is cached."""
    bundle = open_bundle(find_bundle(arguments.bundle))
    state = own_state_folder(arguments.state)
    options = LoadOptions(threads=arguments.threads, cache=state / "compiled")
    chosen = choose_backend(bundle, arguments.backend, arguments.precision, options, state, prove=False)
    with chosen.backend as backend:
        result = run_selftest(bundle, backend, load_golden(bundle))
        line = backend_line(backend.info)
    if arguments.json:
        absent = list(bundle.absent)
        print(json.dumps({**result.__dict__, "passed": result.passed, "absent": absent, "conditions": conditions()}))
    else:
        print("\n".join(filter(None, (line, bundle.partial, _selftest_text(result)))))
    for note in keeping.notes():
        Talk(sys.stderr).say(f"note: {note}")
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


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "classify": classify,
    "info": info,
    "doctor": doctor,
    "selftest": selftest,
    "verify": verify,
    "calibrate-camera": calibrate_camera,
    "calibrate-site": calibrate_site,
}
