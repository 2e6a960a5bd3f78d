"""One epoch of training and everything it is made of.

Owns the loop, loss, augmentation, sampling, optimiser, precision, averaged weights, and several processes. May import
``data``, ``model``, ``config`` and what lies below. Hands on losses and logits.
"""
