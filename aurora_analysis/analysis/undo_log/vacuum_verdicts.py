"""Give verdicts on vacuum: who held the xmin horizon, how old it became, how many dead rows stayed, and what to do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aurora_analysis.analysis.advice import SNAPSHOTS, by_idle_time
from aurora_analysis.analysis.costliest import costliest, owner
from aurora_analysis.analysis.series import period_s
from aurora_analysis.analysis.undo_log import dead_rows
from aurora_analysis.analysis.undo_log.episodes import growth_by_blocker
from aurora_analysis.analysis.undo_log.horizon import EXACT, KINDS
from aurora_analysis.analysis.undo_log.vacuum import Vacuum
from aurora_analysis.analysis.undo_log.verdicts import Thresholds, blocker_numbers
from aurora_analysis.analysis.verdict import Severity, Verdict, duration, large, moment
from aurora_analysis.analysis.workloads import IDLE, distinct
from aurora_analysis.engines.certainty import Certainty, certainty
from aurora_analysis.window import Window

TOPIC = "undo_log"

KIND_ACTIONS = {
    "xmin_age_readers": "Run aurora-analysis watch while it lasts: it reads each reader's sessions and names the one. Fetch the "
    "readers' logs, with log_min_duration_statement at 10 s or less.",
    "xmin_age_writer": "Look for sessions of the writer that are idle in a transaction (pg_stat_activity), and set "
    "idle_in_transaction_session_timeout; aurora-analysis watch names the session.",
    "xmin_age_prepared": "Look for it in pg_prepared_xacts, and end it with COMMIT PREPARED or ROLLBACK PREPARED.",
    "xmin_age_slots": "Look in pg_replication_slots for the slot with the oldest xmin or catalog_xmin: let its consumer catch up, "
    "or drop it.",
}
ACTIONS = {f"({meaning})": KIND_ACTIONS[kind] for kind, meaning in KINDS.items()} | {
    "unknown": "Run aurora-analysis watch, or fetch the counters db.Transactions.oldest_*_xid_age of the writer.",
    "outrun": "Lower autovacuum_vacuum_scale_factor or autovacuum_vacuum_cost_delay for these tables, or give autovacuum more "
    "workers.",
    "tables": "Run aurora-analysis watch, which samples each table's dead rows, or set log_autovacuum_min_duration to 0 and "
    "fetch the log.",
    "kinds": "Fetch the writer's Performance Insights counters db.Transactions.oldest_*_xid_age, or run aurora-analysis watch "
    "with a user in pg_monitor.",
}

BY_ID = "The transaction id that its session needed equals the xmin horizon, sample by sample"
BY_START = (
    "Inferred: the horizon's transaction id was handed out when the logged statement began, and the horizon moved on when it "
    "ended"
)
BY_KIND = "The age of the oldest transaction id, which the writer counts for each kind of holder"

OUTRUN_S = 120.0
"""Vacuum trails if some table is overdue for at least this long [s]: two rounds of autovacuum at its default of 60 s."""


@dataclass(frozen=True)
class Context:
    """Facts that a verdict sentence needs in addition to the data frames.

    Attributes
    ----------
    window : Window
        The window of the report.
    fingerprints : DataFrame
        Texts of the statements: `digest, fingerprint`.
    timezone : str
        Time zone of the sentences' times.
    """

    window: Window
    fingerprints: pd.DataFrame
    timezone: str = "UTC"


def verdicts(found: Vacuum, context: Context, thresholds: Thresholds) -> list[Verdict]:
    """Conclude who blocked vacuum, one verdict per holder, most growth first, and whether vacuum kept up otherwise.

    Parameters
    ----------
    found : Vacuum
        What the window shows of vacuum.
    context : Context
        The window, the statements' texts and the reader's time zone.
    thresholds : Thresholds
        Limits of severity, coverage and relevance; here the age of the horizon plays the history list's part.

    Returns
    -------
    list of Verdict
        Levels `blocked`, `outrun`, `unknown` and `healthy`; `healthy` only where every kind of holder and the tables are known.
    """
    age = found.horizon.age
    coverage = (
        context.window.coverage(pd.DatetimeIndex(age.index), period_s(age.index)) if len(age) > 1 else 0.0
    )
    blockers = growth_by_blocker(found.spans)
    relevant = (blockers["share"] >= thresholds.share_needed) | (blockers["peak_length"] >= thresholds.watch)
    judged = [
        _verdict(row, found, context, (coverage, thresholds))
        for row, is_relevant in zip(blockers.to_dict("records"), relevant)
        if is_relevant or dead_rows.sentence(_left_by(found, row))
    ]
    judged += _outrun(found, coverage)
    if coverage < thresholds.coverage_needed:
        return [*judged, _uncovered(coverage, thresholds.coverage_needed)]
    missing = found.horizon.unknown_kinds(thresholds.coverage_needed)
    if missing:
        return [*judged, _unknown_kinds(missing, coverage)]
    if judged:
        return judged
    if found.tables_known < thresholds.coverage_needed:
        return [_unknown_tables(age, coverage)]
    return [_healthy(found, coverage)]


def _verdict(
    row: Mapping[Hashable, Any],
    found: Vacuum,
    context: Context,
    limits: tuple[float, Thresholds],
) -> Verdict:
    """Return the verdict on one holder. `limits` are the coverage and the thresholds."""
    coverage, thresholds = limits
    left = _left_by(found, row)
    severity = dead_rows.weighed(thresholds.severity(row["peak_length"], found.base, coverage), left)
    numbers = blocker_numbers(row, coverage)
    dead = _dead_rows(found, row)
    if pd.notna(dead):
        numbers["dead_rows"] = round(dead)
    stayed = f"{_left(dead)}{dead_rows.sentence(left)}"
    reached = f"the xmin horizon became {large(row['peak_length'])} transactions old"
    if row["state"] == "unknown":
        return Verdict(
            TOPIC,
            "sessions in no sample",
            "unknown",
            "unknown",
            f"{_grown('Something', row)}{stayed} No counter, sample or log names what held the horizon. "
            f"{_observed(coverage)}",
            numbers,
            "the age of the xmin horizon",
            ACTIONS["unknown"],
            f"Vacuum was blocked; {reached}, and the holder is unknown",
        )
    if row["workload"] in ACTIONS:
        who = row["workload"].strip("()")
        where = "" if pd.isna(row["instance"]) else f" ({row['instance']})"
        return Verdict(
            TOPIC,
            f"{who}{where}",
            "blocked",
            severity,
            f"{_grown(f'{who[0].upper()}{who[1:]}{where}', row)}{stayed} {_observed(coverage)}",
            numbers,
            BY_KIND,
            ACTIONS[row["workload"]],
            f"{who[0].upper()}{who[1:]}{where} blocked vacuum for {duration(row['held_s'])}; {reached}",
        )
    return _named(row, found, context, severity, numbers, f"{stayed} {_observed(coverage)}")


def _named(
    row: Mapping[Hashable, Any],
    found: Vacuum,
    context: Context,
    severity: Severity,
    numbers: dict[str, Any],
    rest: str,
) -> Verdict:
    """Name a workload on an instance, with its costliest statement and the confidence in the name."""
    subject = f"{row['workload']} on {row['instance']}"
    sure = float(found.sureness["confidence"].get(subject, EXACT))
    numbers["confidence"] = round(sure, 2)
    runs = found.runs
    mine = runs[
        (runs["workload"] == row["workload"])
        & (runs["instance"] == row["instance"])
        & (runs["digest"] == row["digest"])
    ]
    statement = costliest(distinct(mine), context.fingerprints, context.window, context.timezone)
    what = "it was idle in a transaction" if row["digest"] == IDLE else f"statement {row['digest']}"
    process = "" if pd.isna(row["thread_id"]) else f"process {row['thread_id']:.0f}, "
    which = "That snapshot" if row["spans"] == 1 else "The snapshot with the most growth"
    began = f"{which} began at {moment(row['since'], context.timezone, seconds=True)} ({process}{what})."
    tied = _tied(found, row)
    headline = (
        f"{owner(row['workload'], statement)} on {row['instance']} blocked vacuum for {duration(row['held_s'])}; "
        f"the xmin horizon became {large(row['peak_length'])} transactions old"
    )
    probably = certainty(sure) is not Certainty.CERTAIN
    return Verdict(
        TOPIC,
        subject,
        "blocked",
        severity,
        f"{f'Probably ({sure:.2f}) ' * probably}{_grown(subject, row)} {began}{tied}{rest}",
        numbers,
        BY_ID if sure > (1 + EXACT) / 2 - 0.02 else BY_START,
        by_idle_time(SNAPSHOTS[True], "snapshot", row["idle_share"]),
        f"{f'Probably ({sure:.2f}) ' * probably}{headline}",
        statement,
    )


def _grown(who: str, row: Mapping[Hashable, Any]) -> str:
    times = {1: "once", 2: "twice"}.get(row["spans"], f"{row['spans']} times")
    lasted = f"{times}, for {duration(row['held_s'])}{' in all' * (row['spans'] > 1)}"
    return (
        f"{who} held the xmin horizon {lasted}, while its age grew by {row['growth']:,.0f} transactions "
        f"({100 * row['share']:.0f} % of its growth in all episodes) and reached {row['peak_length']:,.0f}."
    )


def _left(dead: float) -> str:
    return "" if pd.isna(dead) else f" Up to {dead:,.0f} dead rows stayed meanwhile."


def _tied(found: Vacuum, row: Mapping[Hashable, Any]) -> str:
    """Word how many other sessions needed the same id: vacuum continues only after all of them have ended."""
    view = found.attribution.oldest_view
    most = max((int(view.loc[own.start : own.end, "tied"].max()) for own in _own(found, row)), default=0)
    if most < 2:
        return ""
    others = f"{most - 1} other session{'s' * (most > 2)}"
    return f" {others} needed the same transaction id: vacuum goes on only after all of them have ended."


def _own(found: Vacuum, row: Mapping[Hashable, Any]) -> Sequence[Any]:
    """The spans of a blocker."""
    spans = found.spans
    same = (spans["state"] == row["state"]) & (spans["workload"].fillna("") == _text(row["workload"]))
    same &= spans["instance"].fillna("") == _text(row["instance"])
    return [*spans[same].itertuples(index=False)]


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _dead_rows(found: Vacuum, row: Mapping[Hashable, Any]) -> float:
    """Return the most dead rows while a blocker held the horizon; NaN if unknown."""
    most = [found.dead_rows[own.start : own.end].max() for own in _own(found, row)]
    return float(pd.Series(most, dtype=float).max())


def _left_by(found: Vacuum, row: Mapping[Hashable, Any]) -> dead_rows.Left | None:
    """Return the table that gained most dead rows in a blocker's spans."""
    return dead_rows.most_left(found.tables, [(own.start, own.end) for own in _own(found, row)])


def _observed(coverage: float) -> str:
    return f"{100 * coverage:.0f} % of the window was observed."


def _outrun(found: Vacuum, coverage: float) -> list[Verdict]:
    """Return the verdict on tables that stayed overdue for long although nothing held the horizon; none without them."""
    rows = found.trailing
    if rows.empty:
        return []
    period = period_s(pd.DatetimeIndex(found.horizon.age.index)) if len(found.horizon.age) > 1 else 0.0
    lasted = period * rows["time"].nunique()
    if lasted < OUTRUN_S:
        return []
    most = rows.iloc[int(rows["dead_rows"].astype(float).argmax())]
    tables = rows["relation"].nunique()
    name = f"{most['relation']} in {most['database']}"
    others = f" {tables - 1} more table{'s' * (tables > 2)} trailed as well." if tables > 1 else ""
    return [
        Verdict(
            TOPIC,
            "vacuum",
            "outrun",
            "watch",
            f"Nothing held the xmin horizon, but vacuum could not keep up for {duration(lasted)}: {name} had up to "
            f"{most['dead_rows']:,.0f} dead rows.{others} {_observed(coverage)}",
            {
                "dead_rows": round(float(most["dead_rows"])),
                "tables": tables,
                "outrun_s": round(lasted),
                "coverage": round(coverage, 4),
            },
            "Live samples of the tables: more than three times the dead rows at which autovacuum is due, and no vacuum for two "
            "minutes",
            ACTIONS["outrun"],
            f"Writes outran vacuum on {name}",
        )
    ]


def _uncovered(coverage: float, needed: float) -> Verdict:
    return Verdict(
        TOPIC,
        "coverage",
        "unknown",
        "unknown",
        f"Only {100 * coverage:.0f} % of the window has an age of the xmin horizon ({100 * needed:.0f} % is needed). The rest of "
        "the window may have been different.",
        {"coverage": round(coverage, 4)},
        "the coverage table",
        ACTIONS["kinds"],
        f"Only {100 * coverage:.0f} % of the window has an age of the xmin horizon",
    )


def _unknown_kinds(missing: Sequence[str], coverage: float) -> Verdict:
    names = f"{', '.join(missing[:-1])} or {missing[-1]}" if len(missing) > 1 else missing[0]
    return Verdict(
        TOPIC,
        "holders",
        "unknown",
        "unknown",
        f"Whether {names} held the xmin horizon is unknown, because the window lacks the age of what these need. "
        f"{_observed(coverage)}",
        {"coverage": round(coverage, 4)},
        "the coverage table",
        ACTIONS["kinds"],
        f"Unknown whether {names} blocked vacuum",
    )


def _unknown_tables(age: pd.Series, coverage: float) -> Verdict:
    return Verdict(
        TOPIC,
        "vacuum",
        "unknown",
        "unknown",
        f"Nothing blocked vacuum: the xmin horizon was at most {age.max():,.0f} transactions old. Whether vacuum kept up is "
        f"unknown, because no sample has the tables' dead rows. {_observed(coverage)}",
        {"longest": round(float(age.max())), "coverage": round(coverage, 4)},
        "the age of the xmin horizon over time",
        ACTIONS["tables"],
        "Nothing blocked vacuum; whether it kept up is unknown",
    )


def _healthy(found: Vacuum, coverage: float) -> Verdict:
    age = found.horizon.age
    dead = found.dead_rows.max()
    rows = "" if pd.isna(dead) else f", and its tables had at most {dead:,.0f} dead rows"
    return Verdict(
        TOPIC,
        "vacuum",
        "healthy",
        "ok",
        f"Vacuum kept up: the xmin horizon was at most {age.max():,.0f} transactions old{rows}. {_observed(coverage)}",
        {"longest": round(float(age.max())), "coverage": round(coverage, 4)},
        "the age of the xmin horizon over time, and live samples of the tables",
        "Nothing to do.",
        "Vacuum kept up",
    )
