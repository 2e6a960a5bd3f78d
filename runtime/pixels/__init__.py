"""Bytes and frames to the network's input tensor, the same for training and device.

Owns the preprocess (contract 3), its steps as the manifest lists them, and the reading of image headers. May import
``errors`` and ``fields``. Hands on ``Preprocess``, which turns an image into a tensor, and the steps as data.
"""
