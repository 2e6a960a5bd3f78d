"""INT8 in the graph: calibration images, activation ranges, and where Q/DQ pairs stand.

May import ``graph``, and ``train`` for samples. Hands on quantised ONNX bytes.
"""
