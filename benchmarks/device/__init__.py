"""The device's half of this room: what compares, records and judges on a device, in the device's own environment.

May import ``runtime`` alone and keeps to Python 3.10, without torch, onnx, SciPy or Matplotlib; what only a host can do
is loaded by name (``host_part``), and left out with its reason where that fails. Hands on rows, rates and shares.
"""
