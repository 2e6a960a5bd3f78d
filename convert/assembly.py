"""``convert.bundle``: a network becomes a folder that a device can run and check by itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from fieldlens.convert import card, golden
from fieldlens.convert.graph.contract import check_graph
from fieldlens.convert.graph.deployment import DeploymentGraph
from fieldlens.convert.graph.export import OPSET, export_fp32, to_bytes
from fieldlens.convert.measure.answer import load_lane
from fieldlens.convert.measure.verify import on_golden
from fieldlens.convert.origin.origin import BundleOptions, Origin
from fieldlens.convert.origin.training_run import from_run
from fieldlens.convert.precisions import make_precisions, write_manifest
from fieldlens.runtime.backends import onnxruntime
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.bundle.manifest import Manifest
from fieldlens.runtime.bundle.open import describe_files, open_bundle
from fieldlens.runtime.bundle.precision import REFERENCE
from fieldlens.runtime.errors import KitError
from fieldlens.runtime.files import atomic
from fieldlens.runtime.terminal.reporter import SILENT, Reporter
from fieldlens.train.model import MEAN, STD


@dataclass(frozen=True)
class MadeBundle:
    """A finished bundle: its folder, its manifest, how many files it has and how large they are together."""

    path: Path
    manifest: Manifest
    files: int
    size_bytes: int


def bundle(run: Path, out: Path, options: BundleOptions | None = None, reporter: Reporter = SILENT) -> MadeBundle:
    """Make the bundle ``out`` from the training run ``run``; see :func:`make_from`."""
    wanted = options or BundleOptions()
    return make_from(lambda: from_run(run, wanted, reporter), out, wanted, reporter)


def make_from(read: Callable[[], Origin], out: Path, options: BundleOptions, reporter: Reporter = SILENT) -> MadeBundle:
    """Make the bundle ``out`` from what ``read`` gives; it appears whole or not at all.

    A precision that loses more than it may is left out, said so here and in the manifest. Raises KitError: an origin
    that is broken or changed, too few images, an ``out`` that is in use, or that another process is making.
    """
    try:
        with atomic.folder(out, atomic.PUBLIC_FOLDER) as folder:  # before minutes of reading
            manifest = _make_in(folder, read(), options, reporter)
    except FileExistsError as error:
        hint = "bundles are never edited in place: choose another --out"
        raise KitError(f"{out} exists and is not empty", hint) from error
    files = describe_files(out)
    size_bytes = sum(info.size for info in files.values())
    reporter.say(f"{out}: {len(files)} files, {size_bytes / 1e6:.1f} MB")
    return MadeBundle(out, replace(manifest, files=files), len(files), size_bytes)


def _make_in(folder: Path, origin: Origin, options: BundleOptions, reporter: Reporter) -> Manifest:
    """All steps, in order, inside the temporary folder."""
    size = origin.draft.size
    with reporter.step("export", f"{origin.draft.provenance['arch']} at {size} px to model.fp32.onnx"):
        reference = export_fp32(DeploymentGraph(origin.network, MEAN, STD), size)
        (folder / "model.fp32.onnx").write_bytes(to_bytes(reference))
        shape = check_graph(reference, OPSET)
    for name, data in origin.files.items():
        (folder / name).write_bytes(data)
    draft = replace(origin.draft, features=shape.features, cam_size=shape.cam_size)
    manifest = make_precisions(folder, draft, reference, origin.calibration, origin.judging, options.targets, reporter)
    manifest = _with_golden(folder, manifest, origin, reporter)
    atomic.write_text(folder / "card.md", card.text(manifest, origin.run), atomic.PUBLIC)
    write_manifest(folder, manifest)
    with reporter.step("check", "the finished bundle by its golden images"):
        verified = on_golden(open_bundle(folder), "auto", reporter)
    if verified.broken:
        raise KitError("; ".join(verified.broken), "report this: what was made differs from what was measured")
    return manifest


def _with_golden(folder: Path, manifest: Manifest, origin: Origin, reporter: Reporter) -> Manifest:
    """Write ``golden/``. The reference is ONNX Runtime on the FP32 file, whatever library a device has."""
    write_manifest(folder, manifest)
    bundle = open_bundle(folder, check_files=False)
    with reporter.step("golden", origin.golden_from), ExitStack() as stack:
        first = stack.enter_context(onnxruntime.load(bundle.model(REFERENCE), REFERENCE, LoadOptions()))
        lanes = [
            golden.GoldenLane(stack.enter_context(load_lane(bundle, name, "auto")), value.logit)
            for name, value in reversed(manifest.tolerances.items())  # the CPU's INT8 takes a tenth of an emulation
            if name != REFERENCE
        ]
        count = golden.write(folder, origin.candidates, manifest, [golden.GoldenLane(first, 0.0), *lanes])
    reporter.say(f"{'':<12}{count} golden images")
    facts = {"images": count, "from": origin.golden_from}
    return replace(manifest, provenance={**manifest.provenance, "golden": facts})
