"""What each precision answers and what it costs against FP32.

Owns emulation of TensorRT's files, tolerances, ``convert verify`` and its report. May import ``graph``, ``table`` and
``train``. Hands on answers, figures, and whether a tolerance was kept.
"""
