"""Somebody's existing weights: a state dict of a torchvision ResNet, or torchvision's own for ImageNet.

Nothing is known of the data they were trained on: no temperature, no decision, no quality limits. The bundle is a
general classifier, and its precisions are judged by whether they agree with FP32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models

from fieldlens.convert import golden, synthetic
from fieldlens.convert.graph.contract import ConversionError
from fieldlens.convert.origin.origin import BundleOptions, Judging, Origin
from fieldlens.convert.origin.sharing import FOLDER, STATISTICS, check_folder
from fieldlens.convert.origin.training_run import converted_with
from fieldlens.convert.quantization.calibrate import MIN_IMAGES, shuffled
from fieldlens.runtime.bundle.manifest import ClassInfo, Manifest, Version
from fieldlens.runtime.errors import ConfigError, KitError
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize, with_size
from fieldlens.runtime.sources.dicom_peek import name_for_messages
from fieldlens.runtime.sources.walk import image_files
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.config import Config, DataConfig
from fieldlens.train.model import model_of
from fieldlens.train.recipe import load_recipe
from fieldlens.train.weights.file import State, read_weights
from fieldlens.train.weights.names import check_trunk, named

_SIZE = 224
_ZOOM = 256 / 224
"""torchvision's evaluation: the shorter side to 256, then the central 224."""
_MADE = 64
_KEPT_ASIDE = 5
"""Of the calibration folder every fifth image judges and does not calibrate."""


@dataclass(frozen=True)
class Weights:
    """What the command line said. ``file`` None: torchvision's, downloaded or from its cache."""

    arch: str
    file: Path | None
    classes: str = ""
    recipe: Path | None = None
    size: int | None = None
    pretrained: bool = False


def from_weights(weights: Weights, options: BundleOptions, reporter: Reporter = SILENT) -> Origin:
    """The network and the images to convert it with. Raises KitError for weights that do not fit."""
    config = load_recipe(weights.recipe, reporter=reporter)
    if options.images is not None:
        check_folder(None, options.images, reporter)
    classes = _imagenet_classes(weights.arch) if weights.pretrained else _classes(weights.classes, config)
    with reporter.step("read", f"{weights.arch} with {len(classes)} classes from {weights.file or 'torchvision'}"):
        state, source = _state(weights, reporter)
        made = model_of(replace(config.model, arch=weights.arch, dropout=0.0), len(classes))
        network = _adopt(made, state, weights)
    steps = config.preprocess.steps if weights.recipe else (Orient(), Resize(_SIZE, "crop", _ZOOM))
    steps = with_size(steps, weights.size) if weights.size else steps
    name = f"{weights.arch}-imagenet" if weights.pretrained else weights.file.stem if weights.file else weights.arch
    calibration, judging, facts = _images(Preprocess(steps), options, reporter)
    candidates, origin = _golden(calibration, judging, options, reporter)
    draft = Manifest(
        name=options.name or (config.recipe.name if weights.recipe else name),
        version=Version(options.version, options.label),
        task="multiclass",
        classes=classes,
        preprocess=steps,
        features=0,
        cam_size=0,
        temperature=1.0,
        decision=None,
        tolerances={},
        quality=None,
        ood=None,
        provenance={
            "data": {"config": Config(data=DataConfig(classes=tuple(c.id for c in classes))).to_json()["data"]},
            "arch": weights.arch,
            "weights": source,
            "calibration": facts,
            **converted_with(),
        },
        evaluation={},
    )
    return Origin(network, draft, calibration, judging, candidates, origin)


def _classes(text: str, config: Config) -> tuple[ClassInfo, ...]:
    """Ids in the order of the logits: ``a,b,c``, or a file with one a line; else the recipe's."""
    if text and Path(text).is_file():
        ids = [line.strip() for line in Path(text).read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        ids = [word.strip() for word in text.split(",") if word.strip()]
    ids = ids or list(config.data.classes or dict.fromkeys(config.data.labels.values()))
    if len(ids) < 2 or len(set(ids)) != len(ids):
        raise ConfigError(
            f"--classes names {len(ids)} classes, {len(set(ids))} of them different; at least 2 are needed, once each",
            "give --classes a,b,c in the order of the network's outputs, or a file with one a line",
        )
    return tuple(ClassInfo(name, config.data.display.get(name, name)) for name in ids)


def _imagenet_classes(arch: str) -> tuple[ClassInfo, ...]:
    """torchvision's 1000 names, each there once."""
    names = models.get_model_weights(arch)["IMAGENET1K_V1"].meta["categories"]
    return tuple(ClassInfo(name, name) for name in names)


def _state(weights: Weights, reporter: Reporter) -> tuple[State, str]:
    """The tensors, and what to record of where they come from."""
    if weights.file is None:
        try:
            state = models.get_model_weights(weights.arch)["IMAGENET1K_V1"].get_state_dict(
                progress=False, check_hash=True
            )
        except (OSError, RuntimeError) as error:  # URLError and time-outs are OSError; a wrong hash is RuntimeError
            raise KitError(
                f"the ImageNet weights of {weights.arch} could not be downloaded ({error})",
                "copy torchvision's file here and give it with --weights FILE",
            ) from error
        return dict(state), "torchvision IMAGENET1K_V1"
    found = read_weights(weights.file)
    if found.beside:
        reporter.say(f"note: {weights.file.name} also holds {found.beside}: not taken")
    return found.tensors, f"{weights.file.name}, SHA-256 {found.sha256}"


def _adopt(network: nn.Module, state: State, weights: Weights) -> nn.Module:
    """Load every tensor; the head has to be there, and to be one linear layer, with or without dropout before it."""
    source = str(weights.file or "of torchvision")
    found = named(state, source)
    own = network.state_dict()
    trunk = check_trunk(found, own, weights.arch, source, "give the --arch that they were trained with")
    if found.linear is None:
        raise KitError(
            f"{found.head}: the kit's heat map needs one linear layer, with or without dropout before it",
            "train again with one linear layer, for example with `fieldlens train fit --weights FILE`",
        )
    weight, bias = found.linear
    if weight.shape[0] != own["fc.weight"].shape[0]:
        raise KitError(
            f"the weights have {weight.shape[0]} classes, --classes names {own['fc.weight'].shape[0]}",
            "name as many classes as the network has outputs, in their order",
        )
    if weight.shape != own["fc.weight"].shape:
        raise KitError(f"the head takes {weight.shape[1]} features, and {weights.arch} has {own['fc.weight'].shape[1]}",
                       "give the --arch that they were trained with")  # fmt: skip
    network.load_state_dict({**trunk, "fc.weight": weight, "fc.bias": bias})
    return network.eval()


def _tensors(preprocess: Preprocess, paths: Sequence[Path]) -> list[Any]:
    """Raises ImageError."""
    return [preprocess.from_bytes(path.read_bytes(), name_for_messages(path, n)) for n, path in enumerate(paths, 1)]


def _images(
    preprocess: Preprocess, options: BundleOptions, reporter: Reporter
) -> tuple[list[Any], Judging, dict[str, Any] | None]:
    """Tensors that calibrate, tensors that judge, and what to record of the first."""
    if options.calibration is None:
        reporter.say("note: no INT8, it needs images like the device's: --calibration DIR")
        if options.images is not None:
            given = _tensors(preprocess, _files(options.images)[:_MADE])
            return [], Judging(given, None, f"{len(given)} images of the folder that was given"), None
        made = [preprocess(picture) for picture in synthetic.natural(_MADE, preprocess.size)]
        return [], Judging(made, None, f"{len(made)} synthetic images"), None
    paths = _in_turns(_files(options.calibration), options.calibration)
    aside = paths[::_KEPT_ASIDE][: options.calibration_images // 2]
    chosen = [path for path in paths if path not in set(aside)][: options.calibration_images]
    if len(chosen) < MIN_IMAGES:
        raise ConversionError(
            f"{options.calibration} leaves {len(chosen)} images to calibrate with, every fifth being kept aside to "
            f"judge; INT8 needs at least {MIN_IMAGES}",
            "put 40 images or more into it, better 700",
        )
    with reporter.step(
        "images", f"{len(chosen)} to calibrate and {len(aside)} to judge through the device's preprocess"
    ):
        tensors, judging = (_tensors(preprocess, some) for some in (chosen, aside))
    return (
        tensors,
        Judging(judging, None, f"{len(aside)} images kept aside"),
        {"images": len(chosen), "from": "folder"},
    )


def _files(folder: Path) -> list[Path]:
    found = image_files(folder)
    if not found:
        raise KitError(f"there are no image files in {folder}", "give a folder of images like the device's")
    return sorted(found)


def _in_turns(paths: Sequence[Path], root: Path) -> list[Path]:
    """Sub-folders (classes, sites) take turns; within one, an order without meaning."""
    strata: dict[Path, list[Path]] = {}
    for path in sorted(paths, key=lambda path: shuffled(path.relative_to(root).as_posix())):
        strata.setdefault(path.parent, []).append(path)
    longest = max(len(queue) for queue in strata.values())
    return [strata[key][turn] for turn in range(longest) for key in sorted(strata) if turn < len(strata[key])]


def _golden(
    calibration: Sequence[Any], judging: Judging, options: BundleOptions, reporter: Reporter
) -> tuple[list[golden.GoldenCandidate], str]:
    """Given images, or images of nobody."""
    if options.images is not None:
        return golden.from_folder(options.images), FOLDER
    words = STATISTICS if calibration else "synthetic, noise that owes nothing to any data"
    return golden.from_statistics(calibration or judging.tensors, reporter), words
