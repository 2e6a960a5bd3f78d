"""The room between training and the device: export, precisions, calibration, verification, engines.

Owns the graph of the model files, their quantisation, and the making of bundles. May import ``runtime`` and ``train``.
Hands on ``NAME.bundle`` folders and tables that say what each precision costs. A device gets the command line and
``engine/``, and these import neither torch nor onnx nor ``train``.
"""
