"""What ``record`` measures beside the comparison, free of imports so that ``--help`` is quick."""

from __future__ import annotations

PARTS = ("roofline", "training", "conversion")
