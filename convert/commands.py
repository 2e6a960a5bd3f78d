"""What each command of the converter does; each imports what it needs when it runs.

A device has this file and ``engine/``, and none of what the other commands import.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from fieldlens.runtime import stopping
from fieldlens.runtime.bundle.precision import targets_of
from fieldlens.runtime.errors import EXIT_OK
from fieldlens.runtime.terminal.beginning import loading

if TYPE_CHECKING:
    from fieldlens.convert.origin.origin import BundleOptions, Origin
    from fieldlens.runtime.terminal.reporter import Reporter


def run_bundle(arguments: argparse.Namespace) -> int:
    """``convert bundle``. The options were checked before."""
    reporter = _host()
    with loading("the converter"):
        from fieldlens.convert.assembly import make_from
        from fieldlens.convert.origin.origin import BundleOptions
    read = _origin(arguments)
    options = BundleOptions(
        data=arguments.data,
        name=arguments.name,
        version=arguments.version,
        label=arguments.label or f"{arguments.version}.0",
        share_images=arguments.share_images,
        images=arguments.images,
        calibration=arguments.calibration,
        calibration_images=arguments.calibration_images,
        targets=targets_of(arguments.targets),
    )
    with stopping.interrupting():  # on a signal it clears its temporary folder away
        make_from(lambda: read(options, reporter), arguments.out, options, reporter)
    return EXIT_OK


def _host() -> Reporter:
    """The host's reporter, with torch loaded under its eyes."""
    from fieldlens.convert.graph.allocator import keep_freed_memory
    from fieldlens.train.console import Console, load_torch

    keep_freed_memory()
    load_torch()
    return Console()


def _origin(arguments: argparse.Namespace) -> Callable[[BundleOptions, Reporter], Origin]:
    """What reads the run or the weights."""
    if arguments.run is not None:
        from fieldlens.convert.origin.training_run import from_run

        return lambda options, reporter: from_run(arguments.run, options, reporter)
    from fieldlens.convert.origin.weights import Weights, from_weights

    weights = Weights(
        arguments.arch or arguments.pretrained, arguments.weights, arguments.classes or "", arguments.recipe,
        arguments.size, arguments.pretrained is not None,
    )  # fmt: skip
    return lambda options, reporter: from_weights(weights, options, reporter)


def run_verify(arguments: argparse.Namespace) -> int:
    """``convert verify``. Everything is printed and written before a broken tolerance ends it."""
    reporter = _host()
    with loading("the converter"):
        from fieldlens.convert.measure.verify import ToleranceError, to_table, verify, write_json, write_predictions
        from fieldlens.runtime.bundle.area_name import area_name
    verified = verify(arguments.bundle, arguments.data, arguments.split, arguments.backend, reporter)
    print(f"{verified.bundle.title}: {verified.what}")
    manifest = verified.bundle.manifest
    print(to_table(verified.figures, verified.names, area_name(manifest.task, len(manifest.classes))))
    if arguments.predictions:
        write_predictions(arguments.predictions, verified)
        print(f"predictions: {arguments.predictions}")
    if arguments.json:
        write_json(arguments.json, verified)
        print(f"figures: {arguments.json}")
    if arguments.report and verified.source:
        from fieldlens.convert.measure.report import write_report

        write_report(arguments.report, verified.bundle, verified.source, verified.answers, reporter)
    if verified.broken:
        raise ToleranceError(
            "broken tolerances: " + "; ".join(verified.broken),
            "do not deploy this precision; make the bundle again with more --calibration-images, or use FP32",
        )
    print("all tolerances of the manifest hold")
    return EXIT_OK


def run_engine(arguments: argparse.Namespace) -> int:
    """``convert engine``: the one command that a device has."""
    from fieldlens.convert.engine import build

    return build.run(arguments)


def run_sign(arguments: argparse.Namespace) -> int:
    """``convert sign``."""
    from fieldlens.convert.sign import sign_bundle
    from fieldlens.runtime.terminal.reporter import Lines

    sign_bundle(arguments.bundle, arguments.key, Lines())
    return EXIT_OK


def run_slim(arguments: argparse.Namespace) -> int:
    """``convert slim``."""
    from fieldlens.convert.slim import slim

    copied = slim(arguments.bundle, arguments.out, targets_of(arguments.targets, "--for"), fp32=arguments.with_fp32)
    what = copied.bundle.partial or "with every model file"
    print(f"{arguments.out}: {copied.files} files, {copied.size_bytes / 1e6:.1f} MB; {what}")
    print(f"its manifest is the original's, SHA-256 {copied.bundle.hash}")
    return EXIT_OK


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "bundle": run_bundle,
    "verify": run_verify,
    "engine": run_engine,
    "sign": run_sign,
    "slim": run_slim,
}
