"""DICOM: what a file says of itself, its stored values, and what they mean as grey levels or colours.

Needs pydicom and imagecodecs (``requirements-dicom.txt``), which only decoder_process.py imports: damage, a crash or an
endless loop in there ends one image and no run. ``address`` needs neither. May import ``errors``. Hands on ``reader``.
"""
