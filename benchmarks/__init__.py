"""The room of figures: suites for pytest-benchmark, the comparison with what a user would pick instead, results/.

May import all other rooms; none imports it. Hands on tables, charts, JSON lines and docs/benchmarks.md, each with
the conditions it was measured under.
"""
