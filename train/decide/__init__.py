"""What validation decides: temperature, operating point, and the limits of the quality gate.

May import ``epoch``, ``data``, ``metrics`` and what lies below. Hands on what ``operating-point.json`` and the manifest
say.
"""
