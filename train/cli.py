"""The trainer's command line. Parsing imports nothing heavy; each command imports what it needs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Command = Callable[[argparse.Namespace], int]

_SET = "override one value of the recipe, for example train.epochs=3 (may be repeated)"


def build_parser() -> argparse.ArgumentParser:
    """All commands of ``python -m train``."""
    parser = argparse.ArgumentParser(prog="python -m train", description="Fine-tune and evaluate on the host.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo_data(commands)
    _add_fit(commands)
    _add_evaluate(commands)
    _add_export_images(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Raises KitError, which ``runtime.errors.run_cli`` maps to 2."""
    arguments = build_parser().parse_args(argv)
    run: Command = arguments.run_command
    return run(arguments)


Subparsers = argparse._SubParsersAction  # argparse has no public name for it


def _command(
    commands: Subparsers[argparse.ArgumentParser], name: str, title: str, more: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=title, description=f"{title[0].upper()}{title[1:]}. {more}")


def _add_demo_data(commands: Subparsers[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "demo-data", "make synthetic photographs of a screening camera",
        "An interrupted run goes on where it stopped; a complete folder is reused; another folder is refused.",
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to write images/ and labels.csv")
    parser.add_argument("--images", type=int, default=900, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another set (default: 0)")
    parser.set_defaults(run_command=_demo_data)


def _add_fit(commands: Subparsers[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "fit", "fine-tune a network on a clinic's pictures",
        "Splits, trains, keeps the best epoch, fits temperature and threshold on validation; never opens the test set.",
    )  # fmt: skip
    parser.add_argument("--recipe", type=Path, required=True, metavar="RECIPE.toml", help="what to train, and how")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATA",
        help="folder with labels.csv, a CSV, a folder of one folder per class, or a MedMNIST-style .npz",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="new folder for the run")
    parser.add_argument(
        "--weights", default="none", metavar="none|imagenet|FILE",
        help="where to start: fresh (default), torchvision's ImageNet weights (downloaded), or a state dict",
    )  # fmt: skip
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=_SET)
    parser.set_defaults(run_command=_fit)


def _add_evaluate(commands: Subparsers[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "evaluate", "judge a run on a part of its data",
        "Prints the figures with their intervals and writes RUN/evaluation.json and a confusion matrix.",
    )  # fmt: skip
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that fit wrote")
    parser.add_argument("--data", type=Path, metavar="DATA", help="where the data is now (default: where fit found it)")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: %(default)s")
    parser.add_argument(
        "--other-data", action="store_true",
        help="go on although the data is not what the run was trained on; every image of it is judged",
    )  # fmt: skip
    parser.set_defaults(run_command=_evaluate)


def _add_export_images(commands: Subparsers[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "export-images", "write the images of an .npz as files, in order, with a table of their labels",
        "PNG, so that the device's runtime sees the very pixels that training saw.",
    )  # fmt: skip
    parser.add_argument("data", type=Path, metavar="DATA", help="a MedMNIST-style .npz")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder: 00000.png, 00001.png, …")
    parser.add_argument(
        "--photographs", action="store_true",
        help="JPEG files of 640×480 instead, the picture enlarged in the middle, as a camera would send them",
    )  # fmt: skip
    parser.set_defaults(run_command=_export_images)


def _demo_data(arguments: argparse.Namespace) -> int:
    from train.demo_data import make_demo_data

    make_demo_data(arguments.folder, arguments.images, arguments.seed)
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from train.recipe import load_recipe

    config = load_recipe(arguments.recipe, arguments.overrides)  # before torch: a typo is told at once
    from train.fit import fit

    history = fit(config, arguments.data, arguments.out, arguments.weights)
    best = history.best
    value = getattr(best, history.metric)
    print(f"kept epoch {best.epoch}: {history.metric} {value:.4f}; the run is in {arguments.out}")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from train.evaluate import evaluate

    print(evaluate(arguments.run, arguments.data, arguments.split, arguments.other_data))
    return 0


def _export_images(arguments: argparse.Namespace) -> int:
    from train.export import export_images

    count = export_images(arguments.data, arguments.split, arguments.out, arguments.photographs)
    print(f"{count} images in {arguments.out}")
    return 0
