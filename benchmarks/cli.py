"""The command line of the benchmarks. Nothing heavy is imported here; ``commands`` holds what each command does."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.benchmarks.device.record.parts import PARTS
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.dispatch import run
from fieldlens.runtime.terminal.parser import Commands, Parser, Words

TITLE = "measure this device, beside what a user would pick instead"
_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent if _HERE.name == "benchmarks" and (_HERE.parent / "pyproject.toml").is_file() else Path()
"""The checkout; where the kit is installed, the folder that it is called in."""
RESULTS = _ROOT / "benchmarks" / "results"
PAGE = _ROOT / "docs" / "benchmarks.md"
ARCHS = ("resnet18", "resnet34", "resnet50")


def build_parser() -> Parser:
    """``python -m benchmarks``."""
    parser = Parser(
        prog="python -m benchmarks", description="Measure this device, beside what a user would pick instead."
    )
    add_commands(parser)
    return parser


def main(words: Words = None) -> int:
    """Run one command; returns its exit code: 4 for a run that is INVALID. Raises KitError."""
    return run(build_parser(), words)


def add_commands(parser: Parser) -> None:
    """All commands, below ``parser``."""
    commands = Commands(parser, "fieldlens.benchmarks.commands")
    _add_compare(commands)
    _add_roofline(commands)
    _add_training(commands)
    _add_conversion(commands)
    _add_record(commands)
    _add_agree(commands)
    _add_gate(commands)
    _add_docs(commands)


def _add_compare(commands: Commands) -> None:
    parser = commands.add(
        "compare", "this runtime against its peers, from image bytes to class probabilities",
        "Run this runtime and its peers on the same images and the same network, a process each, taking "
        "turns in random order. Prints a table and, last, one JSON line per contender. Exit code 4 if the machine was "
        "too busy for the figures to be believed.",
        example="--random resnet18 --rounds 10", begin=_begin_measuring,
    )  # fmt: skip
    _subject(parser)
    _rounds(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write table, image, lines, raw times")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON lines here")


def _subject(parser: argparse.ArgumentParser) -> None:
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--bundle", type=Path, metavar="B", help="the folder NAME.bundle")
    network.add_argument(
        "--random", choices=ARCHS, metavar="ARCH", help=f"no bundle at hand: random weights ({', '.join(ARCHS)})"
    )
    parser.add_argument("--size", type=_size, default=224, metavar="PX", help="of --random's images (default: 224)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="images (default: 16 made JPEG files of 640×480)")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="columns image and label: adds accuracy and AUC")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where this device keeps TensorRT's engines")


def _rounds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", type=_names, metavar="A,B,…", help="only these contenders (ours is always there)")
    parser.add_argument("--rounds", type=_positive, default=30, metavar="N", help="turns per contender (default: 30)")
    parser.add_argument("--per-round", type=_positive, default=20, metavar="N", help="images a turn (default: 20)")
    parser.add_argument(
        "--starts", type=_count, default=3, metavar="N", help="more fresh processes for start-up times (default: 3)"
    )
    parser.add_argument("--seed", type=_count, default=0, metavar="S", help="of the order of turns (default: 0)")
    _machine(parser)


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=_positive, default=0, metavar="N", help="cores to use (default: all)")
    parser.add_argument(
        "--settle", type=_seconds, default=60.0, metavar="S",
        help="wait at most so long for the load average to fall, and again for calm clocks (default: 60)",
    )  # fmt: skip


def _add_roofline(commands: Commands) -> None:
    parser = commands.add(
        "roofline", "what this machine could do at best, and how far each stage is from it",
        "Measure memory bandwidth and the peak rate of multiply-adds in fp32, bf16 and int8, count the "
        "network's operations and bytes, and print the floor of each stage beside its time, with uncertainties.",
        example="--random resnet18", begin=_begin_measuring,
    )  # fmt: skip
    _subject(parser)
    _machine(parser)
    parser.add_argument("--repeats", type=_positive, default=15, metavar="N", help="of each measurement (default: 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")


def _add_training(commands: Commands) -> None:
    parser = commands.add(
        "training", "images a second of `train fit` against a plain torchvision loop, and what is possible",
        "Train the same network on the same made images with the same settings, by `fieldlens train fit` "
        "by a plain loop of torchvision's transforms and DataLoader, and without any loading, taking turns.",
        example="--size 224", begin=_begin_measuring,
    )  # fmt: skip
    parser.add_argument("--arch", choices=ARCHS, default="resnet18", help="default: %(default)s")
    parser.add_argument("--size", type=_size, default=64, metavar="PX", help="of the network's input (default: 64)")
    parser.add_argument("--images", type=_positive, default=640, metavar="N", help="JPEG 640×480 (default: 640)")
    parser.add_argument("--epochs", type=_positive, default=3, metavar="N", help="of each turn (default: 3)")
    parser.add_argument("--rounds", type=_positive, default=3, metavar="N", help="turns of each (default: 3)")
    _machine(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")


def _add_conversion(commands: Commands) -> None:
    parser = commands.add(
        "conversion", "how long each step of making a bundle takes",
        "Train a network shortly, make its bundle for all targets several times, and time every step.",
        example="--arch resnet18 --json conversion.json", begin=_begin_measuring,
    )  # fmt: skip
    parser.add_argument("--arch", choices=ARCHS, default="resnet18", help="default: %(default)s")
    parser.add_argument("--size", type=_size, default=224, metavar="PX", help="of the network's input (default: 224)")
    parser.add_argument(
        "--images",
        type=_enough,
        default=240,
        metavar="N",
        help="JPEG 640×480 to train, calibrate and judge with, at least 220 (default: 240)",
    )
    parser.add_argument("--rounds", type=_positive, default=3, metavar="N", help="how often (default: 3)")
    _machine(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")


def _add_record(commands: Commands) -> None:
    parser = commands.add(
        "record", "measure this device and add it to benchmarks/results/",
        "Compare, and measure roofline, training and conversion, and keep it all in a folder for this "
        "device. Refuses when the conditions are not known (exit code 2) or the machine was not quiet (exit code 4).",
        example="--bundle demo.bundle --power-mode \"15 W\"", begin=_begin_measuring,
    )  # fmt: skip
    _subject(parser)
    _rounds(parser)
    parser.add_argument("--name", metavar="NAME", help="of the device's folder (default: device, CPU and cores)")
    parser.add_argument("--power-mode", metavar="TEXT", help="stated by you, where this machine does not tell it")
    parser.add_argument(
        "--without", action="append", default=[], choices=PARTS, metavar="PART",
        help="leave out roofline, training or conversion (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="default: benchmarks/results")
    parser.add_argument(
        "--comparison", type=Path, metavar="RUN",
        help="folder of a compare --out, or of a record, of this bundle on this device: what it has is not measured "
        "again",
    )  # fmt: skip
    parser.add_argument(
        "--earlier", type=Path, metavar="RUN",
        help="folder of an earlier compare --out of the same: whether both agree is kept, and must",
    )  # fmt: skip


def _add_agree(commands: Commands) -> None:
    parser = commands.add(
        "agree", "do two runs of compare say the same?",
        "Compare the ratios and the order of two runs on one device: exit code 2 where a ratio to ours "
        "changed by more than a tenth, or where both runs decide the order of a pair, each the other way.",
        example="run-1 run-2", begin=_begin_agree,
    )  # fmt: skip
    parser.add_argument("earlier", type=Path, metavar="RUN", help="folder that compare --out or record wrote")
    parser.add_argument("later", type=Path, metavar="RUN", help="another one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")


def _add_gate(commands: Commands) -> None:
    parser = commands.add(
        "gate", "which faults of an image the gate sees, and how many good images it refuses",
        "Spoil good images in known ways and strengths, draw wrong subjects, and have the runtime judge "
        "them as on the device. Prints a table of retakes, what each fault costs without a gate, and what is let "
        "through. Needs no quiet machine.",
        example="--bundle demo.bundle --images good-images", begin=_begin_measuring,
    )  # fmt: skip
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the folder NAME.bundle")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="good images, none trained on")
    parser.add_argument(
        "--labels", type=Path, metavar="CSV",
        help="columns image and label: what is right (default: labels.csv in the folder, else the answer to the good "
        "image)",
    )  # fmt: skip
    parser.add_argument("--near", type=Path, metavar="DIR", help="images of the same subject from another site")
    parser.add_argument("--limit", type=_positive, default=200, metavar="N", help="images spoilt (default: 200)")
    parser.add_argument("--seed", type=_count, default=0, metavar="S", help="of choice and faults (default: 0)")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where this device keeps caches and self-tests")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")


def _add_docs(commands: Commands) -> None:
    parser = commands.add(
        "docs", "write docs/benchmarks.md from benchmarks/results/",
        "Write the page of all recorded devices. With --check only look: exit code 2 if it is old.",
        example="--check", begin=_begin_docs,
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="default: benchmarks/results")
    parser.add_argument("--out", type=Path, default=PAGE, metavar="FILE", help="default: docs/benchmarks.md")
    parser.add_argument("--check", action="store_true", help="only compare with what is there")


def _begin_measuring(arguments: argparse.Namespace) -> str:
    """Bundle, images and labels are there, and labels have images. Raises KitError."""
    bundle, images, labels = (getattr(arguments, name, None) for name in ("bundle", "images", "labels"))
    if bundle is not None:
        beginning.bundle(bundle)
    if labels is not None and images is None:
        raise KitError("--labels needs --images", "give the folder of the images that it names")
    if isinstance(images, Path) and not beginning.is_folder(images):
        raise KitError(f"--images {images} is not a folder", "give a folder of image files")
    beginning.file(labels, "--labels")
    beginning.outputs(
        [getattr(arguments, "json", None)], [getattr(arguments, name, None) for name in ("out", "results")]
    )
    what = bundle or getattr(arguments, "random", None) or getattr(arguments, "arch", "")
    return f"{arguments.command}: {what} on this machine …"


def _begin_agree(arguments: argparse.Namespace) -> str:
    beginning.folder(arguments.earlier, "RUN")
    beginning.folder(arguments.later, "RUN")
    beginning.outputs([arguments.json])
    return f"agree: {arguments.earlier} and {arguments.later} …"


def _begin_docs(arguments: argparse.Namespace) -> str:
    beginning.outputs([] if arguments.check else [arguments.out])
    return f"docs: reading {arguments.results} …"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _enough(text: str) -> int:
    value = int(text)
    if value < 220:
        raise argparse.ArgumentTypeError("INT8 needs images of 32 people, and others judge: at least 220")
    return value


def _size(text: str) -> int:
    value = int(text)
    if not 32 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"{text} is not between 32 and 1024")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value
