"""Baselines: windows that the store keeps under a name, to compare later windows with."""

from __future__ import annotations

import re
from datetime import timedelta

import pandas as pd

from aurora_analysis.errors import Error
from aurora_analysis.store import Store
from aurora_analysis.store.names import unknown
from aurora_analysis.window import Window

NAME = re.compile(r"\w[\w .-]{0,63}")


def save(store: Store, name: str, window: Window, *, cluster: str, note: str = "") -> None:
    """Keep a window under a name, in place of the window that the name had.

    Parameters
    ----------
    store : Store
    name : str
        At most 64 letters, digits, spaces, dots and dashes.
    window : Window
    cluster : str
    note : str, optional
        Why it is kept.

    Raises
    ------
    Error
        If the name has other characters, or the store has no data of the window.
    """
    if not NAME.fullmatch(name):
        raise Error(
            f"{name!r} cannot name a baseline: use letters, digits, spaces, dots and dashes, at most 64."
        )
    if store.coverage(window, cluster=cluster).empty:
        raise Error(f"The store has no data of {cluster} from {window}: fetch it, or name another window.")
    if name in set(saved(store, cluster=cluster)["name"]):
        drop(store, name, cluster=cluster)
    start, end = (pd.Timestamp(moment).as_unit("us") for moment in (window.start, window.end))
    row = pd.DataFrame({"time": [start], "end": [end], "name": [name], "note": [note]})
    store.write("baselines", row, _row_window(window), cluster=cluster, source=_source(name))


def saved(store: Store, *, cluster: str) -> pd.DataFrame:
    """Return the baselines of a cluster, oldest window first.

    Parameters
    ----------
    store : Store
    cluster : str

    Returns
    -------
    pandas.DataFrame
        `name`, `start`, `end` (UTC), `note`.

    Raises
    ------
    Error
        If the store has no such cluster.
    """
    rows = store.read("baselines", cluster=cluster).rename(columns={"time": "start"})
    return rows[["name", "start", "end", "note"]]


def window(store: Store, name: str, *, cluster: str) -> Window:
    """Return a baseline's window.

    Parameters
    ----------
    store : Store
    name : str
    cluster : str

    Returns
    -------
    Window

    Raises
    ------
    Error
        If there is no such baseline.
    """
    rows = saved(store, cluster=cluster).set_index("name")
    if name not in rows.index:
        save_it = "save it with aurora-analysis baseline save."
        raise Error(f"{cluster} has {unknown('baseline', name, rows.index, save_it)}")
    row = rows.loc[name]
    return Window(row["start"].to_pydatetime(), row["end"].to_pydatetime())


def against(store: Store, named: str, present: Window, *, cluster: str) -> Window:
    """Return the window to compare a window with.

    Parameters
    ----------
    store : Store
    named : str
        A baseline's name, or a window as start/end (UTC). Empty: the window of the same length before `present`.
    present : Window
    cluster : str

    Returns
    -------
    Window

    Raises
    ------
    Error
        If there is no such baseline, or a time cannot be read.
    """
    if not named:
        return present.previous()
    if "/" in named:
        start, _, end = named.partition("/")
        return Window(start, end)
    return window(store, named, cluster=cluster)


def drop(store: Store, name: str, *, cluster: str) -> None:
    """Delete a baseline; its window's data stay until they are pruned.

    Parameters
    ----------
    store : Store
    name : str
    cluster : str

    Raises
    ------
    Error
        If there is no such baseline.
    """
    kept = window(store, name, cluster=cluster)
    nothing = store.read("baselines", cluster=cluster).iloc[:0]
    store.write("baselines", nothing, _row_window(kept), cluster=cluster, source=_source(name))


def _source(name: str) -> str:
    """Return a source of its own for each baseline, so that writing one replaces only that one."""
    return f"baseline {name}"


def _row_window(kept: Window) -> Window:
    """Return the window that holds only the baseline's row, which has the start of its window as time."""
    return Window(kept.start, kept.start + timedelta(microseconds=1))
