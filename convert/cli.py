"""The command line of the converter, without the weight behind it.

The parser lives here and the commands' modules are imported when they run, because a device has this file and
``engine/`` but none of the host's modules.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from fieldlens.convert.engine import build as engine
from fieldlens.runtime.errors import KitError

HOST_ONLY = ("fieldlens", "torch", "torchvision", "onnx", "onnxruntime", "scipy")
"""What a device has not."""

ARCHS = ("resnet18", "resnet34", "resnet50")


def build_parser() -> argparse.ArgumentParser:
    """All subcommands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m convert", description="Make bundles for devices from training runs, and verify them."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_bundle(commands.add_parser("bundle", help="make a bundle from a training run"))
    _add_verify(commands.add_parser("verify", help="measure every precision of a bundle against FP32"))
    engine.add_arguments(commands.add_parser("engine", help="build a TensorRT engine on the device that runs it"))
    _add_sign(commands.add_parser("sign", help="sign a bundle, for devices that ask for it"))
    return parser


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make NAME.bundle from a training run, or from weights that somebody already has: model files for each target, "
        "golden images, manifest."
    )
    parser.add_argument(
        "run", type=Path, nargs="?", metavar="RUN", help="folder that `python -m train fit` wrote"
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.bundle", help="folder to write, new or empty")
    parser.add_argument("--data", type=Path, help="the run's data, if it no longer lies where training read it")
    parser.add_argument("--name", help="name of the model (default: the run's)")
    parser.add_argument("--version", type=int, default=1, metavar="N", help="a number that only grows (default: 1)")
    parser.add_argument("--label", metavar="TEXT", help="the version for people (default: N.0)")
    parser.add_argument(
        "--targets", default="cpu,tensorrt10,tensorrt8", metavar="LIST",
        help="what the bundle is to run on: cpu, tensorrt10 (10 and 11), tensorrt8, comma-separated (default: all)",
    )  # fmt: skip
    golden = parser.add_mutually_exclusive_group()
    golden.add_argument(
        "--golden-from-data", action="store_true",
        help="consent: put 64 of the data's own pictures into the bundle, though the data is not marked as shareable",
    )  # fmt: skip
    golden.add_argument("--images", type=Path, metavar="DIR", help="take the golden images from this folder instead")
    parser.add_argument(
        "--calibration-images", type=int, default=512, metavar="N",
        help="how many training images to calibrate INT8 with, at least 32 (default: 512)",
    )  # fmt: skip
    _add_weights(parser.add_argument_group("instead of RUN: weights of a torchvision ResNet"))


def _add_weights(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--weights", type=Path, metavar="FILE", help="a state dict (.pth); code in it is never run")
    group.add_argument("--arch", choices=ARCHS, help="the network that FILE belongs to")
    group.add_argument(
        "--pretrained", choices=ARCHS,
        help="torchvision's ImageNet weights and their 1000 classes; downloaded, or from FILE",
    )  # fmt: skip
    group.add_argument(
        "--classes", metavar="A,B", help="class names in the order of the outputs, or a file with one a line"
    )
    group.add_argument(
        "--recipe", type=Path, metavar="FILE", help="preprocess and names (default: torchvision's evaluation)"
    )
    group.add_argument("--size", type=int, metavar="N", help="side of the network's input in pixels (default: 224)")
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="pictures like the device's, for INT8; without them there is none",
    )


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run every precision of a bundle on labelled data (or, without --data, on its golden images) and print what "
        "each one loses against FP32. Exit code 2 if a tolerance of the manifest is broken."
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder NAME.bundle")
    parser.add_argument("--data", type=Path, help="labelled data: folder, CSV or .npz, as for training")
    parser.add_argument(
        "--split", choices=("train", "val", "test", "all"), default="test", help="which part of it (default: test)"
    )
    parser.add_argument("--predictions", type=Path, metavar="CSV", help="write the probabilities of every image here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write the trainer's report on every precision here")
    parser.add_argument(
        "--backend", choices=("auto", "openvino", "onnxruntime"), default="auto",
        help="what runs the CPU's files (default: OpenVINO if installed, as on a device); TensorRT's are emulated",
    )  # fmt: skip


def _add_sign(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check a whole bundle, and put an OpenSSH signature beside its manifest."
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder NAME.bundle")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="OpenSSH private key of the maker")


def main(arguments: list[str] | None = None) -> int:
    """Parse and run. Raises KitError where this installation lacks what the command needs."""
    parsed = build_parser().parse_args(arguments)
    if parsed.command == "engine":  # the one command that a device has
        return engine.run(parsed)
    try:
        return int(importlib.import_module("fieldlens.convert.commands").COMMANDS[parsed.command](parsed))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in HOST_ONLY:
            raise
        raise KitError(
            f"`convert {parsed.command}` belongs to the host: {error.name} is missing here",
            "run it on the host, in an environment with `pip install -r requirements.txt`",
        ) from error
