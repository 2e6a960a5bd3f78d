"""The quality gate: can the model answer this image?

Owns sharpness, exposure, appearance, the out-of-distribution score, and the limits of one device's camera. May import
``sources``, ``bundle`` and what lies below. Hands on findings and a score; the classifier decides what follows.
"""
