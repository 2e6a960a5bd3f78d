"""``pretrain``: a ResNet learns to tell classes of generated images apart; its trunk becomes a file of weights.

Every image is drawn once and seen once, so the share that is classified rightly while training is that of new images.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from fieldlens.runtime.files.atomic import PUBLIC, alone, write_bytes
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.checkpoint import FORMAT, read_checkpoint, write_checkpoint
from fieldlens.train.config import TrainConfig
from fieldlens.train.epoch.loop import channels_last, pick_device
from fieldlens.train.epoch.precision import Precision
from fieldlens.train.epoch.schedule import learning_rate, make_optimizer, set_learning_rate
from fieldlens.train.errors import FitError, RunError
from fieldlens.train.model import MEAN, STD, build_model
from fieldlens.train.pretraining.atoms import AtomClasses, atom_classes, render
from fieldlens.train.pretraining.record import Making, Settings, making_of
from fieldlens.train.provenance import commit, versions

GENERATOR = "rings of sinusoidal outlines, after VisualAtom (Takashima et al., CVPR 2023)"
_BATCHES = {"cpu": 64, "cuda": 512}
_SMALL = 0.7
"""Share of the steps, from the first, at half the side: a third of the time (progressive resizing: Howard, fast.ai's
DAWNBench entry, 2018). Sides below 64 px are not halved."""
_TRIAL_STEPS = 8
"""At each side, from which the speed is taken; the first two of them do not count."""
_SAVE_EVERY_S, _SAY_EVERY_S = 60.0, 30.0


@dataclass(frozen=True)
class PretrainOptions:
    """``images``: how many to learn from, or 0 and ``minutes`` decides: the speed of a few steps is measured, and the
    number is fixed by it. ``batch``: 0 for 64 on a CPU and 512 on a GPU. ``size``: side of an image in pixels."""

    arch: str = "resnet18"
    images: int = 0
    minutes: float = 30.0
    classes: int = 64
    size: int = 64
    seed: int = 0
    batch: int = 0
    device: str = "auto"
    threads: int = 0


def pretrain(out: Path, options: PretrainOptions, reporter: Reporter = SILENT) -> Making:
    """Train, and write FP16 weights without a head to ``out`` (safetensors). While it runs, ``out.part`` holds the
    state; started again with the same settings it goes on from there, bit for bit on a CPU.

    Raises FitError: a file or a state of other settings, no such GPU, a loss that is not finite.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    settings = Settings(
        options.arch, options.classes, options.size, options.seed, options.images,
        0.0 if options.images else options.minutes, options.batch or _BATCHES[device.type], device.type,
    )  # fmt: skip
    with alone(out):
        if made := finished(out, settings):
            reporter.say(f"{out} is finished: nothing to do")
            return made
        return _Pretraining(out, settings, device, reporter).run()


def finished(out: Path, settings: Settings) -> Making | None:
    """What a finished file says; None where there is no file. Raises FitError: another file is there."""
    if not out.exists():
        return None
    made = making_of(out)
    if made is None:
        raise FitError(f"{out} exists, and pretrain did not make it", "choose another --out")
    _refuse_changes(out, asdict(made.settings), asdict(settings))
    return made


def _refuse_changes(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [f"{name}: {before.get(name)} there, {now[name]} now" for name in now if before.get(name) != now[name]]
    if changed:
        raise FitError(f"{path} was made with other settings ({'; '.join(changed)})", "choose another --out")


class _Pretraining:
    """A network, its optimiser, and the number of steps done."""

    def __init__(self, out: Path, settings: Settings, device: torch.device, reporter: Reporter) -> None:
        self._out, self._settings, self._device, self._reporter = out, settings, device, reporter
        self._part = out.with_name(out.name + ".part")
        self._classes = atom_classes(settings.classes, settings.seed, device)
        self._options = TrainConfig(epochs=1, lr=0.002 * math.sqrt(settings.batch / 64), weight_decay=0.05, warmup=0.15)
        self._step, self._steps, self._before_s = 0, 0, 0.0
        self._seen: list[float] = []
        self._fresh()
        if self._part.is_file():
            self._load()
        else:
            self._steps = self._count_steps()

    def _fresh(self) -> None:
        torch.manual_seed(self._settings.seed)
        model = build_model(self._settings.arch, self._settings.classes)
        self._model = model.to(self._device).to(memory_format=torch.channels_last)
        self._optimizer = make_optimizer(self._model, self._options)
        self._precision = Precision("mixed", self._device)

    def _count_steps(self) -> int:
        """Of a full run. Where minutes decide, by the time of a few steps, after which the network is made again."""
        settings = self._settings
        if settings.images:
            return max(2, math.ceil(settings.images / settings.batch))
        self._steps = 10 * _TRIAL_STEPS
        small, whole = self._seconds_from(0), self._seconds_from(self._steps - _TRIAL_STEPS)
        self._fresh()
        each = _SMALL * small + (1 - _SMALL) * whole
        steps = max(2, round(settings.minutes * 60 / each))
        self._reporter.say(
            f"{settings.batch / each:.0f} img/s: {steps * settings.batch:,} images in {settings.minutes:g} minutes"
        )
        return steps

    def _seconds_from(self, first: int) -> float:
        """A step's, from the step with this number on."""
        times = []
        for step in range(first, first + _TRIAL_STEPS):
            began = time.perf_counter()
            self._learn(step)
            times.append(time.perf_counter() - began)
        return sum(times[2:]) / len(times[2:])

    def run(self) -> Making:
        """All steps that are left, and the file."""
        settings, began = self._settings, time.perf_counter()
        saved = said = began
        first = self._step
        with self._reporter.progress("pretrain", self._steps, done=first, unit="step") as bar:
            while self._step < self._steps:
                loss, right = self._learn(self._step)
                self._seen.append(right)
                self._step += 1
                bar.update()
                now = time.perf_counter()
                if now - saved > _SAVE_EVERY_S:
                    self._save(self._before_s + now - began)
                    saved = time.perf_counter()
                if now - said > _SAY_EVERY_S or self._step == self._steps:
                    self._say(loss, (now - began) / (self._step - first))
                    said = now
        made = self._made(self._before_s + time.perf_counter() - began)
        write_bytes(self._out, save(trunk_of(self._model), made.to_metadata()), PUBLIC)
        self._part.unlink(missing_ok=True)
        self._reporter.say(f"learnt from {made.images:,} images of {settings.classes} classes, {made.right:.0%} right")
        return made

    def _learn(self, step: int) -> tuple[float, float]:
        """One step, which depends on the state before it, the seed and its number only: loss, share that was right."""
        settings = self._settings
        set_learning_rate(self._optimizer, learning_rate(self._options, step, self._steps))
        half = settings.size >= 64 and step < _SMALL * self._steps
        labels, images = batch_of(self._classes, settings, step, settings.size // 2 if half else settings.size)
        self._model.train()
        with self._precision.autocast():
            logits = self._model(images)
        loss = functional.cross_entropy(logits.float(), labels)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FitError(f"the loss became {value} in step {step + 1}", "another --seed, or report it as a bug")
        self._precision.step(loss, self._optimizer, self._model.parameters(), 1.0)
        return value, float((logits.detach().argmax(1) == labels).float().mean())

    def _say(self, loss: float, each_s: float) -> None:
        left = int((self._steps - self._step) * each_s)
        recent = self._seen[-50:]
        self._reporter.say(
            f"{self._step / self._steps:4.0%}  {self._step * self._settings.batch:>9,} images  loss {loss:.3f}  "
            f"right {sum(recent) / len(recent):.1%}  {self._settings.batch / each_s:.0f} img/s  "
            f"left {left // 60}:{left % 60:02d}"
        )

    def _save(self, seconds: float) -> None:
        state = {
            "format": FORMAT, "settings": asdict(self._settings), "step": self._step, "steps": self._steps,
            "seconds": seconds, "seen": self._seen, "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(), "scaler": self._precision.state(),
        }  # fmt: skip
        write_checkpoint(self._part, state)

    def _load(self) -> None:
        hint = f"remove {self._part} to begin again"
        try:
            state = read_checkpoint(self._part)
        except RunError as error:
            raise FitError(error.message, hint) from error
        try:
            _refuse_changes(self._part, state["settings"], asdict(self._settings))
            self._model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._precision.load(state["scaler"])
            self._step, self._steps = int(state["step"]), int(state["steps"])
            self._before_s, self._seen = float(state["seconds"]), list(state["seen"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise FitError(f"{self._part} is not a state of pretrain ({error})", hint) from error
        self._reporter.say(f"going on after {self._step * self._settings.batch:,} images")

    def _made(self, seconds: float) -> Making:
        settings = self._settings
        images = self._steps * settings.batch
        last = self._seen[-max(1, len(self._seen) // 20) :]
        again = replace(settings, images=images)
        command = (
            f"fieldlens train pretrain --arch {again.arch} --images {again.images} --classes {again.classes} "
            f"--size {again.size} --batch {again.batch} --seed {again.seed} --out {self._out.name}"
        )
        return Making(
            settings, GENERATOR, images, sum(last) / len(last), round(seconds, 1), command, versions(), commit()
        )  # fmt: skip


def batch_of(classes: AtomClasses, settings: Settings, step: int, size: int) -> tuple[Tensor, Tensor]:
    """Labels int64 ``[N]`` and images float32 ``[N,3,size,size]``, normalised, of one step: by its number and the seed,
    on the classes' device."""
    device = classes.rings.device
    generator = torch.Generator(device).manual_seed(settings.seed * 1_000_003 + step)
    labels = torch.randint(len(classes), (settings.batch,), generator=generator, device=device)
    drawn = render(classes, labels, size, generator)
    mean, std = (torch.tensor(each, device=device).view(1, 3, 1, 1) for each in (MEAN, STD))
    return labels, channels_last((drawn - mean) / std)


def trunk_of(model: nn.Module) -> dict[str, Tensor]:
    """FP16, by torchvision's names, without head and counters."""
    return {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }
