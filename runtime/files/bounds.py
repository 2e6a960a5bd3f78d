"""How large anything in a bundle, or beside it, may be: far more than any bundle needs, and less than a device has.

Nothing is read before its size is known, so that a damaged or hostile file costs an error and not the memory.
"""

from __future__ import annotations

_KIB, _MIB = 1 << 10, 1 << 20

MANIFEST_BYTES = 4 * _MIB
SIGNATURE_BYTES = 64 * _KIB
POLICY_BYTES = 64 * _KIB
SIGNERS_BYTES = _MIB
"""Of the allowed signers, and of the revocation list."""
RECORD_BYTES = _MIB
"""Of a JSON file: what the device keeps in its state folder, and the golden images' list."""

FILES = 1000
ALL_FILES_BYTES = 2048 * _MIB
_MODEL_BYTES = 384 * _MIB
_ARRAYS_BYTES = 256 * _MIB
_IMAGE_BYTES = 16 * _MIB
_OTHER_BYTES = 64 * _MIB

TEXT = 200
"""Characters of a name, a version's label, a class's id and what it is called, a path."""
CLASSES = 2048
FEATURES = 4096
CAM_SIZE = 64
GOLDEN_IMAGES = 128
GOLDEN_SIDE = 4096
"""Pixels; the converter makes them no larger than 1024."""
NUMBER = 1e9
"""Size of the gate's own numbers and of golden answers, so that nothing computed from them overflows float32."""


def file_bytes(name: str) -> int:
    """The most bytes that a bundle's file may have, by its name."""
    if name.endswith(".onnx"):
        return _MODEL_BYTES
    if name.endswith(".npz"):
        return _ARRAYS_BYTES
    if name.endswith(".json"):
        return RECORD_BYTES
    return _IMAGE_BYTES if name.startswith("golden/") else _OTHER_BYTES
