"""TensorRT: running an engine that was accepted on this machine.

Owns every call into TensorRT and CUDA, building calls included, and the store of engines on disk. May import
``backends.base``, ``bundle`` and what lies below. Hands on a backend, and to ``convert/engine`` what building needs.
"""
