"""Names of backends and precisions, without heavy imports so that ``--help`` is quick."""

from fieldlens.runtime.bundle.precision import WORDS

BACKENDS = ("auto", "tensorrt", "openvino", "onnxruntime", "fake")
PRECISIONS = ("auto", *WORDS)
