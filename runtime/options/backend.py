"""Options of every command that runs a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.runtime.backends.names import BACKENDS, PRECISIONS
from fieldlens.runtime.options.values import positive


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Backend, precision, threads and the state folder."""
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: the best that works here")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="default: the fastest that passes here")
    parser.add_argument("--threads", type=positive, default=0, metavar="N", help="default: every core this process has")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where this device keeps caches and self-tests")
