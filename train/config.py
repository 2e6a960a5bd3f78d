"""The configuration of a run: frozen defaults, each with its reason. ``recipe`` reads them from TOML."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import nearest
from fieldlens.runtime.pixels.steps import Orient, Resize, Step, steps_to_json

ARCHS = ("resnet18", "resnet34", "resnet50")
METRICS = ("val_auc", "val_accuracy", "val_balanced_accuracy", "val_kappa", "val_loss")
SCHEDULES = ("one-cycle", "cosine", "step", "plateau", "constant")
FREEZES = ("none", "head", "blocks")


_LONGEST_NAME = 255
"""Of a file, on every usual file system."""


def _choose(where: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ConfigError(f"{where} is {value!r}", nearest(value, options))


def _within(where: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{where} must be between {low:g} and {high:g}, not {value:g}", f"set {where} in the recipe")


@dataclass(frozen=True)
class RecipeConfig:
    """Who this recipe is."""

    name: str = "unnamed"  # travels with the run and the bundle
    title: str = ""  # a line for people: what is screened, on which images
    intended_use: str = ""  # model card: for whom, by whom, with which camera
    reference_standard: str = ""  # model card: how the labels were made, and by whom
    not_for: str = ""  # model card: where it must not be used


@dataclass(frozen=True)
class DataConfig:
    """Where samples and labels come from, and how they are split."""

    task: str = "multiclass"  # one class an image; "multilabel": any number of findings, also none
    ordinal: bool = False  # the classes are grades in order: kappa and off-by-one in the report
    table: str = "labels.csv"  # the table looked for when DATA is a folder
    image_column: str = "image"  # file, path or id of the image
    label_column: str = "label"  # what the table calls the class
    label_columns: tuple[str, ...] = ()  # multilabel: instead, a column of 0 and 1 for each finding
    label_separator: str = "|"  # multilabel: between the findings in the label column
    no_finding: str = "No Finding"  # multilabel: what the label column says of an image without one
    group_column: str = "group"  # patient, subject, lesion: never on both sides of a split
    group_pattern: str = ""  # regex whose first group, found in an image's path, is its patient
    ungrouped: bool = False  # spread single images whatever belongs together; `--ungrouped` sets it
    site_column: str = "site"  # clinic or camera, for per-site tables
    subgroup_columns: tuple[str, ...] = ()  # sex, device, view: figures for each of their values
    split_column: str = "split"  # the set's own train/val/test, which wins over ours
    split_files: dict[str, str] = field(default_factory=dict)  # list of images beside the table → its part, if there
    image_folders: tuple[str, ...] = ("images",)  # searched first; then all folders below the table's
    labels: dict[str, str] = field(default_factory=dict)  # label as written in the data → class id; empty: as written
    classes: tuple[str, ...] = ()  # order of the logits; empty: the order of `labels`, else sorted
    display: dict[str, str] = field(default_factory=dict)  # class id → name for people; empty: the id
    val_fraction: float = 0.15  # for the checkpoint, the temperature and the threshold
    test_fraction: float = 0.15  # opened once, at the end
    split_seed: int = 0  # of its own, so that another training seed keeps the same split
    skip_bad: bool = False  # leave out images that cannot be read, and name them; `--skip-bad` sets it
    shareable: bool = False  # may images travel in the bundle? Only public or synthetic ones

    def __post_init__(self) -> None:
        _choose("data.task", self.task, ("multiclass", "multilabel"))
        _within("data.val_fraction", self.val_fraction, 0.01, 0.5)
        _within("data.test_fraction", self.test_fraction, 0.0, 0.5)
        if len(self.table.encode()) > _LONGEST_NAME:
            raise ConfigError(f"data.table has more than {_LONGEST_NAME} bytes", "name the table beside the images")
        if len(set(self.classes)) != len(self.classes):
            raise ConfigError("data.classes names a class twice", "once each, in the order of the logits")
        if self.task == "multiclass" and self.label_columns:
            raise ConfigError("data.label_columns is for several findings an image", 'set data.task = "multilabel"')
        if self.task == "multilabel" and self.ordinal:
            raise ConfigError("data.ordinal is for grades, of which an image has one", 'set data.task = "multiclass"')
        try:
            groups = re.compile(self.group_pattern).groups
        except re.error as error:
            raise ConfigError(f"data.group_pattern is no regular expression: {error}", "see Python's re") from error
        if self.group_pattern and not groups:
            raise ConfigError("data.group_pattern has no group", "put the patient's part into parentheses")


@dataclass(frozen=True)
class PreprocessConfig:
    """Contract 3: the steps that the device will run, and that training's evaluation transform is."""

    steps: tuple[Step, ...] = (Orient(), Resize(224))  # upright, centre square, the size ImageNet weights know


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    arch: str = "resnet18"  # the smallest of the three, and enough for most sets
    dropout: float = 0.0  # before the one linear layer; a deeper head would lose the heat map

    def __post_init__(self) -> None:
        _choose("model.arch", self.arch, ARCHS)
        _within("model.dropout", self.dropout, 0.0, 0.9)


@dataclass(frozen=True)
class StageConfig:
    """One part of a fit in stages, each with a new optimiser and a schedule of its own over its own epochs."""

    epochs: int = 5  # of this stage
    lr: float = 0.001  # the schedule's peak in this stage
    freeze: str = "none"  # as train.freeze
    train_blocks: int = 0  # as train.train_blocks
    schedule: str = ""  # as train.schedule; empty: the same
    shrink: int = 1  # images at this part of the side (2: half), for cheap first epochs; the last stage has 1

    def __post_init__(self) -> None:
        _within("train.stages.epochs", self.epochs, 1, 10_000)
        _within("train.stages.lr", self.lr, 1e-8, 10)
        _choose("train.stages.schedule", self.schedule, ("", *SCHEDULES))
        _within("train.stages.shrink", self.shrink, 1, 8)
        _check_freeze("train.stages", self.freeze, self.train_blocks)


def _check_freeze(where: str, freeze: str, blocks: int) -> None:
    _choose(f"{where}.freeze", freeze, FREEZES)
    _within(f"{where}.train_blocks", blocks, 0, 16)
    if (freeze == "blocks") != (blocks > 0):
        raise ConfigError(
            f"{where}: freeze = {freeze!r} does not go with train_blocks = {blocks}",
            'freeze = "blocks" with train_blocks = 1 or more, or another policy without train_blocks',
        )


@dataclass(frozen=True)
class TrainConfig:
    """Fitting."""

    epochs: int = 20  # upper bound; early stopping may end it before. With stages: their sum
    batch_size: int = 32  # images a step, over all processes; small sets want steps more than parallelism
    optimizer: str = "adamw"  # adamw | adam | sgd
    lr: float = 0.001  # the schedule's peak
    weight_decay: float = 0.01  # decoupled for adamw, L2 otherwise; not on biases and norms
    momentum: float = 0.9  # sgd's momentum and Adam's beta1
    schedule: str = "one-cycle"  # one-cycle | cosine | step | plateau | constant
    warmup: float = 0.3  # one-cycle: fraction of the steps that rise
    warmup_epochs: float = 0.0  # the other schedules: epochs of a linear rise before them
    step_epochs: int = 7  # step: epochs between two drops
    step_factor: float = 0.1  # step and plateau: what a drop multiplies by
    plateau_epochs: int = 3  # plateau: epochs without a better metric before a drop
    freeze: str = "none"  # none (all is trained) | head (only it is trained) | blocks (it and the last blocks are)
    train_blocks: int = 0  # freeze = "blocks": how many residual blocks from the end are trained
    shrink: int = 1  # a stage's; set it in [[train.stages]]
    stages: tuple[StageConfig, ...] = ()  # [[train.stages]] one after the other; empty: one, of the keys above
    loss: str = "auto"  # auto (cross-entropy, or bce for multilabel) | cross-entropy | bce | focal
    focal_gamma: float = 2.0  # focal: how much an easy image counts less (Lin et al., ICCV 2017)
    class_weights: str = "balanced"  # balanced (inverse frequency, mean 1; multilabel: absent / present) | none
    sampling: str = "none"  # none | balanced (rare classes repeated) | undersample (frequent ones thinned to 1:1)
    label_smoothing: float = 0.0  # against overconfidence, and for labels that are not certain
    clip_norm: float = 0.0  # upper bound of the gradient's norm; 0: none
    ema: float = 0.0  # decay of averaged weights, which are then judged and kept (0.999 is usual); 0: none
    patience: int = 0  # epochs without a better metric before stopping; 0: never
    judge_from: float = 0.0  # share of a stage's epochs before one may be the best, and before patience begins
    metric: str = "val_auc"  # the best checkpoint is chosen by it
    seed: int = 0  # initialisation, order, augmentation
    threads: int = 0  # of torch on the CPU; 0: torch's choice
    device: str = "auto"  # auto | cpu | cuda
    precision: str = "auto"  # auto (bf16 or fp16 on a GPU, fp32 on a CPU) | mixed (also on a CPU) | fp32 | bf16 | fp16

    def __post_init__(self) -> None:
        _choose("train.optimizer", self.optimizer, ("adamw", "adam", "sgd"))
        _choose("train.schedule", self.schedule, SCHEDULES)
        _choose("train.loss", self.loss, ("auto", "cross-entropy", "bce", "focal"))
        _choose("train.class_weights", self.class_weights, ("balanced", "none"))
        _choose("train.sampling", self.sampling, ("none", "balanced", "undersample"))
        _choose("train.metric", self.metric, METRICS)
        _within("train.judge_from", self.judge_from, 0.0, 0.95)
        _choose("train.device", self.device, ("auto", "cpu", "cuda"))
        _choose("train.precision", self.precision, ("auto", "mixed", "fp32", "bf16", "fp16"))
        for name, low, high in (
            ("epochs", 1, 10_000), ("batch_size", 2, 4096), ("lr", 1e-8, 10), ("weight_decay", 0, 1),
            ("momentum", 0, 0.999), ("warmup", 0, 0.9), ("warmup_epochs", 0, 1000), ("step_epochs", 1, 10_000),
            ("step_factor", 1e-4, 1), ("plateau_epochs", 1, 10_000), ("focal_gamma", 0, 10),
            ("label_smoothing", 0, 0.5), ("clip_norm", 0, 1e6), ("ema", 0, 0.99999), ("patience", 0, 10_000),
            ("seed", 0, 2**31 - 1), ("threads", 0, 1024),
        ):  # fmt: skip
            _within(f"train.{name}", getattr(self, name), low, high)
        _check_freeze("train", self.freeze, self.train_blocks)
        self._check_stages()

    def _check_stages(self) -> None:
        schedules = {stage.schedule or self.schedule for stage in self.stages} or {self.schedule}
        if self.warmup_epochs and "one-cycle" in schedules:
            raise ConfigError("train.warmup_epochs is not for one-cycle, which rises by itself", "set train.warmup")
        total = sum(stage.epochs for stage in self.stages)
        if self.stages and self.epochs not in (total, TrainConfig.epochs):
            raise ConfigError(
                f"train.epochs is {self.epochs}, and the stages have {total} together",
                "set the stages' own, for example --set train.stages.0.epochs=1",
            )
        sizes = [stage.shrink for stage in self.stages] or [1]
        if sizes[-1] != 1 or sizes != sorted(sizes, reverse=True):
            raise ConfigError("train.stages.shrink must fall to 1 in the last stage", "for example 2, then 1")
        if self.stages and self.shrink != 1:
            raise ConfigError("train.shrink stands beside [[train.stages]]", "set shrink in the stages")
        if self.stages and self.freeze != "none":
            raise ConfigError("train.freeze stands beside [[train.stages]]", "set freeze in the stages")
        if self.stages:
            object.__setattr__(self, "epochs", total)


@dataclass(frozen=True)
class AugmentConfig:
    """What an image may look like without changing its class. Every range is drawn per image."""

    rotate_degrees: float = 0.0  # uniform in ±
    zoom: float = 0.0  # scale factor, log-uniform in 1/(1+zoom) … 1+zoom
    shift: float = 0.0  # fraction of the side, uniform in ±, each axis
    flip_horizontal: bool = False  # with probability one half
    flip_vertical: bool = False  # with probability one half
    window_level: float = 0.0  # CT: shift of the window's level in widths, uniform in ±
    window_width: float = 0.0  # CT: factor of the window's width, log-uniform in 1/(1+this) … 1+this
    stretch: float = 0.0  # probability of stretching the grey values to the full range (torchvision's autocontrast)
    brightness: float = 0.0  # factor, uniform in 1 ± this
    contrast: float = 0.0  # factor around the image's mean, uniform in 1 ± this
    colour: float = 0.0  # factor per channel, uniform in 1 ± this: another lamp, another camera
    noise: float = 0.0  # standard deviation of Gaussian noise, on the 0…1 scale, uniform in 0 … this

    def __post_init__(self) -> None:
        _within("augment.rotate_degrees", self.rotate_degrees, 0.0, 180.0)
        _within("augment.stretch", self.stretch, 0.0, 1.0)
        for name in ("zoom", "shift", "window_level", "window_width", "brightness", "contrast", "colour", "noise"):
            _within(f"augment.{name}", getattr(self, name), 0.0, 0.9)


@dataclass(frozen=True)
class DecisionConfig:
    """The operating point, chosen on validation."""

    positive: tuple[str, ...] = ()  # classes to refer; empty: a general classifier, no decision
    target: str = "sensitivity >= 0.95"  # or "specificity >= x": screening must not miss
    band: float = 0.9  # share of the bootstrapped thresholds inside the "uncertain" band; 0: no band
    rounds: int = 1000  # of the grouped bootstrap

    def __post_init__(self) -> None:
        _within("decision.band", self.band, 0.0, 0.99)
        _within("decision.rounds", self.rounds, 10, 100_000)


@dataclass(frozen=True)
class CrossvalConfig:
    """``crossval``: every image is judged once, by a network that has not seen its group."""

    folds: int = 5  # parts that take turns as the test
    seed: int = 0  # of the assignment to folds
    keep: str = "refit"  # DIR/final: refit (one more network, on everything) | best (the best fold, by validation)
    fold: int = 0  # which fold is the test part; crossval sets it in its folds' runs. 0: an ordinary split

    def __post_init__(self) -> None:
        _choose("crossval.keep", self.keep, ("refit", "best"))
        _within("crossval.folds", self.folds, 2, 100)
        _within("crossval.seed", self.seed, 0, 2**31 - 1)
        _within("crossval.fold", self.fold, 0, self.folds)


@dataclass(frozen=True)
class Config:
    """All sections."""

    recipe: RecipeConfig = RecipeConfig()
    data: DataConfig = field(default_factory=DataConfig)
    preprocess: PreprocessConfig = PreprocessConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()
    decision: DecisionConfig = DecisionConfig()
    crossval: CrossvalConfig = CrossvalConfig()

    def __post_init__(self) -> None:
        train, several = self.train, self.data.task == "multilabel"
        if train.shrink != 1:
            raise ConfigError("train.shrink alone would never train at the device's size", "set it in [[train.stages]]")
        if several and train.loss == "cross-entropy":
            raise ConfigError("train.loss is cross-entropy, for one class an image", "set bce or focal")
        if not several and train.loss == "bce":
            raise ConfigError("train.loss is bce, for several findings an image", "set cross-entropy or focal")
        if several and train.sampling != "none":
            raise ConfigError("train.sampling is for one class an image", 'use train.class_weights = "balanced"')
        if train.metric == "val_kappa" and not self.data.ordinal:
            raise ConfigError("train.metric is val_kappa, for grades in order", "set data.ordinal = true")

    def to_json(self) -> dict[str, Any]:
        """Sections as plain values; the inverse is :func:`fieldlens.train.recipe.config_from_json`."""
        sections: dict[str, Any] = {}
        for section in fields(self):
            value = getattr(self, section.name)
            if isinstance(value, PreprocessConfig):
                sections[section.name] = {"steps": steps_to_json(value.steps)}
            else:
                sections[section.name] = {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        return sections


def _plain(value: Any) -> Any:
    """A JSON value that shares nothing with the frozen configuration."""
    if isinstance(value, tuple):
        return [asdict(item) if isinstance(item, StageConfig) else item for item in value]
    return dict(value) if isinstance(value, dict) else value
