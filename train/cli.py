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
    _add_crossval(commands)
    _add_evaluate(commands)
    _add_export_images(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Raises KitError, which ``run_cli`` maps to 2."""
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
    parser.add_argument(
        "--resume", action="store_true",
        help="go on in RUN after the last whole epoch, with the same recipe and data; a finished run is left as it is",
    )  # fmt: skip
    _add_data_switches(parser)
    parser.set_defaults(run_command=_fit)


def _add_data_switches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ungrouped", action="store_true",
        help="spread single images over the split although a patient may have several; the report says so",
    )  # fmt: skip
    parser.add_argument(
        "--skip-bad", action="store_true",
        help="leave out images that cannot be read instead of refusing the data; the report names them",
    )  # fmt: skip


def _add_crossval(commands: Subparsers[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "crossval", "judge a recipe by cross-validation",
        "Fits a network for each fold, judges every image by the one that has not seen its group, and keeps a final "
        "run. Started again with the same settings it goes on where it was stopped.",
    )  # fmt: skip
    parser.add_argument("--recipe", type=Path, required=True, metavar="RECIPE.toml", help="what to train, and how")
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help="as for fit")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the folds and the report")
    parser.add_argument("--weights", default="none", metavar="none|imagenet|FILE", help="where to start, as for fit")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=_SET)
    _add_data_switches(parser)
    parser.set_defaults(run_command=_crossval)


def _add_evaluate(commands: Subparsers[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "evaluate", "judge a run or a bundle on a part of its data",
        "Prints the figures with their intervals and writes report.html, report.json and evaluation.json into the run, "
        "or, for a bundle and each of its precisions, into --out.",
    )  # fmt: skip
    parser.add_argument("run", type=Path, metavar="RUN|BUNDLE", help="folder that fit, crossval or convert wrote")
    parser.add_argument("--data", type=Path, metavar="DATA", help="where the data is now (default: where fit found it)")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: %(default)s")
    parser.add_argument(
        "--other-data", action="store_true",
        help="go on although the data is not what the run was trained on; every image of it is judged",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the report goes (default: into the run)")
    parser.add_argument(
        "--with-images", action="store_true",
        help="show the worst mistakes with heat maps in the report; without it they are only named",
    )  # fmt: skip
    parser.add_argument(
        "--prevalence", type=float, metavar="SHARE",
        help="of the threshold table, for example 0.05 (default: the share of positives among the images judged)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=("all", "fp32", "bf16", "fp16", "int8"), default="all",
        help="of a bundle (default: all that the backend runs)",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=("auto", "openvino", "onnxruntime", "tensorrt"), default="auto",
        help="of a bundle; auto is the CPU's (default). TensorRT needs engines built on this machine",
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
    from fieldlens.train.demo_data.photographs import make_demo_data

    make_demo_data(arguments.folder, arguments.images, arguments.seed)
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from fieldlens.train.recipe import load_recipe

    config = load_recipe(arguments.recipe, arguments.overrides)  # before torch: a typo is told at once
    from fieldlens.train.epoch.distributed import started_as
    from fieldlens.train.fit.fit import fit

    history = fit(
        config, arguments.data, arguments.out, arguments.weights, resume=arguments.resume,
        ungrouped=arguments.ungrouped, skip_bad=arguments.skip_bad,
    )  # fmt: skip
    best = history.best
    value = getattr(best, history.metric)
    if started_as().main:
        print(f"kept epoch {best.epoch}: {history.metric} {value:.4f}; the run is in {arguments.out}")
    return 0


def _crossval(arguments: argparse.Namespace) -> int:
    from fieldlens.train.recipe import load_recipe

    config = load_recipe(arguments.recipe, arguments.overrides)
    from fieldlens.train.evaluation.crossval import crossval

    print(
        crossval(
            config, arguments.data, arguments.out, arguments.weights,
            ungrouped=arguments.ungrouped, skip_bad=arguments.skip_bad,
        )
    )  # fmt: skip
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from fieldlens.train.evaluation.evaluate import EvaluationOptions, evaluate

    options = EvaluationOptions(
        arguments.with_images, arguments.prevalence, arguments.out, arguments.backend, arguments.precision
    )
    print(evaluate(arguments.run, arguments.data, arguments.split, arguments.other_data, options))
    return 0


def _export_images(arguments: argparse.Namespace) -> int:
    from fieldlens.train.data.export_images import export_images

    count = export_images(arguments.data, arguments.split, arguments.out, arguments.photographs)
    print(f"{count} images in {arguments.out}")
    return 0
