"""The host's commands behind ``python -m convert``; each imports what it needs when it runs.

The parser is in ``__main__``, because a device has that file and not this one.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from types import FrameType

from convert.__main__ import build_parser
from runtime.errors import EXIT_OK, ConfigError

__all__ = ["COMMANDS", "build_parser"]


def run_bundle(arguments: argparse.Namespace) -> int:
    """``convert bundle``."""
    if not 0 <= arguments.version < 2**53:
        raise ConfigError(f"--version {arguments.version} is out of range", "give a whole number that only grows")
    from convert.bundle import Options, make

    options = Options(
        data=arguments.data,
        name=arguments.name,
        version=arguments.version,
        label=arguments.label or f"{arguments.version}.0",
        golden_from_data=arguments.golden_from_data,
        images=arguments.images,
        calibration_images=arguments.calibration_images,
    )
    before = signal.signal(signal.SIGTERM, _interrupt)  # told to stop, it clears its temporary folder away
    try:
        make(arguments.run, arguments.out, options)
    finally:
        signal.signal(signal.SIGTERM, before)
    return EXIT_OK


def run_verify(arguments: argparse.Namespace) -> int:
    """``convert verify``. Everything is printed and written before a broken tolerance ends it."""
    if arguments.predictions and not arguments.data:
        raise ConfigError("--predictions needs labelled data", "give --data DATA, too")
    from convert.verify import ToleranceError, to_table, verify, write_json, write_predictions

    verified = verify(arguments.bundle, arguments.data, arguments.split, arguments.backend)
    print(f"{verified.bundle.title}: {verified.what}")
    print(to_table(verified.figures))
    if arguments.predictions:
        write_predictions(arguments.predictions, verified)
        print(f"predictions: {arguments.predictions}")
    if arguments.json:
        write_json(arguments.json, verified)
        print(f"figures: {arguments.json}")
    if verified.broken:
        raise ToleranceError(
            "broken tolerances: " + "; ".join(verified.broken),
            "do not deploy this precision; make the bundle anew with more --calibration-images, or use FP32",
        )
    print("all tolerances of the manifest hold")
    return EXIT_OK


def run_sign(arguments: argparse.Namespace) -> int:
    """``convert sign``."""
    from convert.sign import sign_bundle

    sign_bundle(arguments.bundle, arguments.key)
    return EXIT_OK


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "bundle": run_bundle,
    "verify": run_verify,
    "sign": run_sign,
}
