"""Building blocks of the frames that sources return: time columns, repeated labels, and windows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.window import Window


def times(moments: Sequence[float | datetime] | npt.NDArray[np.float64]) -> pd.DatetimeIndex:
    """Convert the times of an answer to UTC [us].

    Clients that skip botocore's shaping return seconds since 1970; all others return datetimes.
    """
    if len(moments) and isinstance(moments[0], datetime):
        moments = [each.timestamp() for each in moments]  # type: ignore[union-attr]
    micros = np.round(np.asarray(moments, dtype=float) * 1e6).astype("int64")
    return pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC")


def repeated(labels: Sequence[str | None], counts: Sequence[int] | npt.NDArray[np.int64]) -> pd.Categorical:
    """Repeat each label `counts` times, as a categorical column."""
    words = sorted({label for label in labels if label is not None})
    code = {None: -1} | {word: n for n, word in enumerate(words)}
    codes = [code[label] for label in labels]
    return pd.Categorical.from_codes(
        np.repeat(np.array(codes, dtype=int), counts), pd.Index(words, dtype="str")
    )


def inside(frame: pd.DataFrame, window: Window, column: str = "time") -> pd.DataFrame:
    """Return the rows whose time is in the window."""
    return frame[(frame[column] >= window.start) & (frame[column] < window.end)]


def utc(moment: datetime | float | str) -> datetime:
    """Convert a time of an answer (datetime, ISO 8601, or seconds since 1970) to a UTC datetime."""
    if isinstance(moment, int | float):
        return datetime.fromtimestamp(moment, UTC)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC)
