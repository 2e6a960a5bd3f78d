"""A Ctrl-C while a library is imported is a Ctrl-C, whatever the library makes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from fieldlens.runtime import stopping
from fieldlens.runtime.backends import onnxruntime, openvino
from fieldlens.runtime.backends.base import LoadOptions
from fieldlens.runtime.backends.tensorrt import api, cuda
from fieldlens.runtime.boundary import run_cli
from fieldlens.runtime.errors import BackendError, KitError


class _Finder:
    """Import of ``name`` fails as pybind11's modules do; with ``signalled`` because of a Ctrl-C in the middle of it."""

    def __init__(self, name: str, *, signalled: bool) -> None:
        self._name, self._signalled = name, signalled

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self._name:
            with contextlib.suppress(KeyboardInterrupt):
                if self._signalled:
                    os.kill(os.getpid(), signal.SIGINT)
            raise ImportError("initialization failed")


LOADERS: list[tuple[str, Callable[[], Any]]] = [
    ("openvino", lambda: openvino.load(b"", "fp32", LoadOptions())),
    ("onnxruntime", lambda: onnxruntime.load(b"", "fp32", LoadOptions())),
    ("pycuda.driver", cuda.open_gpu),
    ("tensorrt", api.tensorrt),
]


def failing(name: str, monkeypatch: pytest.MonkeyPatch, *, signalled: bool) -> None:
    for loaded in [each for each in sys.modules if each.partition(".")[0] == name.partition(".")[0]]:
        monkeypatch.delitem(sys.modules, loaded)
    package = name.partition(".")[0]
    if package != name:
        monkeypatch.setitem(sys.modules, package, type(sys)(package))
        vars(sys.modules[package])["__path__"] = []
    monkeypatch.setattr(sys, "meta_path", [_Finder(name, signalled=signalled), *sys.meta_path])


@pytest.mark.parametrize(("name", "load"), LOADERS, ids=[name for name, _ in LOADERS])
def test_a_backend_that_cannot_be_imported(name: str, load: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(name, monkeypatch, signalled=False)
    with stopping.remembering(), pytest.raises(BackendError):
        load()
    failing(name, monkeypatch, signalled=True)
    with stopping.remembering(), pytest.raises(KeyboardInterrupt):
        load()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("error", [KitError("OpenVINO is not installed", "install it"), ImportError("failed")])
def test_the_command_line_says_interrupted(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        raise error

    assert run_cli(main) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_without_a_signal_both_are_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> int:
        raise KitError("OpenVINO is not installed", "install it")

    def broken() -> int:
        raise ImportError("ours")

    assert run_cli(refused) == 2
    assert "error: OpenVINO is not installed" in capsys.readouterr().err
    with pytest.raises(ImportError, match="ours"):
        run_cli(broken)
