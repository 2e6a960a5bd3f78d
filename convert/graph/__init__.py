"""The graph of a model file: exported, checked against contract 2, typed FP16, run node by node.

Imports no other folder of this room. Hands on ONNX bytes and the checks that they passed.
"""
