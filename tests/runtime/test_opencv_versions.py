"""The oldest and the newest OpenCV that a device may have refuse the same broken files, and average as we do
(JetPack 6 ships 4.8)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.runtime.conftest import BROKEN
from tests.runtime.environments import make_environment

ROOT = Path(__file__).parents[2]
OLDEST = ("opencv-python-headless==4.8.1.78", "numpy<2", "simplejpeg>=1.7,<2")
NEWEST = ("opencv-python-headless<6", "numpy>=2", "simplejpeg>=1.7,<2")

_SCRIPT = """
import json, sys
from pathlib import Path
import cv2
import numpy as np
from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.area import AreaAverage
from fieldlens.runtime.pixels.preprocess import Preprocess
from fieldlens.runtime.pixels.steps import Orient, Resize
preprocess, reasons = Preprocess((Orient(), Resize(64))), {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        preprocess.from_bytes(path.read_bytes(), path.name)
    except ImageError as error:
        reasons[path.name] = error.message
good = preprocess.from_bytes(Path(sys.argv[2]).read_bytes(), "good.jpg")
draw, average, differ = np.random.default_rng(0), AreaAverage(), 0
for _ in range(200):
    side = int(draw.integers(32, 225))
    image = draw.integers(0, 256, (int(side * draw.uniform(1.11, 2.1)), int(side * 1.5), 3), dtype=np.uint8)
    own = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    differ += int((average(image, (side, side), None) != own).sum())
print(json.dumps(
    {"opencv": cv2.__version__, "reasons": reasons, "mean": float(good.mean()), "averages_differ": differ}
))
"""


@pytest.mark.full
@pytest.mark.parametrize(("packages", "version"), [(OLDEST, "4.8."), (NEWEST, "")], ids=["oldest", "newest"])
def test_broken_files_are_refused_and_averages_are_opencvs_own(
    tmp_path: Path, broken: Path, pictures: Path, packages: tuple[str, ...], version: str
) -> None:
    python = make_environment(tmp_path / "env", *packages)
    command = [str(python), "-c", _SCRIPT, str(broken), str(pictures / "scene-0.jpg")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout)
    assert reported["opencv"].startswith(version)
    assert set(reported["reasons"]) == set(BROKEN)
    assert 20 < reported["mean"] < 235
    assert reported["averages_differ"] == 0
