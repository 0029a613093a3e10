"""Time series as arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]


def seconds(times: pd.Series | pd.Index) -> Array:
    """Times as seconds since 1970 [s]."""
    return pd.DatetimeIndex(times).as_unit("us").asi8 / 1e6
