"""Memory for decoded pixels that stays in the cache.

libjpeg-turbo writes a row of pixels that begins at a multiple of 32 bytes past the cache, straight to memory
(``vmovntdq`` in ``jdmrgext-avx2.asm`` and ``jdcolext-avx2.asm``), and the resize then waits for it to come back. From
any other place on, the same pixels are stored as usual: of a JPEG of 640×480 decoding takes 0.83 ms instead of 0.89,
and halving it 0.06 instead of 0.14.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_VECTOR = 32
_BESIDE = 16


def beside_vectors(size: int) -> npt.NDArray[np.uint8]:
    """``size`` bytes, not set, that begin 16 behind a multiple of 32."""
    whole = np.empty(size + _VECTOR, np.uint8)
    start = (_BESIDE - whole.ctypes.data) % _VECTOR
    return whole[start : start + size]
