"""``convert engine``: when it has nothing to do, when it must, and all that can go wrong on the way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldlens.convert.cli import main
from fieldlens.runtime.backends.tensorrt.engine_record import PlanError
from fieldlens.runtime.backends.tensorrt.engine_store import EngineStore
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BackendError, ConfigError, KitError
from fieldlens.runtime.files import atomic
from tests.device_files import lay_device_files
from tests.fakes import models
from tests.fakes.gpu import World
from tests.fakes.install import ledgered_world, use_tensorrt
from tests.fakes.workshop import build_engine, chosen, precision_that_runs

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return models.make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield from ledgered_world(monkeypatch)


# -------------------------------------------------------------- --ensure


def test_it_says_why_it_rebuilds(
    world: World, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_engine(bundle, tmp_path)
    use_tensorrt(monkeypatch, world, "10.7.0")
    build_engine(bundle, tmp_path, "--ensure")
    assert "needed: TensorRT 10.3.0 → 10.7.0" in capsys.readouterr().out
    assert len(world.builds) == 4
    use_tensorrt(monkeypatch, world, "10.3.0")  # rolled back: what was built for it is still there
    build_engine(bundle, tmp_path, "--ensure")
    assert "nothing to do" in capsys.readouterr().out


def test_only_what_is_damaged_is_built_anew(
    world: World, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = build_engine(bundle, tmp_path)
    path = store.folder / f"{chosen(store).plans['int8']}.plan"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    build_engine(bundle, tmp_path, "--ensure")
    assert "does not match its hash" in capsys.readouterr().out
    assert world.builds == ["int8", "fp16", "int8"]
    assert precision_that_runs(bundle, tmp_path) == "int8"


def test_other_options_build_anew_and_a_damaged_choice_too(world: World, bundle: Bundle, tmp_path: Path) -> None:
    store = build_engine(bundle, tmp_path)
    build_engine(bundle, tmp_path, "--ensure", "--batch", "1,8")
    assert len(world.builds) == 4
    next(store.folder.glob("choice-*.json")).write_text("{")
    build_engine(bundle, tmp_path, "--ensure", "--batch", "1,8")
    assert precision_that_runs(bundle, tmp_path) == "int8"


# -------------------------------------------------------------- what can go wrong


def test_out_of_memory_leaves_the_last_good_engine(world: World, bundle: Bundle, tmp_path: Path) -> None:
    build_engine(bundle, tmp_path)
    world.build_fault = "Error Code 2: OutOfMemory (no further information)"
    with pytest.raises(KitError, match="out of memory"):
        build_engine(bundle, tmp_path)
    assert precision_that_runs(bundle, tmp_path) == "int8"


def test_a_full_disk_leaves_the_last_good_engine(
    world: World, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = build_engine(bundle, tmp_path)
    before = chosen(store)
    write = atomic.write_bytes

    def full(path: Path, data: bytes, mode: int = 0o644) -> None:
        if path.suffix in (".plan", ".json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data, mode)

    monkeypatch.setattr(atomic, "write_bytes", full)
    with pytest.raises(PlanError, match="no space left for"):
        build_engine(bundle, tmp_path, "--batch", "2")
    assert chosen(store) == before
    assert precision_that_runs(bundle, tmp_path) == "int8"


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import pytest
    from fieldlens.convert.cli import main
    from fieldlens.runtime.files import atomic
    from tests.fakes.gpu import World
    from tests.fakes.install import install
    when, bundle, state = sys.argv[1:]
    world, patch = World(), pytest.MonkeyPatch()
    install(patch, world, "10.3.0")
    die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if when == "build":
        world.on_build = lambda: die() if world.builds else None
    else:
        replace = os.replace
        os.replace = lambda source, target: die() if str(target).endswith(when) else replace(source, target)
    main(["engine", bundle, "--state", state, "--batch", "2"])
"""


@pytest.mark.parametrize("when", ["build", ".plan", ".json"])
def test_a_kill_leaves_the_last_good_engine(
    world: World, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], when: str
) -> None:
    store = build_engine(bundle, tmp_path)
    before = chosen(store)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), when, str(bundle.path), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert chosen(store) == before
    assert precision_that_runs(bundle, tmp_path) == "int8"
    capsys.readouterr()
    build_engine(bundle, tmp_path, "--ensure", "--batch", "2")
    assert ("the last build here was killed (building" in capsys.readouterr().out) == (when == "build")
    build_engine(bundle, tmp_path, "--ensure", "--batch", "2")
    assert "was killed" not in capsys.readouterr().out, "it is said once"
    assert not list(store.folder.glob(".*.tmp"))
    assert len(list(store.folder.glob("*.plan"))) == 2


def test_without_a_progress_monitor_the_last_builds_time_is_said(
    world: World, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_tensorrt(monkeypatch, world, "8.6.1")
    build_engine(bundle, tmp_path, "--precision", "fp32")
    assert "several minutes on a small device" in capsys.readouterr().err
    build_engine(bundle, tmp_path, "--precision", "fp32")
    assert "the last time this took 0 s on this device" in capsys.readouterr().err


def test_two_builders_do_not_meet(world: World, bundle: Bundle, tmp_path: Path) -> None:
    with EngineStore(tmp_path, bundle.hash).lock(), pytest.raises(PlanError, match="another process"):
        build_engine(bundle, tmp_path)


def no_gpu(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.gpus = 0


def no_tensorrt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)


def no_pycuda(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)


@pytest.mark.parametrize(
    ("fault", "message"),
    [(no_gpu, "no NVIDIA GPU"), (no_tensorrt, "TensorRT is not installed"), (no_pycuda, "pycuda cannot be used")],
)
def test_what_is_missing_is_named(
    world: World,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[..., None],
    message: str,
) -> None:
    fault(world, monkeypatch)
    with pytest.raises(BackendError, match=message) as raised:
        build_engine(bundle, tmp_path)
    assert raised.value.hint


@pytest.mark.parametrize("options", [["--batch", "0"], ["--batch", "1,x"], ["--batch", "1000"], ["--workspace", "-1"]])
def test_options_out_of_range_are_refused(world: World, bundle: Bundle, tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(ConfigError):
        build_engine(bundle, tmp_path, *options)


def test_an_unknown_tactic_source_is_refused_with_the_known_ones(world: World, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(KitError, match="no tactic source 'CUDDN'"):
        build_engine(bundle, tmp_path, "--tactic-sources", "CUDDN")


def test_help_needs_no_host_library(tmp_path: Path) -> None:
    """The device has none of the host's libraries."""
    lay_device_files(tmp_path)
    missing = [
        "torch",
        "torchvision",
        "onnx",
        "onnxruntime",
        "openvino",
        "sklearn",
        "scipy",
        "matplotlib",
        "PIL",
        "tqdm",
    ]
    code = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({[*missing, 'tensorrt', 'pycuda']}));"
        "sys.argv[1:] = ['engine', '--help']; runpy.run_module('convert', run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--ensure" in done.stdout


def test_the_command_line_is_the_modules_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["engine", "--help"])
    assert "last good engine stays" in " ".join(capsys.readouterr().out.split())
