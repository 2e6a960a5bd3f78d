"""Answers beside the truth, and the figures computed from them.

Owns which model is evaluated on which images, and every figure with its interval. May import ``checkpoint``,
``decide``, ``epoch``, ``data`` and ``metrics``. Hands on scored predictions and figures.
"""
