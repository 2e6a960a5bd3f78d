"""A data set: read, checked, split, and preprocessed once.

Owns samples and labels, the split and the folds, near-duplicates, and the cache of preprocessed images. May import
``config``, ``errors`` and ``runtime``. Hands on samples, splits, and tensors of uint8.
"""
