"""What each command of the trainer does; each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable

from fieldlens.runtime.terminal.beginning import loading


def run_demo_data(arguments: argparse.Namespace) -> int:
    """``train demo-data``."""
    from fieldlens.runtime.terminal.reporter import Lines, Reporter
    from fieldlens.train.demo_data.photographs import make_demo_data

    reporter: Reporter = Lines()
    with contextlib.suppress(ModuleNotFoundError):  # tqdm, which a device's environment lacks
        from fieldlens.train.console import Console

        reporter = Console()
    make_demo_data(arguments.folder, arguments.images, arguments.seed, reporter)
    return 0


def run_new_recipe(arguments: argparse.Namespace) -> int:
    """``train new-recipe``."""
    from fieldlens.runtime.terminal.reporter import Lines
    from fieldlens.train.new_recipe.written import new_recipe

    positive = [word.strip() for word in (arguments.positive or "").split(",") if word.strip()]
    new_recipe(arguments.data, positive, arguments.out, Lines())
    return 0


def run_fit(arguments: argparse.Namespace) -> int:
    """``train fit``."""
    from fieldlens.train.console import Console
    from fieldlens.train.recipe import load_recipe

    config = load_recipe(arguments.recipe, arguments.overrides, Console())  # before torch: a typo shows at once
    from fieldlens.train.console import load_torch

    load_torch()
    with loading("the trainer"):
        from fieldlens.train.epoch.distributed import started_as
        from fieldlens.train.fitting.fit import fit

    history = fit(
        config, arguments.data, arguments.out, arguments.weights, resume=arguments.resume,
        ungrouped=arguments.ungrouped, skip_bad=arguments.skip_bad, reporter=Console(),
    )  # fmt: skip
    best = history.best
    value = f"{history.metric} {getattr(best, history.metric):.4f}"
    kept = f"kept epoch {best.epoch}: {value}"
    if config.train.refit:
        kept = f"epoch {best.epoch} chose: {value}; kept is the network that has learnt from all images"
    if started_as().main:
        print(f"{kept}; the run is in {arguments.out}")
    return 0


def run_crossval(arguments: argparse.Namespace) -> int:
    """``train crossval``."""
    from fieldlens.train.console import Console
    from fieldlens.train.recipe import load_recipe

    config = load_recipe(arguments.recipe, arguments.overrides, Console())
    from fieldlens.train.console import load_torch

    load_torch()
    with loading("the trainer"):
        from fieldlens.train.evaluation.crossval import crossval

    result = crossval(
        config, arguments.data, arguments.out, arguments.weights,
        ungrouped=arguments.ungrouped, skip_bad=arguments.skip_bad, reporter=Console(),
    )  # fmt: skip
    print(result)
    return 0


def run_curve(arguments: argparse.Namespace) -> int:
    """``train curve``."""
    from fieldlens.train.console import Console
    from fieldlens.train.learning_curve.options import sizes_of
    from fieldlens.train.recipe import load_recipe

    config = load_recipe(arguments.recipe, arguments.overrides, Console())
    from fieldlens.train.console import load_torch

    load_torch()
    with loading("the trainer"):
        from fieldlens.train.learning_curve.curve import CurveOptions, curve

    options = CurveOptions(
        sizes_of(arguments.sizes), arguments.draws, arguments.test, arguments.apart, arguments.more, arguments.against
    )
    result = curve(
        config, arguments.data, arguments.out, options, arguments.weights,
        ungrouped=arguments.ungrouped, skip_bad=arguments.skip_bad, reporter=Console(),
    )  # fmt: skip
    print(result)
    return 0


def run_pretrain(arguments: argparse.Namespace) -> int:
    """``train pretrain``."""
    from fieldlens.train.console import Console, load_torch

    load_torch()
    from fieldlens.train.pretraining.pretrain import PretrainOptions, pretrain

    options = PretrainOptions(
        arguments.arch, arguments.images, arguments.minutes, arguments.classes, arguments.size, arguments.seed,
        arguments.batch, arguments.device, arguments.threads,
    )  # fmt: skip
    pretrain(arguments.out, options, Console())
    print(f"start from them with: fieldlens train fit --weights {arguments.out} …")
    return 0


def run_evaluate(arguments: argparse.Namespace) -> int:
    """``train evaluate``."""
    from fieldlens.train.console import Console, load_torch

    load_torch()
    with loading("the evaluation"):
        from fieldlens.train.evaluation.evaluate import EvaluationOptions, evaluate

    options = EvaluationOptions(
        arguments.with_images, arguments.prevalence, arguments.out, arguments.backend, arguments.precision
    )
    print(evaluate(arguments.run, arguments.data, arguments.split, arguments.other_data, options, Console()))
    return 0


def run_export_images(arguments: argparse.Namespace) -> int:
    """``train export-images``."""
    from fieldlens.train.data.export_images import export_images

    count = export_images(arguments.data, arguments.split, arguments.out, arguments.photographs)
    print(f"{count} images in {arguments.out}")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "demo-data": run_demo_data,
    "new-recipe": run_new_recipe,
    "fit": run_fit,
    "crossval": run_crossval,
    "curve": run_curve,
    "pretrain": run_pretrain,
    "evaluate": run_evaluate,
    "export-images": run_export_images,
}
