"""Baselines: named windows that are kept in the store, for later windows to be compared with."""

from __future__ import annotations

import re
from datetime import timedelta

import pandas as pd

from aurora_analysis.errors import Error
from aurora_analysis.store import Store
from aurora_analysis.window import Window

NAME = re.compile(r"\w[\w .-]{0,63}")


def save(store: Store, name: str, window: Window, *, cluster: str, note: str = "") -> None:
    """Keep a window under a name; a name that is there already then stands for this window."""
    if not NAME.fullmatch(name):
        raise Error(
            f"{name!r} is no name for a baseline: use letters, digits, spaces, dots, dashes, up to 64."
        )
    if store.coverage(window, cluster=cluster).empty:
        raise Error(
            f"The store has nothing of {cluster} from {window}: fetch it first, or name another window."
        )
    if name in set(saved(store, cluster=cluster)["name"]):
        drop(store, name, cluster=cluster)
    start, end = (pd.Timestamp(moment).as_unit("us") for moment in (window.start, window.end))
    row = pd.DataFrame({"time": [start], "end": [end], "name": [name], "note": [note]})
    store.write("baselines", row, _moment(window), cluster=cluster, source=_source(name))


def saved(store: Store, *, cluster: str) -> pd.DataFrame:
    """The baselines of a cluster: `name, start, end, note`, oldest window first."""
    rows = store.read("baselines", cluster=cluster).rename(columns={"time": "start"})
    return rows[["name", "start", "end", "note"]]


def window(store: Store, name: str, *, cluster: str) -> Window:
    """The window that a baseline keeps."""
    rows = saved(store, cluster=cluster).set_index("name")
    if name not in rows.index:
        known = ", ".join(rows.index) or "none"
        raise Error(
            f"{cluster} has no baseline {name!r} (it has: {known}): save it with aurora-analysis baseline save."
        )
    row = rows.loc[name]
    return Window(row["start"].to_pydatetime(), row["end"].to_pydatetime())


def against(store: Store, named: str, asked: Window, *, cluster: str) -> Window:
    """The window to compare with: of a baseline, or written as start/end (UTC); the one before where none is named."""
    if not named:
        return asked.previous()
    if "/" in named:
        start, _, end = named.partition("/")
        return Window(start, end)
    return window(store, named, cluster=cluster)


def drop(store: Store, name: str, *, cluster: str) -> None:
    """Forget a name; the data of its window stay as long as others keep them."""
    kept = window(store, name, cluster=cluster)
    nothing = store.read("baselines", cluster=cluster).iloc[:0]
    store.write("baselines", nothing, _moment(kept), cluster=cluster, source=_source(name))


def _source(name: str) -> str:
    """A baseline is replaced by itself alone."""
    return f"baseline {name}"


def _moment(kept: Window) -> Window:
    """Where the baseline's one row stands in time."""
    return Window(kept.start, kept.start + timedelta(microseconds=1))
