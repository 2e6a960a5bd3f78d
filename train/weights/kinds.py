"""What a file is that is given for weights, from its first bytes and, in an archive, from its names."""

from __future__ import annotations

import io
import zipfile

TORCH, SAFETENSORS = "torch", "safetensors"
_PLAIN = "save its weights with torch.save(model.state_dict(), FILE), or as safetensors"
_FIRST_BYTES = (
    (b"\x89HDF", "a Keras or HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"version https://git-lfs", "a Git LFS pointer to the file, not the file: run git lfs pull"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"ftrt", "a TensorRT engine, which belongs to one GPU"),
    (b"ptrt", "a TensorRT engine, which belongs to one GPU"),
)
_IN_ARCHIVES = (
    ("constants.pkl", "a scripted module (TorchScript)"),
    ("models/model.json", "an exported program (torch.export)"),
    ("metadata.json", "a Keras model"),
    (".npy", "a NumPy archive"),
    ("saved_model.pb", "a TensorFlow model"),
)


def kind_of(data: bytes, suffix: str) -> str:
    """TORCH, SAFETENSORS, or in words what else the file is. Opens nothing that could run."""
    if not data:
        return "empty"
    for begin, what in _FIRST_BYTES:
        if data.startswith(begin):
            return what
    if data[:4] == b"PK\x03\x04":
        return _archive(data)
    if data[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    length = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and (length <= len(data) - 8 or suffix == ".safetensors"):
        return SAFETENSORS
    if data.lstrip()[:1] in (b"<", b"{"):
        return "text (a page, or a description of a model), not weights"
    if suffix == ".onnx" or (data[0] == 8 and data[1] < 64 and data[2:3] in (b"\x12", b"\x1a", b"\x2a", b"\x3a", b"B")):
        return "an ONNX model"
    return TORCH


def _archive(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "a damaged or cut-off archive: copy or download it again"
    for end, what in _IN_ARCHIVES:
        if any(name.endswith(end) for name in names):
            return what
    return TORCH if any(name.endswith("data.pkl") for name in names) else "a zip archive without tensors"


def hint_for(kind: str) -> str:
    """What to do about a file that is no file of weights."""
    return _PLAIN if kind.startswith(("a ", "an ")) and ":" not in kind else "give a file of a state dict"
