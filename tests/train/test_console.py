"""Loading torch: named while it loads, and without its compiler, which nothing here needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_CODE = """
import sys
from fieldlens.train.console import load_torch
load_torch()
assert "torchvision" in sys.modules and "torch" in sys.modules
assert "torch._dynamo" not in sys.modules, "the compiler was imported"
assert "torch._dynamo.utils" not in sys.modules, "the stand-in was left behind"

import torch
from torchvision import models, ops
module = sys.modules["torchvision.ops.roi_align"]
assert models.resnet18(num_classes=3)(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
image, boxes = torch.rand(1, 2, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
assert ops.roi_align(image, boxes, 2).shape == (1, 2, 2, 2)
"""


_REAL = """
supported = module.is_compile_supported("cpu")  # now the real one is imported
from torch._dynamo import utils
assert "torch._dynamo" in sys.modules
assert supported == utils.is_compile_supported("cpu")
"""


def test_torchvision_loads_without_torchs_compiler_and_works() -> None:
    done = subprocess.run([sys.executable, "-c", _CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("loading")] == ["loading torch …", "loading torchvision …"]


def test_neither_the_trainer_nor_the_converter_loads_the_compiler() -> None:
    code = (
        "import sys\n"
        "from fieldlens.train.console import load_torch\n"
        "load_torch()\n"
        "import fieldlens.convert.assembly, fieldlens.train.evaluation.evaluate, fieldlens.train.fitting.fit\n"
        "assert 'torch._dynamo' not in sys.modules, 'the compiler was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.full
def test_its_one_function_of_the_compiler_is_the_real_one() -> None:
    done = subprocess.run([sys.executable, "-c", _CODE + _REAL], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.full
def test_what_a_later_torchvision_may_want_comes_from_the_real_compiler() -> None:
    """The stand-in knows one function; for any other name it steps aside."""
    code = (
        "import sys\n"
        "from fieldlens.train.console import _COMPILER, _CompilerLater\n"
        "sys.modules[_COMPILER] = _CompilerLater(_COMPILER)\n"
        "from torch._dynamo.utils import counters\n"
        "import torch._dynamo.utils as real\n"
        "assert counters is real.counters and not isinstance(real, _CompilerLater)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
