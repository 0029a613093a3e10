"""Find each instance's role and settings over time: failover moves the writer, so both are rows with a time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aurora_analysis.window import Window


def of(rows: pd.DataFrame, instances: pd.DataFrame, *, time: str = "time") -> pd.Series:
    """Return the role of each row's instance at the row's time.

    Parameters
    ----------
    rows : pandas.DataFrame
        With `instance` and a column of times (UTC).
    instances : pandas.DataFrame
        Rows of the table `instances`, ordered by time; a role holds until the instance's next row.
    time : str, default "time"

    Returns
    -------
    pandas.Series
        "writer", "reader", or missing; aligned with `rows`.
    """
    return setting(rows, instances, "role", time=time)


def setting(rows: pd.DataFrame, instances: pd.DataFrame, name: str, *, time: str = "time") -> pd.Series:
    """Return a text setting of each row's instance at the row's time.

    Parameters
    ----------
    rows : pandas.DataFrame
        With `instance` and a column of times (UTC).
    instances : pandas.DataFrame
        Rows of the table `instances`, ordered by time; a setting holds until the instance's next row.
    name : str
        A column of `instances`.
    time : str, default "time"

    Returns
    -------
    pandas.Series
        Missing before the instance's first row; aligned with `rows`.
    """
    if rows.empty or instances.empty:
        return pd.Series(None, index=rows.index, name=name, dtype=str)
    found = np.full(len(rows), np.nan, object)
    for instance, states in instances.groupby("instance"):
        own = (rows["instance"] == instance).to_numpy()
        last = states["time"].searchsorted(rows[time][own], side="right") - 1
        found[own] = np.where(last >= 0, states[name].to_numpy(object)[last], np.nan)
    return pd.Series(found, index=rows.index, name=name, dtype=str)


def states_in(instances: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Return the states of each instance in a window, including the state at the window's start.

    Parameters
    ----------
    instances : pandas.DataFrame
        All rows of the table `instances`, ordered by time.
    window : Window

    Returns
    -------
    pandas.DataFrame
    """
    before = instances[instances["time"] <= window.start].groupby("instance").tail(1)
    inside = instances[(instances["time"] > window.start) & (instances["time"] < window.end)]
    return pd.concat([before, inside]).sort_values(["time", "instance"], ignore_index=True)


def terms(states: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Return each writer's term inside a window: `start`, `end` (UTC), `writer`.

    Parameters
    ----------
    states : pandas.DataFrame
        As from `states_in`.
    window : Window

    Returns
    -------
    pandas.DataFrame
    """
    terms = states[states["role"] == "writer"].drop_duplicates(["time", "instance"])
    terms = terms[
        terms["instance"] != terms["instance"].shift()
    ]  # other settings of a writer begin no new term
    start = terms["time"].where(terms["time"] > window.start, window.start)
    end = start.shift(-1).fillna(pd.Timestamp(window.end))
    return pd.DataFrame({"start": start, "end": end, "writer": terms["instance"]}).reset_index(drop=True)
