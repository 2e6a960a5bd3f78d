"""The command line of the device. Imports nothing heavy: ``--help`` must answer at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime.backends.names import BACKENDS, PRECISIONS

SOURCE_HELP = (
    "image, folder (recursive), glob, video, v4l2://N, /dev/videoN, or - for a list of paths on standard input"
)


def build_parser() -> argparse.ArgumentParser:
    """``python -m runtime``."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime", description="Classify pictures, and say how long each took."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_classify(
        commands.add_parser(
            "classify",
            help="classify files, folders, videos or a camera",
            description="Classify files, folders, videos or a camera.",
        )
    )
    info = commands.add_parser("info", help="what a bundle is, for people", description="What a bundle is, for people.")
    info.add_argument("bundle", type=Path, help="the folder NAME.bundle")
    info.add_argument("--json", action="store_true", help="the manifest itself")
    selftest = commands.add_parser(
        "selftest",
        help="run a bundle's golden images on this machine",
        description="Run a bundle's golden images on this machine.",
    )
    selftest.add_argument("bundle", type=Path, help="the folder NAME.bundle")
    selftest.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    _add_backend(selftest)
    return parser


def _add_classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE_HELP)
    parser.add_argument("--bundle", type=Path, required=True, help="the folder NAME.bundle")
    _add_backend(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="one JSON object a line; - for standard output")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a row per input")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="report of the run; also writes FILE.json")
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="a picture with its heat map per input")
    parser.add_argument("--top-k", type=_positive, default=1, metavar="K", help="classes named per line (default 1)")
    parser.add_argument("--limit", type=_positive, metavar="N", help="stop after N inputs")
    parser.add_argument("--duration", type=_seconds, metavar="S", help="stop after S seconds")


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: the best that works here")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="default: the fastest that passes here")
    parser.add_argument(
        "--threads", type=_positive, default=0, metavar="N", help="default: every core this process has"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="where this device keeps caches and self-tests")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value
