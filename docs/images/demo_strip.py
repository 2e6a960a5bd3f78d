"""The README's image from the demo's overlays: `./deploy.sh demo`, then `.venv/bin/python docs/images/demo_strip.py`.

An argument names another folder of overlays than demo/overlays. The images are the demo's synthetic ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = ("00011.jpg", "00087.jpg", "00149.jpg")
"""A referral, no sign found, and a retake: held-out images of `train demo-data --seed 0`."""
WIDTH_PX = 1500


def strip(folder: Path) -> bytes:
    """The chosen overlays side by side: JPEG, ``WIDTH_PX`` wide."""
    overlays = [simplejpeg.decode_jpeg((folder / name).read_bytes()) for name in CHOSEN]
    wide = np.hstack(overlays)
    height = round(wide.shape[0] * WIDTH_PX / wide.shape[1])
    small = cv2.resize(wide, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    return bytes(simplejpeg.encode_jpeg(small, quality=85))


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo/overlays"
    (ROOT / "docs/images/demo-strip.jpg").write_bytes(strip(source))
