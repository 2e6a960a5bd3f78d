"""The configuration of a run: frozen defaults, each with its reason. ``recipe`` reads them from TOML."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any

from fieldlens.runtime.errors import ConfigError
from fieldlens.runtime.fields import Between, OneOf
from fieldlens.runtime.files import records
from fieldlens.runtime.pixels.steps import Orient, Resize, Step, steps_to_json

ARCHS = ("resnet18", "resnet34", "resnet50")
METRICS = ("val_auc", "val_accuracy", "val_balanced_accuracy", "val_kappa", "val_loss")
SCHEDULES = ("one-cycle", "cosine", "step", "plateau", "constant")
FREEZES = ("none", "head", "blocks")


_LONGEST_NAME = 255
"""Of a file, on every usual file system."""


_Task = Annotated[str, OneOf(("multiclass", "multilabel"))]
_Stride = Annotated[int, Between(16, 32)]
_Stages = Annotated[int, Between(3, 4)]
_StageSchedule = Annotated[str, OneOf(("", *SCHEDULES))]
_Shrink = Annotated[int, Between(1, 8)]
_BatchSize = Annotated[int, Between(2, 4096)]
_Optimizer = Annotated[str, OneOf(("adamw", "adam", "sgd"))]
_Loss = Annotated[str, OneOf(("auto", "cross-entropy", "bce", "focal"))]
_ClassWeights = Annotated[str, OneOf(("balanced", "none"))]
_Sampling = Annotated[str, OneOf(("none", "balanced", "undersample"))]
_Metric = Annotated[str, OneOf(METRICS)]
_Device = Annotated[str, OneOf(("auto", "cpu", "cuda"))]
_Precision = Annotated[str, OneOf(("auto", "mixed", "fp32", "bf16", "fp16"))]
_Keep = Annotated[str, OneOf(("refit", "best"))]
_Half = Annotated[float, Between(0, 0.5)]
_One = Annotated[float, Between(0, 1)]
_Band = Annotated[float, Between(0, 0.99)]
_Confidence = Annotated[float, Between(0.5, 0.9999)]
_Inner = Annotated[int, Between(0, 100)]
_Decay = Annotated[float, Between(0, 0.99999)]
_Late = Annotated[float, Between(0, 0.95)]
_Gamma = Annotated[float, Between(0, 10)]
_Share = Annotated[float, Between(0, 0.9)]
_Uncertain = Annotated[float, Between(0.01, 1)]
_Epochs = Annotated[int, Between(1, 10_000)]
_Seed = Annotated[int, Between(0, 2**31 - 1)]
_Rate = Annotated[float, Between(1e-8, 10)]
_Freeze = Annotated[str, OneOf(FREEZES)]
_Blocks = Annotated[int, Between(0, 16)]


def _check(section: object, name: str) -> None:
    """The rules beside a section's fields, for one that was made and not read. Raises ConfigError."""
    records.check(section, name, ConfigError, f"set it in the recipe, below [{name}]")


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

    task: _Task = "multiclass"  # one class an image; "multilabel": any number of findings, also none
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
    split_column: str = "split"  # the set's own train/val/test, which wins over ours; empty: divide again
    split_files: dict[str, str] = field(default_factory=dict)  # list of images beside the table → its part
    image_folders: tuple[str, ...] = ()  # searched first; then all folders below the table's
    labels: dict[str, str] = field(default_factory=dict)  # label as written in the data → class id; empty: as written
    classes: tuple[str, ...] = ()  # order of the logits; empty: the order of `labels`, else sorted
    display: dict[str, str] = field(default_factory=dict)  # class id → name for people; empty: the id
    val_fraction: Annotated[float, Between(0.01, 0.5)] = 0.15  # for the checkpoint, the temperature and the threshold
    test_fraction: _Half = 0.15  # opened once, at the end
    split_seed: int = 0  # of its own, so that another training seed keeps the same split
    mask_folder: str = ""  # masks of the findings, named after the images: for figures on heat maps, never for training
    box_table: str = ""  # the same as boxes: a CSV with an image a row, beside the table of labels
    box_columns: tuple[str, ...] = ("x", "y", "width", "height")  # left, top, width, height in px of the upright image
    box_label_column: str = "label"  # whose box it is, in the words of the labels; without such a column: of any class
    skip_bad: bool = False  # leave out images that cannot be read, and name them; `--skip-bad` sets it

    def __post_init__(self) -> None:
        _check(self, "data")
        if len(self.table.encode()) > _LONGEST_NAME:
            raise ConfigError(f"data.table has more than {_LONGEST_NAME} bytes", "name the table beside the images")
        if len(self.box_columns) != 4:
            raise ConfigError(
                f"data.box_columns names {len(self.box_columns)} columns", "name four: left, top, width and height"
            )
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

    arch: Annotated[str, OneOf(ARCHS)] = "resnet18"  # the smallest of the three, and enough for most sets
    dropout: _Share = 0.0  # before the one linear layer; a deeper head would lose the heat map
    output_stride: _Stride = 32  # input pixels a side of a heat map's cell; 16: four times the cells
    stages: _Stages = 4  # 3: without the last, which saves a third; a stride of 16 with four costs half as much again

    def __post_init__(self) -> None:
        _check(self, "model")
        if self.output_stride not in (16, 32):
            raise ConfigError(f"model.output_stride is {self.output_stride}", "16 or 32")
        if self.stages == 3 and self.output_stride != 16:
            raise ConfigError(
                f"model.stages = 3 ends at a stride of 16, not {self.output_stride}", "set model.output_stride = 16"
            )

    @property
    def cut(self) -> str:
        """What differs from torchvision's network, for people, behind its name; empty for nothing."""
        if self.stages == 3:
            return " without its last stage"
        return " with an output stride of 16" if self.output_stride == 16 else ""


@dataclass(frozen=True)
class StageConfig:
    """One part of a fit in stages, each with a new optimiser and a schedule of its own over its own epochs."""

    epochs: _Epochs = 5  # of this stage
    lr: _Rate = 0.001  # the schedule's peak in this stage
    freeze: _Freeze = "none"  # as train.freeze
    train_blocks: _Blocks = 0  # as train.train_blocks
    schedule: _StageSchedule = ""  # as train.schedule; empty: the same
    shrink: _Shrink = 1  # images at this part of the side (2: half), for cheap first epochs; the last stage has 1

    def __post_init__(self) -> None:
        _check(self, "train.stages")
        _check_freeze("train.stages", self.freeze, self.train_blocks)


def _check_freeze(where: str, freeze: str, blocks: int) -> None:
    if (freeze == "blocks") != (blocks > 0):
        raise ConfigError(
            f"{where}: freeze = {freeze!r} does not go with train_blocks = {blocks}",
            'freeze = "blocks" with train_blocks = 1 or more, or another policy without train_blocks',
        )


@dataclass(frozen=True)
class TrainConfig:
    """Fitting."""

    epochs: _Epochs = 20  # upper bound; early stopping may end it before. With stages: their sum
    batch_size: _BatchSize = 32  # images a step, over all processes; small sets want steps more than parallelism
    optimizer: _Optimizer = "adamw"  # adamw | adam | sgd
    lr: _Rate = 0.001  # the schedule's peak
    weight_decay: _One = 0.01  # decoupled for adamw, L2 otherwise; not on biases and norms
    momentum: Annotated[float, Between(0, 0.999)] = 0.9  # sgd's momentum and Adam's beta1
    schedule: Annotated[str, OneOf(SCHEDULES)] = "one-cycle"  # one-cycle | cosine | step | plateau | constant
    warmup: _Share = 0.3  # one-cycle: fraction of the steps that rise
    warmup_epochs: Annotated[float, Between(0, 1000)] = 0.0  # the other schedules: epochs of a linear rise before them
    step_epochs: _Epochs = 7  # step: epochs between two drops
    step_factor: Annotated[float, Between(1e-4, 1)] = 0.1  # step and plateau: what a drop multiplies by
    plateau_epochs: _Epochs = 3  # plateau: epochs without a better metric before a drop
    freeze: _Freeze = "none"  # none (all is trained) | head (only it is trained) | blocks (it and the last blocks are)
    train_blocks: _Blocks = 0  # freeze = "blocks": how many residual blocks from the end are trained
    shrink: int = 1  # a stage's; set it in [[train.stages]]
    stages: tuple[StageConfig, ...] = ()  # [[train.stages]] one after the other; empty: one, of the keys above
    loss: _Loss = "auto"  # auto (cross-entropy, or bce for multilabel) | cross-entropy | bce | focal
    focal_gamma: _Gamma = 2.0  # focal: how much an easy image counts less (Lin et al., ICCV 2017)
    class_weights: _ClassWeights = (
        "balanced"  # balanced (inverse frequency, mean 1; multilabel: absent / present) | none
    )
    sampling: _Sampling = "none"  # none | balanced (rare classes repeated) | undersample (frequent ones thinned to 1:1)
    label_smoothing: _Half = 0.0  # against overconfidence, and for labels that are not certain
    clip_norm: Annotated[float, Between(0, 1e6)] = 0.0  # upper bound of the gradient's norm; 0: none
    ema: _Decay = 0.0  # decay of averaged weights, which are then judged and kept (0.999 is usual); 0: none
    patience: Annotated[int, Between(0, 10_000)] = 0  # epochs without a better metric before stopping; 0: never
    judge_from: _Late = 0.0  # share of a stage's epochs before one may be the best, and before patience begins
    refit: bool = False  # keep one more network, fitted on the validation images too, with what the first one chose
    metric: _Metric = "val_auc"  # the best checkpoint is chosen by it
    seed: _Seed = 0  # initialisation, order, augmentation
    threads: Annotated[int, Between(0, 1024)] = 0  # of torch on the CPU; 0: torch's choice
    device: _Device = "auto"  # auto | cpu | cuda
    precision: _Precision = (
        "auto"  # auto (bf16 or fp16 on a GPU, fp32 on a CPU) | mixed (also on a CPU) | fp32 | bf16 | fp16
    )

    def __post_init__(self) -> None:
        _check(self, "train")
        _check_freeze("train", self.freeze, self.train_blocks)
        self._check_stages()

    def _check_stages(self) -> None:
        schedules = {stage.schedule or self.schedule for stage in self.stages} or {self.schedule}
        if self.warmup_epochs and "one-cycle" in schedules:
            raise ConfigError("train.warmup_epochs is not for one-cycle, which rises by itself", "set train.warmup")
        if self.refit and "plateau" in schedules:
            raise ConfigError("train.refit leaves no images that could tell a plateau", "set another train.schedule")
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

    rotate_degrees: Annotated[float, Between(0, 180)] = 0.0  # uniform in ±
    zoom: _Share = 0.0  # scale factor, log-uniform in 1/(1+zoom) … 1+zoom
    aspect: _Share = 0.0  # width over height, log-uniform in 1/(1+aspect) … 1+aspect: files squashed to squares
    shift: _Share = 0.0  # fraction of the side, uniform in ±, each axis
    flip_horizontal: bool = False  # with probability one half
    flip_vertical: bool = False  # with probability one half
    window_level: _Share = 0.0  # CT: shift of the window's level in widths, uniform in ±
    window_width: _Share = 0.0  # CT: factor of the window's width, log-uniform in 1/(1+this) … 1+this
    stretch: _One = 0.0  # probability of stretching the grey values to the full range (torchvision's autocontrast)
    brightness: _Share = 0.0  # factor, uniform in 1 ± this
    contrast: _Share = 0.0  # factor around the image's mean, uniform in 1 ± this
    colour: _Share = 0.0  # factor per channel, uniform in 1 ± this: another lamp, another camera
    sharpness: _One = 0.0  # factor of the detail finer than two pixels, uniform in 1 ± this: another camera's focus
    noise: _Share = 0.0  # standard deviation of Gaussian noise, on the 0…1 scale, uniform in 0 … this

    def __post_init__(self) -> None:
        _check(self, "augment")


@dataclass(frozen=True)
class DecisionConfig:
    """The operating point, chosen on validation."""

    positive: tuple[str, ...] = ()  # classes to refer; empty: a general classifier, no decision
    target: str = "sensitivity >= 0.95"  # or "specificity >= x": screening must not miss
    confidence: _Confidence = 0.9  # one-sided, that the target holds on new patients: in so many of such fits
    missed_below: _Share = 0.0  # share of the sick below the "uncertain" band at most; 0: what the target leaves
    referred_above: _Share = 0.0  # share of the well above it at most; 0: twice what the target leaves
    uncertain_most: _Uncertain = 0.25  # share of images within it at most; up to four times as many well above for that
    band: _Band = 0.9  # 0: no band. Any other value: the band of the two keys above
    inner_folds: _Inner = 0  # fit, where validation proves too little: so many more networks choose; 0: it stays so
    rounds: Annotated[int, Between(10, 100_000)] = 1000  # not used any more (the band was once bootstrapped)

    def __post_init__(self) -> None:
        _check(self, "decision")
        if self.inner_folds == 1:
            raise ConfigError("decision.inner_folds is 1", "2 or more, for example 5; 0 for none")


@dataclass(frozen=True)
class CrossvalConfig:
    """``crossval``: every image is judged once, by a network that has not seen its group."""

    folds: Annotated[int, Between(2, 100)] = 5  # parts that take turns as the test
    seed: _Seed = 0  # of the assignment to folds
    keep: _Keep = "refit"  # DIR/final: refit (one more network, on everything) | best (the best fold, by validation)
    fold: int = 0  # which fold is the test part; crossval sets it in its folds' runs. 0: an ordinary split

    def __post_init__(self) -> None:
        _check(self, "crossval")
        if not 0 <= self.fold <= self.folds:
            raise ConfigError(f"crossval.fold must be between 0 and {self.folds}, not {self.fold}", "crossval sets it")


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
