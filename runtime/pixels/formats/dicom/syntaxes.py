"""The transfer syntaxes that are read (PS3.5, 10), and the words in which the others are refused."""

from __future__ import annotations

from pydicom import uid

NATIVE = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
RLE = frozenset({uid.RLELossless})
JPEG = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit})
JPEG_LOSSLESS = frozenset({uid.JPEGLossless, uid.JPEGLosslessSV1})
JPEG_LS = frozenset({uid.JPEGLSLossless, uid.JPEGLSNearLossless})
JPEG_2000 = frozenset({uid.JPEG2000Lossless, uid.JPEG2000})
READ = NATIVE | RLE | JPEG | JPEG_LOSSLESS | JPEG_LS | JPEG_2000


def name_of(syntax: str) -> str:
    """``HTJ2K (1.2.840.10008.1.2.4.203)``; a private one has its number only."""
    known = uid.UID(syntax)
    return f"{known.name} ({syntax})" if known.name != syntax else syntax
