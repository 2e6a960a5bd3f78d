"""Where the marks lie."""

from __future__ import annotations

import numpy as np

from fieldlens.train.demo_data.scene import distance_from


def test_a_place_beside_the_other_has_a_distance() -> None:
    """Rounding took the square below 0: one of 1,100 images had a pixel without a value."""
    places = np.linspace(0.1, 0.5, 20_001, dtype=np.float32)
    angles = np.full_like(places, 0.7)
    for away in (0.1537, 0.2211, 0.3004, 0.4871):
        assert (distance_from(places, angles, away, 0.7) >= 0).all()
