"""Adding a device to ``benchmarks/results/``, and the page drawn from them.

May import every other folder of this room. Hands on a folder of results and ``docs/benchmarks.md``.
"""
