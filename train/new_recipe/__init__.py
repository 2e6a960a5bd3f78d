"""A recipe for somebody's own images: looked at, chosen for, written with the reasons. Without torch.

Owns the guesses of what a table's columns mean, the survey of the images, the values and the file. May import ``data``,
``recipe``, ``config``, ``errors`` and ``runtime``. Hands on a TOML file that ``fit`` reads.
"""
