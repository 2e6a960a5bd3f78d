"""The configuration of a run: frozen defaults, each with its reason. ``recipe`` reads them from TOML."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from runtime.errors import ConfigError
from runtime.fields import nearest
from runtime.steps import Orient, Resize, Step, steps_to_json

ARCHS = ("resnet18", "resnet34", "resnet50")
METRICS = ("val_auc", "val_accuracy", "val_balanced_accuracy", "val_loss")


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
    title: str = ""  # a line for people: what is screened, on which pictures


@dataclass(frozen=True)
class DataConfig:
    """Where samples and labels come from, and how they are split."""

    task: str = "multiclass"  # one class a picture; multi-label needs another loss and decision
    table: str = "labels.csv"  # the table looked for when DATA is a folder
    image_column: str = "image"  # file, path or id of the picture
    label_column: str = "label"  # what the table calls the class
    group_column: str = "group"  # patient, subject, lesion: never on both sides of a split
    site_column: str = "site"  # clinic or camera, for per-site tables
    split_column: str = "split"  # the set's own train/val/test, which wins over ours
    image_folders: tuple[str, ...] = ("images",)  # searched beside the table, after the table's own folder
    labels: dict[str, str] = field(default_factory=dict)  # label as written in the data → class id; empty: as written
    classes: tuple[str, ...] = ()  # order of the logits; empty: the order of `labels`, else sorted
    display: dict[str, str] = field(default_factory=dict)  # class id → name for people; empty: the id
    val_fraction: float = 0.15  # for the checkpoint, the temperature and the threshold
    test_fraction: float = 0.15  # opened once, at the end
    split_seed: int = 0  # of its own, so that another training seed keeps the same split
    shareable: bool = False  # may pictures travel in the bundle? Only public or synthetic ones

    def __post_init__(self) -> None:
        _choose("data.task", self.task, ("multiclass",))
        _within("data.val_fraction", self.val_fraction, 0.01, 0.5)
        _within("data.test_fraction", self.test_fraction, 0.0, 0.5)
        if len(set(self.classes)) != len(self.classes):
            raise ConfigError("data.classes names a class twice", "once each, in the order of the logits")


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
class TrainConfig:
    """Fitting."""

    epochs: int = 20  # upper bound; early stopping may end it before
    batch_size: int = 32  # small sets want steps more than they want parallelism
    optimizer: str = "adamw"  # adamw | adam | sgd
    lr: float = 0.001  # the schedule's peak
    weight_decay: float = 0.01  # decoupled for adamw, L2 otherwise; not on biases and norms
    momentum: float = 0.9  # sgd's momentum and Adam's beta1
    schedule: str = "one-cycle"  # one-cycle | cosine | step | constant
    warmup: float = 0.3  # one-cycle: fraction of the steps that rise
    step_epochs: int = 7  # step: epochs between two drops
    step_factor: float = 0.1  # step: what a drop multiplies by
    class_weights: str = "balanced"  # balanced (inverse frequency, mean 1) | none
    label_smoothing: float = 0.0  # against overconfidence, and for labels that are not certain
    patience: int = 0  # epochs without a better metric before stopping; 0: never
    metric: str = "val_auc"  # the best checkpoint is chosen by it
    seed: int = 0  # initialisation, order, augmentation
    threads: int = 0  # of torch on the CPU; 0: torch's choice
    device: str = "auto"  # auto | cpu | cuda

    def __post_init__(self) -> None:
        _choose("train.optimizer", self.optimizer, ("adamw", "adam", "sgd"))
        _choose("train.schedule", self.schedule, ("one-cycle", "cosine", "step", "constant"))
        _choose("train.class_weights", self.class_weights, ("balanced", "none"))
        _choose("train.metric", self.metric, METRICS)
        _choose("train.device", self.device, ("auto", "cpu", "cuda"))
        for name, low, high in (
            ("epochs", 1, 10_000), ("batch_size", 2, 4096), ("lr", 1e-8, 10), ("weight_decay", 0, 1),
            ("momentum", 0, 0.999), ("warmup", 0, 0.9), ("step_epochs", 1, 10_000), ("step_factor", 1e-4, 1),
            ("label_smoothing", 0, 0.5), ("patience", 0, 10_000), ("seed", 0, 2**31 - 1), ("threads", 0, 1024),
        ):  # fmt: skip
            _within(f"train.{name}", getattr(self, name), low, high)


@dataclass(frozen=True)
class AugmentConfig:
    """What a picture may look like without changing its class. Every range is drawn per picture."""

    rotate_degrees: float = 0.0  # uniform in ±
    zoom: float = 0.0  # scale factor, log-uniform in 1/(1+zoom) … 1+zoom
    shift: float = 0.0  # fraction of the side, uniform in ±, each axis
    flip_horizontal: bool = False  # with probability one half
    flip_vertical: bool = False  # with probability one half
    brightness: float = 0.0  # factor, uniform in 1 ± this
    contrast: float = 0.0  # factor around the picture's mean, uniform in 1 ± this
    colour: float = 0.0  # factor per channel, uniform in 1 ± this: another lamp, another camera
    noise: float = 0.0  # standard deviation of Gaussian noise, on the 0…1 scale, uniform in 0 … this

    def __post_init__(self) -> None:
        _within("augment.rotate_degrees", self.rotate_degrees, 0.0, 180.0)
        for name in ("zoom", "shift", "brightness", "contrast", "colour", "noise"):
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
class Config:
    """All sections."""

    recipe: RecipeConfig = RecipeConfig()
    data: DataConfig = field(default_factory=DataConfig)
    preprocess: PreprocessConfig = PreprocessConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    augment: AugmentConfig = AugmentConfig()
    decision: DecisionConfig = DecisionConfig()

    def to_json(self) -> dict[str, Any]:
        """Sections as plain values; the inverse is :func:`train.recipe.config_from_json`."""
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
        return list(value)
    return dict(value) if isinstance(value, dict) else value
