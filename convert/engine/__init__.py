"""The device's half of this room: TensorRT engines, built and accepted on the machine that runs them.

May import ``runtime`` alone and keeps to Python 3.10, without torch and onnx. Hands on accepted engines in the store of
``runtime/backends/tensorrt``, each with the record of how it earned its place.
"""
