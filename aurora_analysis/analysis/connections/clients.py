"""How each client uses its connections: whether it keeps them, and whether it leaves transactions open and idle."""

from __future__ import annotations

import pandas as pd

RUNS = ["started_at", "ended_at", "instance", "user", "thread_id"]
"""The columns of `slow_queries` that `uses` reads."""

CONNECTION = ["user", "instance", "thread_id"]
"""Statements of one connection agree in these columns."""

KEPT = pd.Timedelta("1h")
"""A connection that ran statements this long apart is kept by its client."""

BRIEF = pd.Timedelta("1min")
"""A connection whose logged statements all lie within this time, beyond their own length, was opened for them."""

CONNECTIONS_NEEDED = 10
"""Fewest connections in the log that show a client's habit."""

MOST = 0.5
"""A habit holds if at least this share of the client's logged statements follows it."""

HABITS = [
    "user",
    "instance",
    "connections",
    "statements",
    "statements_per_connection",
    "longest_open_h",
    "habit",
]
"""Columns of `habits`."""

IDLE = ["user", "host", "client", "instance", "thread_id", "started_at", "idle_s", "has_read_view"]
"""Columns of `idle_transactions`."""


def uses(slow_queries: pd.DataFrame) -> pd.DataFrame:
    """Sum the logged statements of each connection. Results of several days can be concatenated.

    Parameters
    ----------
    slow_queries : DataFrame
        Rows of the table `slow_queries` with the columns `RUNS`.

    Returns
    -------
    DataFrame
        `user, instance, thread_id, start, end` (UTC), `statements` and `busy`, their total length.
    """
    known = slow_queries[slow_queries["thread_id"].notna() & slow_queries["user"].notna()]
    known = known.astype({"user": str, "instance": str})
    lengths = known.assign(busy=known["ended_at"] - known["started_at"])
    return lengths.groupby(CONNECTION, as_index=False).agg(
        start=("started_at", "min"),
        end=("ended_at", "max"),
        statements=("busy", "size"),
        busy=("busy", "sum"),
    )


def habits(used: pd.DataFrame) -> pd.DataFrame:
    """Describe how each user's logged statements use connections.

    The log has slow statements only, so a connection may have run more. `keeps connections` is therefore certain, and
    `one connection per run` means only that no two logged statements of a connection lie apart.

    Parameters
    ----------
    used : DataFrame
        The result of `uses`; several days are summed.

    Returns
    -------
    DataFrame
        `user, instance, connections, statements, statements_per_connection, longest_open_h` (time between the first and the
        last logged statement of one connection [h]) and `habit` (`keeps connections`, `one connection per run` or
        `unclear`); most connections first.
    """
    sums = {"start": "min", "end": "max", "statements": "sum", "busy": "sum"}
    threads = used.groupby(CONNECTION, as_index=False).agg(sums)
    opened = threads["end"] - threads["start"]
    threads["kept"] = threads["statements"].where((opened >= KEPT) & (threads["statements"] > 1), 0)
    threads["brief"] = threads["statements"].where(opened - threads["busy"] <= BRIEF, 0)
    threads["open_h"] = opened.dt.total_seconds() / 3600
    grouped = threads.groupby(["user", "instance"], as_index=False).agg(
        connections=("thread_id", "size"),
        statements=("statements", "sum"),
        kept=("kept", "sum"),
        brief=("brief", "sum"),
        longest_open_h=("open_h", "max"),
    )
    habit = pd.Series("unclear", index=grouped.index, dtype=object)
    many = grouped["connections"] >= CONNECTIONS_NEEDED
    habit = habit.mask(many & (grouped["brief"] >= MOST * grouped["statements"]), "one connection per run")
    habit = habit.mask(grouped["kept"] >= MOST * grouped["statements"], "keeps connections")
    per_connection = grouped["statements"] / grouped["connections"]
    found = grouped.assign(statements_per_connection=per_connection, habit=habit)
    return found[HABITS].sort_values("connections", ascending=False, ignore_index=True, kind="stable")


def idle_transactions(open_transactions: pd.DataFrame) -> pd.DataFrame:
    """Find transactions that live samples saw open while their session ran no statement.

    Parameters
    ----------
    open_transactions : DataFrame
        Rows of the table `open_transactions`.

    Returns
    -------
    DataFrame
        `user, host, client, instance, thread_id, started_at` (UTC), `idle_s` (age at the last idle sample [s]) and
        `has_read_view`; one row per transaction, the longest first.
    """
    idle = open_transactions[open_transactions["command"] == "Sleep"]
    age = (idle["time"] - idle["started_at"]).dt.total_seconds()
    oldest = idle.assign(idle_s=age).sort_values("idle_s", kind="stable")
    last = oldest.drop_duplicates(["instance", "thread_id", "started_at"], keep="last")
    return last[IDLE].sort_values("idle_s", ascending=False, ignore_index=True, kind="stable")
