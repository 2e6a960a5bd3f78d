"""A run: from sources through the classifier to sinks, with its latency.

Owns the order of work, how a run is stopped, single-stream measurement, and what systemd hears. May import ``view``
and what lies below. Hands on the log of a run.
"""
