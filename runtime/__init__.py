"""The device's room: from an image to an answer, with its latency.

Owns the bundle, the preprocess, the backends, the sources, the classifier and its reports. Imports none of the other
rooms and none of the host's libraries (torch, onnx, scikit-learn, matplotlib). Hands on predictions, JSON lines,
tables, images and pages.
"""
