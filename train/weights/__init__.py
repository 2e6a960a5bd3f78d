"""Weights that somebody already has: one door for ``fit --weights`` and ``convert bundle --weights``.

Owns what a file of weights may be, how it is unwrapped, and how its names become torchvision's. May import ``errors``
and ``runtime``. Hands on plain tensors by torchvision's names; nothing in a file is ever executed.
"""
