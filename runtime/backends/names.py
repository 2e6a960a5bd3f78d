"""Names of backends and precisions, free of imports so that ``--help`` is quick."""

BACKENDS = ("auto", "tensorrt", "openvino", "onnxruntime", "fake")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")
