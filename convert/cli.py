"""The command line of the converter. Nothing heavy is imported here; ``commands`` holds what each command does."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.convert.engine.arguments import add_arguments
from fieldlens.runtime.bundle.precision import targets_of
from fieldlens.runtime.errors import ConfigError, KitError
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.dispatch import run
from fieldlens.runtime.terminal.parser import Commands, Parser, Words

TITLE = "make bundles for devices from training runs, and verify them"
ARCHS = ("resnet18", "resnet34", "resnet50")


def build_parser() -> Parser:
    """``python -m convert``."""
    parser = Parser(
        prog="python -m convert", description="Make bundles for devices from training runs, and verify them."
    )
    add_commands(parser)
    return parser


def main(words: Words = None) -> int:
    """Run one command; returns its exit code. Raises KitError, also where this installation lacks what it needs."""
    return run(build_parser(), words)


def add_commands(parser: Parser) -> None:
    """All commands, below ``parser``."""
    commands = Commands(parser, "fieldlens.convert.commands")
    _add_bundle(commands)
    _add_verify(commands)
    _add_engine(commands)
    _add_sign(commands)
    _add_slim(commands)


def _add_bundle(commands: Commands) -> None:
    parser = commands.add(
        "bundle", "make a bundle from a training run, or from weights that somebody already has",
        "Writes NAME.bundle: model files for each target, golden images, manifest.",
        example="demo/run --out demo/demo.bundle", begin=_begin_bundle,
    )  # fmt: skip
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="folder that `train fit` wrote")
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
        "--share-images", nargs="?", const="", metavar="HASH",
        help="put up to 64 of the data's own validation images into the bundle, for everybody to see, instead of "
        "synthetic ones; HASH is the data's, or its first digits, as `train fit` prints it",
    )  # fmt: skip
    golden.add_argument(
        "--images", type=Path, metavar="DIR",
        help="put up to 64 images of this folder into the bundle instead; not images of the data",
    )  # fmt: skip
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
        help="images like the device's, for INT8; without them there is none",
    )


def _add_verify(commands: Commands) -> None:
    parser = commands.add(
        "verify", "measure what every precision of a bundle loses against FP32",
        "Runs every precision on labelled data (or, without --data, on the golden images). Exit code 2 if a tolerance "
        "of the manifest is broken. Files and signature are checked by the runtime's verify.",
        example="demo/demo.bundle --data demo/data --split test", begin=_begin_verify,
    )  # fmt: skip
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


def _add_engine(commands: Commands) -> None:
    parser = commands.add(
        "engine", "build a TensorRT engine on the device that runs it",
        "Accepts it only if it agrees with the bundle's golden images and, for INT8, is at least 5% faster than FP16 "
        "here. Whatever fails, the last good engine stays.",
        example="demo.bundle --ensure", begin=_begin_reading,
    )  # fmt: skip
    add_arguments(parser)


def _add_sign(commands: Commands) -> None:
    parser = commands.add(
        "sign", "sign a bundle, for devices that ask for it",
        "Checks the whole bundle and puts an OpenSSH signature beside its manifest.",
        example="demo/demo.bundle --key ~/.ssh/id_ed25519", begin=_begin_reading,
    )  # fmt: skip
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder NAME.bundle")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="OpenSSH private key of the maker")


def _add_slim(commands: Commands) -> None:
    parser = commands.add(
        "slim", "copy a bundle with only the model files that a device needs",
        "The manifest stays byte for byte, so that hash and signature hold.",
        example="demo/demo.bundle --for cpu --out demo-cpu.bundle", begin=_begin_slim,
    )  # fmt: skip
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder NAME.bundle")
    parser.add_argument(
        "--for", dest="targets", required=True, metavar="LIST",
        help="what the device runs: cpu, tensorrt10 (10 and 11), tensorrt8, comma-separated",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.bundle", help="folder to write, new or empty")
    parser.add_argument(
        "--with-fp32", action="store_true", help="keep FP32 as well, for a device where nothing narrower passes"
    )


def _begin_bundle(arguments: argparse.Namespace) -> str:
    """Everything about the options that needs no library. Raises KitError."""
    if not 0 <= arguments.version < 2**53:
        raise ConfigError(f"--version {arguments.version} is out of range", "give a whole number that only grows")
    targets_of(arguments.targets)
    _check_origin(arguments)
    if arguments.run is not None and not beginning.is_folder(arguments.run):
        raise KitError(f"there is no run folder {arguments.run}", "give the --out folder of `fieldlens train fit`")
    if arguments.data is not None and not beginning.exists(arguments.data):
        raise ConfigError(f"--data {arguments.data} does not exist", "give the present place of the run's data")
    beginning.file(arguments.weights, "--weights")
    beginning.folder(arguments.images, "--images")
    beginning.folder(arguments.calibration, "--calibration")
    beginning.new_folder(arguments.out, "bundles are never edited in place: ")
    source = arguments.run or arguments.weights or f"torchvision's {arguments.pretrained}"
    return f"bundle: {source} into {arguments.out}, for {arguments.targets} …"


def _check_origin(arguments: argparse.Namespace) -> None:
    """A bundle is made from exactly one of RUN, --weights with --arch, --pretrained. Raises ConfigError."""
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
    elif arguments.share_images is not None:
        raise ConfigError("--share-images belongs to a RUN", "give images that may be seen with --images DIR")
    elif arguments.data:
        raise ConfigError("--data belongs to a RUN", "give images with --calibration DIR and --images DIR")
    elif arguments.arch and not arguments.weights:
        raise ConfigError("--arch needs the --weights FILE to load", "or give --pretrained for torchvision's weights")
    elif arguments.pretrained and arguments.classes:
        raise ConfigError("--pretrained brings ImageNet's 1000 classes", "leave --classes out")


def _begin_verify(arguments: argparse.Namespace) -> str:
    for option in ("predictions", "report"):
        if getattr(arguments, option) and not arguments.data:
            raise ConfigError(f"--{option} needs labelled data", "give --data DATA, too")
    beginning.bundle(arguments.bundle)
    if arguments.data is not None and not beginning.exists(arguments.data):
        raise ConfigError(f"--data {arguments.data} does not exist", "give labelled data: a folder, a CSV or an .npz")
    beginning.outputs([arguments.predictions, arguments.json], [arguments.report])
    what = f"the {arguments.split} images of {arguments.data}" if arguments.data else "its golden images"
    return f"verify: every precision of {arguments.bundle} on {what} …"


def _begin_reading(arguments: argparse.Namespace) -> str:
    beginning.bundle(arguments.bundle)
    beginning.file(getattr(arguments, "key", None), "--key")
    return f"{arguments.command}: reading {arguments.bundle} …"


def _begin_slim(arguments: argparse.Namespace) -> str:
    beginning.bundle(arguments.bundle)
    targets_of(arguments.targets, "--for")
    beginning.new_folder(arguments.out)
    return f"slim: {arguments.bundle} into {arguments.out}, for {arguments.targets} …"
