"""What a bundle is made from: a training run, or weights that somebody already has.

May import ``golden``, ``card``, ``quantization``, ``measure`` and ``train``. Hands on ``Origin``: a network, what is
known of it, and the images to calibrate and test it with.
"""
