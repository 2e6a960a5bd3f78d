"""Out-of-distribution score: the squared Mahalanobis distance of the features to the nearest class mean.

Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples, NeurIPS 2018: class means, one shared
covariance; here with Ledoit–Wolf shrinkage, fitted on the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fieldlens.runtime.bundle.contents import OOD, distribution
from fieldlens.runtime.bundle.opened import Bundle
from fieldlens.runtime.errors import BundleError


@dataclass(frozen=True)
class OodModel:
    """``matrix`` float32 ``[F, F + C]``: the whitener W (``W·Wᵀ`` = the shared precision), and W times the whitened
    mean of each class, taken from the middle of the means; ``shift`` ``[F + C]``: that middle through the matrix;
    ``squares``: squared length of each of these whitened means. One product then gives every distance.
    """

    matrix: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32]
    squares: tuple[float, ...]
    threshold: float

    def score(self, features: npt.NDArray[np.float32]) -> float:
        """Features ``[F]`` → squared distance to the nearest class, per dimension (about 1 for known images)."""
        size = len(features)
        product = features @ self.matrix - self.shift
        white = product[:size]
        nearest = min(square - 2.0 * inner for square, inner in zip(self.squares, product[size:].tolist(), strict=True))
        return (float(white @ white) + float(nearest)) / size


def ood_model(means: npt.NDArray[np.float64], precision: npt.NDArray[np.float64], threshold: float) -> OodModel:
    """From the means ``[C,F]`` of the classes and the shared precision ``[F,F]``."""
    whitener = np.linalg.cholesky(precision)
    middle = means.mean(axis=0)
    white = (means - middle) @ whitener
    matrix = np.hstack((whitener, whitener @ white.T))
    squares = tuple((white * white).sum(axis=1).tolist())
    return OodModel(matrix.astype(np.float32), (middle @ matrix).astype(np.float32), squares, threshold)


def load_ood(bundle: Bundle) -> OodModel | None:
    """The bundle's model, or None where the manifest has none. Raises BundleError."""
    if bundle.manifest.ood is None:
        return None
    found = distribution(bundle)
    try:
        return ood_model(found.means.astype(np.float64), found.precision.astype(np.float64), found.threshold)
    except np.linalg.LinAlgError as error:
        raise BundleError(f"{bundle.path.name}: {OOD}: {error}", "make the bundle again") from error
