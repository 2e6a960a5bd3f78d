"""Who takes part in the comparison. ``catalogue`` names them all; the other modules load one inside its own process.

May import ``runtime`` (only ``ours`` and ``tensorrt_enqueue`` need it). Hands on ``load(job)`` of each contender.
"""
