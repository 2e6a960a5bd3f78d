"""What each command of the converter does; each imports what it needs when it runs.

A device has this file and ``engine/``, and none of what the other commands import.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from fieldlens.runtime import stopping
from fieldlens.runtime.bundle.precision import TARGETS
from fieldlens.runtime.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from fieldlens.convert.origin.origin import BundleOptions, Origin
    from fieldlens.runtime.terminal.reporter import Reporter


def run_bundle(arguments: argparse.Namespace) -> int:
    """``convert bundle``."""
    if not 0 <= arguments.version < 2**53:
        raise ConfigError(f"--version {arguments.version} is out of range", "give a whole number that only grows")
    from fieldlens.convert.assembly import make_from
    from fieldlens.convert.origin.origin import BundleOptions
    from fieldlens.train.console import Console

    reporter = Console()
    read = _origin(arguments)
    options = BundleOptions(
        data=arguments.data,
        name=arguments.name,
        version=arguments.version,
        label=arguments.label or f"{arguments.version}.0",
        golden_from_data=arguments.golden_from_data,
        images=arguments.images,
        calibration=arguments.calibration,
        calibration_images=arguments.calibration_images,
        targets=_targets(arguments.targets),
    )
    with stopping.interrupting():  # told to stop, it clears its temporary folder away
        make_from(lambda: read(options, reporter), arguments.out, options, reporter)
    return EXIT_OK


def _targets(text: str, option: str = "--targets") -> tuple[str, ...]:
    """``cpu,tensorrt10`` → the targets in the kit's order. Raises ConfigError."""
    asked = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in asked if word not in TARGETS]
    if unknown or not asked:
        raise ConfigError(
            f"{option} {text!r}: {unknown[0] if unknown else 'nothing'} is no target",
            f"choose from {', '.join(TARGETS)}",
        )
    return tuple(target for target in TARGETS if target in asked)


def _origin(arguments: argparse.Namespace) -> Callable[[BundleOptions, Reporter], Origin]:
    """What to make the bundle from: exactly one of RUN, --weights with --arch, --pretrained. Raises ConfigError."""
    given = (arguments.run is not None, arguments.arch is not None, arguments.pretrained is not None)
    if sum(given) != 1 or (arguments.weights and not any(given[1:])):
        raise ConfigError(
            "a bundle is made from one of: RUN; --weights FILE --arch NAME --classes A,B; --pretrained NAME",
            "give one of them",
        )
    if arguments.run is not None:
        foreign = [name for name in ("classes", "recipe", "size", "calibration") if getattr(arguments, name)]
        if foreign:
            raise ConfigError(f"--{foreign[0]} is for weights; a RUN brings its own", "leave it out")
        from fieldlens.convert.origin.training_run import from_run

        return lambda options, reporter: from_run(arguments.run, options, reporter)
    if arguments.data:
        raise ConfigError("--data belongs to a RUN", "give images with --calibration DIR and --images DIR")
    if arguments.arch and not arguments.weights:
        raise ConfigError("--arch needs the --weights FILE to load", "or give --pretrained for torchvision's weights")
    if arguments.pretrained and arguments.classes:
        raise ConfigError("--pretrained brings ImageNet's 1000 classes", "leave --classes out")
    from fieldlens.convert.origin.weights import Weights, from_weights

    weights = Weights(
        arguments.arch or arguments.pretrained, arguments.weights, arguments.classes or "", arguments.recipe,
        arguments.size, arguments.pretrained is not None,
    )  # fmt: skip
    return lambda options, reporter: from_weights(weights, options, reporter)


def run_verify(arguments: argparse.Namespace) -> int:
    """``convert verify``. Everything is printed and written before a broken tolerance ends it."""
    for option in ("predictions", "report"):
        if getattr(arguments, option) and not arguments.data:
            raise ConfigError(f"--{option} needs labelled data", "give --data DATA, too")
    from fieldlens.convert.measure.verify import ToleranceError, to_table, verify, write_json, write_predictions
    from fieldlens.train.console import Console

    reporter = Console()
    verified = verify(arguments.bundle, arguments.data, arguments.split, arguments.backend, reporter)
    print(f"{verified.bundle.title}: {verified.what}")
    print(to_table(verified.figures, verified.names))
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

    copied = slim(arguments.bundle, arguments.out, _targets(arguments.targets, "--for"), fp32=arguments.with_fp32)
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
