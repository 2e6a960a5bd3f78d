"""From a bundle and a folder of images to the jobs of a comparison, in a scratch folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fieldlens.benchmarks.device import image_set
from fieldlens.benchmarks.device.contenders.base import Job
from fieldlens.benchmarks.device.contenders.catalogue import Contender
from fieldlens.benchmarks.device.host_part import HostOnly, host_part
from fieldlens.benchmarks.device.image_set import Images
from fieldlens.runtime.bundle.open import open_bundle
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BundleError
from fieldlens.runtime.machine.host import state_folder
from fieldlens.runtime.pixels.steps import steps_to_json


@dataclass(frozen=True)
class ComparisonSubject:
    """What to compare on: a bundle, or where it is None a throwaway one of ``arch`` at ``size`` pixels. ``state`` is
    this device's state folder: TensorRT's engines lie there."""

    bundle: Path | None
    arch: str = "resnet18"
    size: int = 224
    images: Path | None = None
    labels: Path | None = None
    state: Path | None = None

    def absolute(self) -> ComparisonSubject:
        """The same by absolute paths: contenders are processes that run elsewhere."""
        paths = {name: value.absolute() for name, value in vars(self).items() if isinstance(value, Path)}
        return replace(self, **paths)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Stage:
    """Everything that contenders are handed: the same files for all."""

    bundle: Bundle
    pictures: Images
    models: dict[str, str]
    weights: str
    arch: str
    scratch: Path
    state: str = ""

    def job(self, contender: Contender, threads: int) -> Job:
        """The contender's own copy, with a cache folder of its own."""
        manifest = self.bundle.manifest
        return Job(
            bundle=str(self.bundle.path),
            models=self.models,
            weights=self.weights,
            arch=self.arch,
            steps=steps_to_json(manifest.preprocess),
            classes=len(manifest.classes),
            temperature=manifest.temperature,
            task=manifest.task,
            threads=threads,
            cache=str(self.scratch / "cache" / contender.name),
            state=self.state,
            options=replace(contender.options, model=contender.model),
        )


def prepare(subject: ComparisonSubject, scratch: Path) -> Stage:
    """Open or make the bundle, read or make the images, write the files that peers load. Raises KitError."""
    subject = subject.absolute()
    folder = subject.bundle
    if folder is None:
        folder = scratch / f"random-{subject.arch}-{subject.size}.bundle"
        throwaway = host_part("networks.throwaway", "--random, which makes a network,")
        print(f"making a throwaway bundle: {subject.arch} with random weights at {subject.size} px", flush=True)
        throwaway.make(folder, subject.arch, subject.size)
    bundle = open_bundle(folder)
    if subject.images is None:
        chosen = image_set.make(scratch / "images")
    else:
        chosen = image_set.read(subject.images, subject.labels, bundle.manifest)
    models = {}
    for precision in bundle.precisions:
        path = scratch / f"model.{precision}.onnx"
        path.write_bytes(bundle.model(precision))
        models[precision] = str(path)
    arch, weights = _torchs(bundle, scratch)
    own = scratch / "state" if subject.bundle is None and subject.state is None else state_folder(subject.state)
    return Stage(bundle, chosen, models, weights, arch, scratch, str(own))


def _torchs(bundle: Bundle, scratch: Path) -> tuple[str, str]:
    """The architecture, and a file of the network as torchvision has it; no file where no peer of torch can run: torch
    is missing, torchvision has no such network (``model.stages = 3``), or the bundle has no FP32 file."""
    try:
        arch, state = host_part("networks.torch_weights", "torch").torchvision_weights(bundle.model("fp32"))
    except (HostOnly, BundleError):
        return str(bundle.manifest.provenance.get("arch", "a network")), ""
    weights = scratch / "weights.pt"
    weights.write_bytes(state)
    return str(arch), str(weights)
