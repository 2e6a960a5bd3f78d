"""The comparison: a process per contender, taking turns in random order.

Owns the bundle and the images that it runs on, the workers, and what two runs agree on. May import ``contenders``,
``machine`` and ``runtime``. Hands on rows with percentiles and ratios.
"""
