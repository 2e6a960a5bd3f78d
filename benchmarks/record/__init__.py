"""The page drawn from ``benchmarks/results/``. May import ``device``. Hands on ``docs/benchmarks.md``."""
