"""Results as lines: for people, as JSON, as CSV.

Owns the sinks and the files that stay whole when power or space runs out. May import ``prediction``, ``bundle`` and
what lies below. Hands on ``Sink``.
"""
