"""Options of ``convert engine``, free of heavy imports so that ``--help`` is quick."""

from __future__ import annotations

import argparse
from pathlib import Path

PRECISIONS = ("auto", "fp32", "fp16", "int8")
TACTIC_SOURCES = "FIELDLENS_TACTIC_SOURCES"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``convert engine``."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder NAME.bundle")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="default: auto, the fastest that passes (int8, fp16, fp32)",
    )
    parser.add_argument(
        "--ensure", action="store_true", help="do nothing if a valid engine for exactly this device exists"
    )
    parser.add_argument(
        "--batch",
        default="1",
        metavar="N,N",
        help="batch sizes to build for, e.g. 1,4,8; each takes its time (default: 1)",
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="where this device keeps its engines")
    parser.add_argument(
        "--workspace",
        type=int,
        default=0,
        metavar="MIB",
        help="memory the builder may use (default: half of what is free)",
    )
    parser.add_argument(
        "--optimization-level", type=int, choices=range(6), default=3, metavar="0-5",
        help="how long TensorRT searches: higher builds longer (default: 3)",
    )  # fmt: skip
    parser.add_argument(
        "--tactic-sources", default=None, metavar="NAMES",
        help=f"libraries TensorRT may use, by its names, comma-separated (default: ${TACTIC_SOURCES}, else all)",
    )  # fmt: skip
