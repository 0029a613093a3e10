"""Log-histograms of latency: buckets of equal relative width, so that a quantile read off one is within 1 %.

The mapping is that of DDSketch (Masson, Rim & Lee 2019, arXiv 1908.10693): bucket i holds values v with
GAMMA**(i-1) < v <= GAMMA**i. Histograms of the same mapping add up bucket by bucket.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
SMALLEST_MS = 1e-3
"""Values at or below a microsecond share the lowest bucket: no server clock resolves them."""


def bucket(values_ms: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The bucket of each latency [ms].

    >>> bucket([1.0, 1.01, 100.0])
    array([  0,   1, 231])
    """
    values = np.maximum(np.asarray(values_ms, dtype=float), SMALLEST_MS)
    return np.ceil(np.log(values) / np.log(GAMMA) - 1e-9).astype(np.int64)


def bounds(buckets: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The lower (exclusive) and upper (inclusive) latency of each bucket [ms]."""
    upper = GAMMA ** np.asarray(buckets, dtype=float)
    return upper / GAMMA, upper


def middle(buckets: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The latency that stands for each bucket [ms]: nowhere in the bucket is it wrong by more than 1 %."""
    _, upper = bounds(buckets)
    return upper * 2 / (1 + GAMMA)
