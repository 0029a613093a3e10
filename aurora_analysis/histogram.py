"""Histograms of latency with buckets of equal relative width, so that a quantile is accurate within 1 %.

The mapping is that of DDSketch (Masson, Rim & Lee 2019, arXiv 1908.10693): bucket i holds the values v with
GAMMA**(i-1) < v <= GAMMA**i. Histograms with the same mapping can be added bucket by bucket.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
SMALLEST_MS = 1e-3
"""Values of a microsecond or less share the lowest bucket, because no server clock resolves them [ms]."""


def bucket(values_ms: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the bucket of each latency.

    Parameters
    ----------
    values_ms : array_like of float
        Latencies [ms], of any shape.

    Returns
    -------
    numpy.ndarray of int64
        Bucket numbers, of the same shape.

    Examples
    --------
    >>> bucket([1.0, 1.01, 100.0])
    array([  0,   1, 231])
    """
    values = np.maximum(np.asarray(values_ms, dtype=float), SMALLEST_MS)
    numbers: npt.NDArray[np.int64] = np.ceil(np.log(values) / np.log(GAMMA) - 1e-9).astype(np.int64)
    return numbers


def bounds(buckets: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the lower and upper latency of each bucket [ms].

    Parameters
    ----------
    buckets : array_like of int

    Returns
    -------
    lower : numpy.ndarray of float
        Exclusive lower bounds [ms].
    upper : numpy.ndarray of float
        Inclusive upper bounds [ms].
    """
    upper = GAMMA ** np.asarray(buckets, dtype=float)
    return upper / GAMMA, upper


def middle(buckets: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the latency that represents each bucket [ms], within 1 % of every value in it.

    Parameters
    ----------
    buckets : array_like of int

    Returns
    -------
    numpy.ndarray of float
        Latencies [ms].
    """
    _, upper = bounds(buckets)
    return upper * 2 / (1 + GAMMA)
