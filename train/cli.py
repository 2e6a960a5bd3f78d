"""The trainer's command line. Nothing heavy is imported here; ``commands`` holds what each command does."""

from __future__ import annotations

import argparse
from pathlib import Path

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.terminal import beginning
from fieldlens.runtime.terminal.dispatch import run
from fieldlens.runtime.terminal.parser import Commands, Parser, Words
from fieldlens.train.errors import DataError, RunError
from fieldlens.train.learning_curve.options import add_curve_options, begin_curve
from fieldlens.train.pretraining.options import add_pretrain
from fieldlens.train.weights.formula import FORMULA, source_of

TITLE = "fine-tune and evaluate on the host"
_RECIPE = "what to train, and how: a TOML file, or the name of one of the kit's own, for example demo"
_WEIGHTS = "none|imagenet|formula|FILE"
_SET = "override one value of the recipe, for example train.epochs=3 (may be repeated)"


def build_parser() -> Parser:
    """``python -m train``."""
    parser = Parser(prog="python -m train", description="Fine-tune and evaluate on the host.")
    add_commands(parser)
    return parser


def main(words: Words = None) -> int:
    """Run one command; returns its exit code. Raises KitError, which ``fieldlens.runtime.errors.run_cli`` maps to 2."""
    return run(build_parser(), words)


def add_commands(parser: Parser) -> None:
    """All commands, below ``parser``."""
    commands = Commands(parser, "fieldlens.train.commands")
    _add_demo_data(commands)
    _add_new_recipe(commands)
    _add_fit(commands)
    _add_crossval(commands)
    _add_curve(commands)
    add_pretrain(commands)
    _add_evaluate(commands)
    _add_export_images(commands)


def _add_demo_data(commands: Commands) -> None:
    parser = commands.add(
        "demo-data", "make synthetic photographs of a screening camera",
        "An interrupted run goes on where it stopped; a complete folder is reused; another folder is refused.",
        example="demo/data", begin=_begin_demo_data,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to write images/ and labels.csv")
    parser.add_argument("--images", type=int, default=900, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another set (default: 0)")


def _add_new_recipe(commands: Commands) -> None:
    parser = commands.add(
        "new-recipe", "write a recipe for your own images",
        "Looks at the images and their table, asks nothing, and writes a commented TOML file with values that fit.",
        example="my-images --positive ill --out my.toml", begin=_begin_new_recipe,
    )  # fmt: skip
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="folder of one folder per class, folder with a table, table, or .npz"
    )
    refer = parser.add_mutually_exclusive_group(required=True)
    refer.add_argument("--positive", metavar="CLASS[,CLASS]", help="the classes to refer, as the data writes them")
    refer.add_argument("--no-positive", action="store_true", help="a classifier: nobody is referred")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.toml", help="the recipe to write")


def _add_fit(commands: Commands) -> None:
    parser = commands.add(
        "fit", "fine-tune a network on a clinic's images",
        "Splits, trains, keeps the best epoch, fits temperature and threshold on validation; never opens the test set.",
        example="--recipe demo --data demo/data --out demo/run", begin=_begin_fit,
    )  # fmt: skip
    parser.add_argument("--recipe", type=Path, required=True, metavar="RECIPE", help=_RECIPE)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATA",
        help="folder with labels.csv, a CSV, a folder of one folder per class, or a MedMNIST-style .npz",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="new folder for the run")
    parser.add_argument(
        "--weights", default="none", metavar=_WEIGHTS,
        help="where to start: fresh (default), torchvision's ImageNet weights (downloaded), the kit's own from "
        "generated images, or a state dict",
    )  # fmt: skip
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=_SET)
    parser.add_argument(
        "--resume", action="store_true",
        help="go on in RUN after the last whole epoch, with the same recipe and data; a finished run is left as it is",
    )  # fmt: skip
    _add_data_switches(parser)


def _add_data_switches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ungrouped", action="store_true",
        help="spread single images over the split although a patient may have several; the report says so",
    )  # fmt: skip
    parser.add_argument(
        "--skip-bad", action="store_true",
        help="leave out images that cannot be read instead of refusing the data; the report names them",
    )  # fmt: skip


def _add_crossval(commands: Commands) -> None:
    parser = commands.add(
        "crossval", "judge a recipe by cross-validation",
        "Fits a network for each fold, judges every image by the one that has not seen its group, and keeps a final "
        "run. Started again with the same settings it goes on where it was stopped.",
        example="--recipe demo --data demo/data --out demo/cv", begin=_begin_crossval,
    )  # fmt: skip
    parser.add_argument("--recipe", type=Path, required=True, metavar="RECIPE", help=_RECIPE)
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help="as for fit")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the folds and the report")
    parser.add_argument("--weights", default="none", metavar=_WEIGHTS, help="where to start, as for fit")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=_SET)
    _add_data_switches(parser)


def _add_curve(commands: Commands) -> None:
    parser = commands.add(
        "curve", "measure what a recipe reaches with so many images, and what more would bring",
        "Draws whole patients at random, several times for each size, trains a network on every draw, and judges all "
        "by the same images. Started again with the same recipe and data it goes on where it was stopped.",
        example="--recipe demo --data demo/data --out demo/curve --sizes 100,200,400", begin=_begin_curve,
    )  # fmt: skip
    parser.add_argument("--recipe", type=Path, required=True, metavar="RECIPE", help=_RECIPE)
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help="as for fit")
    add_curve_options(parser)
    parser.add_argument("--weights", default="none", metavar=_WEIGHTS, help="where to start, as for fit")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=_SET)
    _add_data_switches(parser)


def _add_evaluate(commands: Commands) -> None:
    parser = commands.add(
        "evaluate", "judge a run or a bundle on a part of its data",
        "Prints the figures with their intervals and writes report.html, report.json and evaluation.json into the run, "
        "or, for a bundle and each of its precisions, into --out.",
        example="demo/run --with-images", begin=_begin_evaluate,
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


def _add_export_images(commands: Commands) -> None:
    parser = commands.add(
        "export-images", "write the images of an .npz as files, in order, with a table of their labels",
        "PNG, so that the device's runtime sees the very pixels that training saw.",
        example="pneumoniamnist.npz --split test --out images", begin=_begin_export_images,
    )  # fmt: skip
    parser.add_argument("data", type=Path, metavar="DATA", help="a MedMNIST-style .npz")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder: 00000.png, 00001.png, …")
    parser.add_argument(
        "--photographs", action="store_true",
        help="JPEG files of 640×480 instead, the image enlarged in the middle, as a camera would send them",
    )  # fmt: skip


def _begin_demo_data(arguments: argparse.Namespace) -> str:
    beginning.outputs([], [arguments.folder])
    return f"demo-data: {arguments.images} synthetic photographs into {arguments.folder} …"


def _begin_new_recipe(arguments: argparse.Namespace) -> str:
    if not beginning.exists(arguments.data):
        raise DataError(f"there is no data at {arguments.data}", "give a folder of images, a table, or an .npz")
    beginning.outputs([arguments.out])
    return f"new-recipe: looking at {arguments.data} …"


def _begin_fit(arguments: argparse.Namespace) -> str:
    _trained_from(arguments)
    out = arguments.out
    if beginning.leads() and not arguments.resume and beginning.in_use(out):
        run, finished = (out / "run.json").is_file(), (out / "operating-point.json").is_file()
        which = f", with {'a finished' if finished else 'an unfinished'} run" if run else ""
        hint = "go on with --resume, or " if run and not finished else ""
        raise RunError(
            f"{out} exists and is not empty{which}", f"{hint}choose another --out, or remove the folder first"
        )
    beginning.outputs([], [out])
    return f"fit: {arguments.recipe} on {arguments.data}, into {out} …"


def _begin_crossval(arguments: argparse.Namespace) -> str:
    _trained_from(arguments)
    if beginning.in_use(arguments.out) and not (arguments.out / "state.json").is_file():
        raise RunError(
            f"{arguments.out} exists and is not a cross-validation", "choose another --out, or remove it first"
        )
    beginning.outputs([], [arguments.out])
    return f"crossval: {arguments.recipe} on {arguments.data}, into {arguments.out} …"


def _begin_curve(arguments: argparse.Namespace) -> str:
    _trained_from(arguments)
    return begin_curve(arguments)


def _trained_from(arguments: argparse.Namespace) -> None:
    """Data, weights and the whole recipe with its overrides. Raises KitError."""
    _data(arguments.data)
    if arguments.weights not in ("none", "imagenet", FORMULA):
        beginning.file(Path(arguments.weights), "--weights")
    from fieldlens.train.recipe import load_recipe

    config = load_recipe(arguments.recipe, arguments.overrides)
    source_of(arguments.weights, config.model.arch)


def _data(path: Path) -> None:
    if not beginning.exists(path):
        raise DataError(
            f"there is no data at {path}",
            "give a folder with labels.csv, a CSV, a folder with one folder per class, or an .npz",
        )


def _begin_evaluate(arguments: argparse.Namespace) -> str:
    run = arguments.run
    if not beginning.is_folder(run):
        raise RunError(f"there is no run folder {run}", "give the --out folder of `fieldlens train fit`")
    if arguments.data is not None:
        _data(arguments.data)
    if arguments.prevalence is not None and not 0 < arguments.prevalence < 1:
        raise ConfigError(
            f"--prevalence {arguments.prevalence:g} is no share", "for example 0.05: one in twenty has it"
        )
    stored_in = None if beginning.exists(run / "manifest.json") else run  # a bundle is never edited
    beginning.outputs([], [arguments.out, stored_in])
    return f"evaluate: {run} on its {arguments.split} images …"


def _begin_export_images(arguments: argparse.Namespace) -> str:
    _data(arguments.data)
    if beginning.in_use(arguments.out):
        raise DataError(f"{arguments.out} exists and is not empty", "choose another --out, or remove the folder first")
    beginning.outputs([], [arguments.out.parent])
    return f"export-images: {arguments.split} of {arguments.data} into {arguments.out} …"
