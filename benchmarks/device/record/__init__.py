"""Adding a device to ``benchmarks/results/``. May import all of ``device``. Hands on a folder of results."""
