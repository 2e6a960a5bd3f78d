"""The options of ``curve``, and what is checked before anything heavy is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.terminal import beginning
from fieldlens.train.errors import RunError


def add_curve_options(parser: argparse.ArgumentParser) -> None:
    """All that are not ``fit``'s."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the draws and the figure")
    parser.add_argument(
        "--sizes", default="100,200,500", metavar="N,N,…",
        help="images of each draw, validation among them (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--draws", type=int, default=5, metavar="N", help="of each size (default: %(default)s)")
    parser.add_argument(
        "--more", type=int, default=500, metavar="N", help="images that the forecast adds (default: %(default)s)"
    )
    parser.add_argument(
        "--against", type=Path, metavar="DIR",
        help="another curve of the same data: says what this recipe, or these weights, bring on the same draws",
    )  # fmt: skip
    judges = parser.add_mutually_exclusive_group()
    judges.add_argument(
        "--apart", type=float, default=0.25, metavar="SHARE",
        help="kept apart to judge by, of the images outside the test part, where the data has no validation part of "
        "its own (default: %(default)s)",
    )  # fmt: skip
    judges.add_argument(
        "--test", action="store_true", help="judge by the test part instead; every network counts as a look at it"
    )


def begin_curve(arguments: argparse.Namespace) -> str:
    """What it is going to do. Raises KitError for options that cannot be."""
    sizes = sizes_of(arguments.sizes)
    for name, value, low, high in (
        ("--draws", arguments.draws, 1, 1000),
        ("--more", arguments.more, 1, 10**9),
        ("--apart", arguments.apart, 0.01, 0.9),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{name} is {value:g}", f"between {low:g} and {high:g}")
    if arguments.against is not None and not beginning.exists(arguments.against / "state.json"):
        raise RunError(
            f"--against {arguments.against} is not a learning curve", "give the --out folder of `fieldlens train curve`"
        )
    if beginning.in_use(arguments.out) and not (arguments.out / "state.json").is_file():
        raise RunError(
            f"{arguments.out} exists and is not a learning curve", "choose another --out, or remove it first"
        )
    beginning.outputs([], [arguments.out])
    networks = len(sizes) * arguments.draws
    return f"curve: {networks} networks of {arguments.recipe} on {arguments.data}, into {arguments.out} …"


def sizes_of(text: str) -> tuple[int, ...]:
    """``100,200`` in rising order, each once. Raises ConfigError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() and 2 <= int(word) <= 10**9 for word in words):
        raise ConfigError(f"--sizes {text!r} are not numbers of images", "for example --sizes 100,200,500")
    return tuple(sorted({int(word) for word in words}))
