"""The command ``pretrain``: its options, and what is checked before anything heavy is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.parser import Commands


def add_pretrain(commands: Commands) -> None:
    """The command, below ``train``."""
    parser = commands.add(
        "pretrain", "make starting weights from generated images, which are nobody's",
        "A network learns to tell classes of generated images apart; its trunk becomes a file for fit --weights. "
        "Started again with the same settings it goes on where it was stopped.",
        example="--minutes 30 --out formula.safetensors", begin=_begin_pretrain,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors", help="the weights, in FP16")
    parser.add_argument(
        "--arch", choices=("resnet18", "resnet34", "resnet50"), default="resnet18", help="default: %(default)s"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--images", type=int, default=0, metavar="N", help="how many to learn from, each seen once")
    length.add_argument(
        "--minutes", type=float, default=30.0, metavar="M",
        help="instead: about how long to train; a few steps are timed, and decide how many images (default: 30)",
    )  # fmt: skip
    parser.add_argument("--classes", type=int, default=64, metavar="N", help="to tell apart (default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, metavar="PX", help="side of an image (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=0, metavar="N", help="images a step (default: 64; on a GPU 512)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, other classes (default: 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU, if any")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of the CPU (default: torch's choice)")


def _begin_pretrain(arguments: argparse.Namespace) -> str:
    if arguments.out.suffix != ".safetensors":
        raise ConfigError(f"--out {arguments.out} is no name for safetensors", "for example formula.safetensors")
    for name, value, low, high in (
        ("--images", arguments.images, 0, 10**10), ("--minutes", arguments.minutes, 0.01, 100_000),
        ("--classes", arguments.classes, 2, 20_000), ("--size", arguments.size, 32, 512),
        ("--seed", arguments.seed, 0, 2**31 - 1), ("--threads", arguments.threads, 0, 1024),
    ):  # fmt: skip
        _within(name, value, low, high)
    if arguments.batch:
        _within("--batch", arguments.batch, 2, 65_536)
    beginning.outputs([arguments.out])
    length = f"{arguments.images:,} images" if arguments.images else f"about {arguments.minutes:g} minutes"
    return f"pretrain: {arguments.arch} on generated images, {length}, into {arguments.out} …"


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value:g}", f"between {low:g} and {high:g}")
