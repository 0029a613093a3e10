"""Bulk extracts and long unoptimised queries in the slow log, and their share of an instance's load."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aurora_analysis import engines
from aurora_analysis.analysis.advice import batches
from aurora_analysis.analysis.costliest import owner, statement_text
from aurora_analysis.analysis.verdict import Figure, Severity, Verdict, duration, large, three_digits
from aurora_analysis.engines.vocabulary import Words
from aurora_analysis.window import Window

RUNS = ["started_at", "ended_at", "instance", "user", "digest", "query_time_s", "rows_sent", "rows_examined"]
RUNS += ["extras"]
"""The columns of `slow_queries` that `costs` reads."""

GIGABYTE = 1e9

GROUP = ["instance", "role", "user", "digest"]
"""Costs are summed by these columns."""

BYTES_SENT = r'"Bytes_sent": ?"?(\d+)'
"""The field of the log's extras (log_slow_extra = ON) that counts the bytes sent to the client."""

PRACTICE_ACTIONS = {
    "bulk extract": "Read the rows from a clone, a snapshot export or a dedicated replica, in batches by key.",
    "long unoptimised query": "Check its execution plan: an index, a summary table or a narrower range may help.",
}
"""Practice → first action."""


@dataclass(frozen=True)
class PracticeRules:
    """Limits beyond which a statement counts as a bad practice.

    Parameters
    ----------
    bulk_rows : float
        An execution that sends at least this many rows is an extract: no page or dashboard shows so many.
    long_s : float
        An execution of at least this length is long: no one waits so long in front of a screen [s].
    wasted : float
        Rows examined per row sent from which an index or a summary table is missing.
    coverage_needed : float
        With a smaller observed share of an instance's load the share of a practice in it is unknown [0 to 1].
    """

    bulk_rows: float = 100_000
    long_s: float = 60.0
    wasted: float = 1000.0
    coverage_needed: float = 0.5


def costs(slow_queries: pd.DataFrame, roles: pd.Series, window: Window) -> pd.DataFrame:
    """Sum what the executions of each statement took, by instance, role and user.

    Sums of several days can be concatenated and passed to `practices`.

    Parameters
    ----------
    slow_queries : DataFrame
        Rows of the table `slow_queries` with the columns `RUNS` that overlap the window.
    roles : Series of str
        The role of each row's instance at its time.
    window : Window
        The window; time outside of it is not counted as open.

    Returns
    -------
    DataFrame
        `instance, role, user, digest, executions, open_s` (inside the window [s]), `longest_s, query_time_s` [s],
        `rows_sent, rows_examined`, `bytes_sent` (of the executions that log it) and `bytes_known`, the number of these.
    """
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    until, since = slow_queries["ended_at"], slow_queries["started_at"]
    opened = until.where(until < end, end) - since.where(since > start, start)
    runs = slow_queries.assign(
        role=roles.fillna(""),
        open_s=opened.dt.total_seconds().clip(lower=0),
        bytes_sent=_bytes_sent(slow_queries),
    )
    grouped = runs.groupby(GROUP, as_index=False, dropna=False).agg(
        executions=("open_s", "size"),
        open_s=("open_s", "sum"),
        longest_s=("query_time_s", "max"),
        query_time_s=("query_time_s", "sum"),
        rows_sent=("rows_sent", "sum"),
        rows_examined=("rows_examined", "sum"),
        bytes_sent=("bytes_sent", "sum"),
        bytes_known=("bytes_sent", "count"),
    )
    return grouped.astype(dict.fromkeys(grouped.select_dtypes("category"), str))


def _bytes_sent(slow_queries: pd.DataFrame) -> pd.Series:
    """The bytes that each execution sent [bytes]; NaN where the log does not count them."""
    logged = slow_queries["extras"].dropna().astype(str)
    return logged.str.extract(BYTES_SENT, expand=False).astype(float).reindex(slow_queries.index)


def practices(
    costs: pd.DataFrame, profiles: pd.DataFrame, window: Window, rules: PracticeRules = PracticeRules()
) -> pd.DataFrame:
    """Find bad practices in the slow log, with their cost.

    A `bulk extract` sends many rows on average. A `long unoptimised query` runs long on a reader and examines many rows
    for each row that it sends; on the writer it may be a write, which sends none.

    Parameters
    ----------
    costs : DataFrame
        The result of `costs`; several days are summed.
    profiles : DataFrame
        The result of `profile`.
    window : Window
        The window that the costs cover.
    rules : PracticeRules
        When a statement counts.

    Returns
    -------
    DataFrame
        `practice, user, instance, role, digest, executions, open_hours` [h], `longest_min` [min], `rows_sent,
        rows_examined` (means per execution), `bytes_sent` (mean; NaN if not logged [bytes]), `active_sessions` and `load_pct`, their share of the instance's load [%; NaN
        without db load]; most open hours first.
    """
    sums = costs.groupby(GROUP, as_index=False, dropna=False)
    grouped = sums.sum().assign(longest_s=sums["longest_s"].max()["longest_s"])
    means = ["rows_sent", "rows_examined", "query_time_s"]
    grouped[means] = grouped[means].div(grouped["executions"], axis=0)
    grouped["bytes_sent"] = grouped["bytes_sent"] / grouped["bytes_known"].where(grouped["bytes_known"] > 0)
    grouped["practice"] = _practices(grouped, rules)
    sessions = grouped["open_s"] / window.duration.total_seconds()
    observed = profiles[profiles["coverage"] >= rules.coverage_needed].set_index("instance")["mean_sessions"]
    load = grouped["instance"].map(observed).astype(float)
    found = grouped.assign(
        open_hours=grouped["open_s"] / 3600,
        longest_min=grouped["longest_s"] / 60,
        active_sessions=sessions,
        load_pct=100 * sessions / load,
    )
    columns = ["practice", "user", "instance", "role", "digest", "executions", "open_hours", "longest_min"]
    columns += ["rows_sent", "rows_examined", "bytes_sent", "active_sessions", "load_pct"]
    ordered = found[found["practice"] != ""].sort_values("open_hours", ascending=False, ignore_index=True)
    return ordered[columns]


def _practices(grouped: pd.DataFrame, rules: PracticeRules) -> np.ndarray:
    """The name of each row's practice, or an empty string."""
    examined_per_row_sent = grouped["rows_examined"] / grouped["rows_sent"].clip(lower=1)
    holds = {
        "bulk extract": grouped["rows_sent"] >= rules.bulk_rows,
        "long unoptimised query": (grouped["role"] == "reader")
        & (grouped["query_time_s"] >= rules.long_s)
        & (examined_per_row_sent >= rules.wasted),
    }
    return np.select([rule.to_numpy(bool) for rule in holds.values()], list(holds), "")


def practice_verdicts(
    found: pd.DataFrame,
    fingerprints: pd.DataFrame,
    *,
    words: Words | None = None,
    watch_pct: float = 10.0,  # a tenth of an instance's load is worth a look
    most: int = 5,
) -> list[Verdict]:
    """Judge each practice of each user by its share of the load.

    Parameters
    ----------
    found : DataFrame
        The result of `practices`.
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.
    words : Words, optional
        The engine's words for cleanup. Default: those of MySQL.
    watch_pct : float
        From this share of an instance's load on the severity is `watch` [%].
    most : int
        Largest number of verdicts.

    Returns
    -------
    list of Verdict
        The costliest first; `unknown` if the load of an instance is unknown and no other share reaches `watch_pct`.
    """
    groups = found.groupby(["user", "practice"], sort=False)
    words = words or engines.words(engines.DEFAULT)
    return [
        _practice(str(user), str(name), rows, fingerprints, words, watch_pct=watch_pct)
        for (user, name), rows in groups
    ][:most]


def _practice(
    user: str,
    practice: str,
    rows: pd.DataFrame,
    fingerprints: pd.DataFrame,
    words: Words,
    *,
    watch_pct: float,
) -> Verdict:
    executions, hours = int(rows["executions"].sum()), rows["open_hours"].sum()
    statement = _statement(rows, fingerprints)
    heaviest = rows.sort_values("load_pct", ascending=False).iloc[0]
    each = np.average(rows[["rows_examined", "rows_sent"]], axis=0, weights=rows["executions"])
    share = heaviest["load_pct"]
    cost = "" if np.isnan(share) else f"; {share:.0f} % of the load of {heaviest['instance']}"
    severity: Severity = (
        "watch" if share >= watch_pct else "unknown" if rows["load_pct"].isna().any() else "ok"
    )
    return Verdict(
        "db_load",
        user,
        practice,
        severity,
        f"{user}: {executions} × {practice} on {', '.join(sorted(set(rows['instance'])))}, open for "
        f"{duration(3600 * hours)} in all and {duration(60 * rows['longest_min'].max())} at most; a run examines "
        f"{each[0]:,.0f} rows and sends {each[1]:,.0f} on average{cost}. {_sent(rows, words)} While a statement is open, its {words.view} may block {words.cleanup}.",
        {"executions": executions, "open_hours": round(float(hours), 2)},
        "the table of practices; the notebook reader_impact shows whether it slowed the writer",
        "Nothing urgent: its share of the load is small." * (severity == "ok")
        or _action(practice, each, 3600 * hours / executions),
        f"{owner(user, statement)} ran {_times(executions)} as a {practice}, {duration(3600 * hours)} in all",
        statement,
    )


def _sent(rows: pd.DataFrame, words: Words) -> str:
    """State what all runs sent: rows, and bytes where the log counts them."""
    total = (rows["rows_sent"] * rows["executions"]).sum()
    size = (rows["bytes_sent"] * rows["executions"]).sum(min_count=len(rows))
    if np.isnan(size):
        setting = f" ({words.log_bytes})" * bool(words.log_bytes)
        return f"They sent {large(total)} rows in all; the log does not count bytes{setting}."
    return f"They sent {large(total)} rows and {three_digits(size / GIGABYTE)} GB in all."


def _action(practice: str, each: np.ndarray, run_s: float) -> str:
    """The practice's action, with the rows and the duration of a run (means)."""
    examined, sent = each
    if practice == "bulk extract":
        return f"{PRACTICE_ACTIONS[practice]} {batches(sent, run_s)}".rstrip()
    return f"It examines {large(examined / max(sent, 1))} rows for each row that it sends. {PRACTICE_ACTIONS[practice]}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _statement(rows: pd.DataFrame, fingerprints: pd.DataFrame) -> dict[str, Figure]:
    """The statement with the most open hours; the log's sums have no single runs, so the last run is unknown."""
    hours = rows.groupby("digest")["open_hours"].sum().sort_values(kind="stable")
    own = rows[rows["digest"] == hours.index[-1]]
    return {
        "digest": str(hours.index[-1]),
        "text": statement_text(str(hours.index[-1]), fingerprints),
        "instance": ", ".join(sorted(set(own["instance"]))),
        "runs": int(own["executions"].sum()),
        "total_s": round(3600 * float(hours.iloc[-1]), 1),
        "longest_s": round(60 * float(own["longest_min"].max()), 1),
        "share": round(float(hours.iloc[-1] / hours.sum()), 4) if hours.sum() else 1.0,
    }
