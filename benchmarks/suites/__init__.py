"""The suites for pytest-benchmark, one file per part of the runtime.

``pytest benchmarks --benchmark-only`` runs them. May import ``machine`` and the kit's rooms. Hands on ratios to a
reference loop.
"""
