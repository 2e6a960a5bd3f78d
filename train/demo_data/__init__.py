"""``demo-data``: synthetic photographs with labels, the same for the same seed.

May import ``errors`` and ``runtime``. Hands on a folder of JPEG files and ``labels.csv``.
"""
