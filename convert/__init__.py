"""The room between training and the device: export, precisions, calibration, verification.

Owns the graph of the model files, their quantisation and the making of bundles. May import ``runtime`` and ``train``.
Produces ``NAME.bundle`` folders and tables that say what each precision costs. A device gets ``__init__``,
``__main__`` and ``engine`` only, and these import neither torch nor onnx nor ``train``.
"""
