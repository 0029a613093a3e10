"""Series of metrics from rows of the table `metrics`, and the check of a metric's name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from aurora_analysis.errors import Error
from aurora_analysis.glossary import METRICS
from aurora_analysis.store.names import unknown
from aurora_analysis.tables import STATISTICS


def series(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return the values of one metric's rows by time (UTC).

    Parameters
    ----------
    rows : pandas.DataFrame
        `time` and `value`.
    name : str
        The metric; the series gets this name.

    Returns
    -------
    pandas.Series
    """
    return rows.set_index("time")["value"].rename(name)


def columns(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return one column per metric, by time (UTC); metrics without values are left out.

    Parameters
    ----------
    rows : pandas.DataFrame
        `time`, `name` and `value`, of one instance at each time.
    names : sequence of str
        The metrics, in the order of the columns.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    Error
        If a metric without values is not in the glossary.
    """
    found = rows.astype({"name": str}).pivot(index="time", columns="name", values="value")
    found = found.dropna(axis=1, how="all")
    check_names(name for name in names if name not in found)
    return found[[name for name in names if name in found]].rename_axis(columns=None)


def check_names(names: Iterable[str], statistic: str = "average") -> None:
    """Raise if a name is not a metric of the glossary, or if no metric has the statistic; call it for names without values.

    Parameters
    ----------
    names : iterable of str
    statistic : str, default "average"

    Raises
    ------
    Error
        With the names of all metrics or statistics, and the one that was probably meant.
    """
    for name in names:
        if name not in METRICS:
            raise Error(f"The glossary has {unknown('metric', name, METRICS, 'name one of these.')}")
    if statistic not in STATISTICS:
        raise Error(
            f"The table metrics has {unknown('statistic', statistic, STATISTICS, 'name one of these.')}"
        )
