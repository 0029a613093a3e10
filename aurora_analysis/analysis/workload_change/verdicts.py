"""Verdicts on change: one per role and one on its statements, against usual weeks and against siblings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.db_load import MOVES
from aurora_analysis.analysis.verdict import SEVERITIES, Severity, Verdict, by_severity, signed, three_digits
from aurora_analysis.analysis.workload_change.comparison import typical_group
from aurora_analysis.analysis.workload_change.hours import UNITS
from aurora_analysis.analysis.workload_change.weekly_variation import WEEKS_NEEDED


def verdicts(
    found: pd.DataFrame,
    moved: pd.DataFrame,
    *,
    against: str = "the previous window",
    slower_pct: float = 20.0,
    heavy_pct: float = 10.0,
) -> list[Verdict]:
    """Conclude what changed: one verdict per role and one on the statements, most severe first.

    Parameters
    ----------
    found : DataFrame
        Result of `changes`.
    moved : DataFrame
        Result of `db_load.moves`.
    against : str
        The other window in words, such as its dates.
    slower_pct : float, default 20
        A latency that rose by at least this needs action [%]; a smaller change is to be watched.
    heavy_pct : float, default 10
        A new digest with at least this share of the load is to be watched [%].

    Returns
    -------
    list of Verdict
        Levels `changed`, `ordinary` (weeks usually differ so), `no material change`, `inconclusive` (unusual, but not
        on all of its days, or too small) and `unknown`; for the statements also `changed against siblings`, and
        `new statement`, which needs no statistics.
    """
    roles = found[(found["digest"] == "") & found["change_pct"].notna()].groupby("role")
    by_role = [_role_verdict(str(role), rows.to_dict("records"), against, slower_pct) for role, rows in roles]
    of_statements = found[found["digest"] != ""]
    statements = _statements_verdict(
        of_statements, moved, against, slower_pct=slower_pct, heavy_pct=heavy_pct
    )
    return by_severity([*by_role, statements])


Row = Mapping[Hashable, Any]

APART = "changed against siblings"

ACTIONS = {
    "changed": "Look at the statements that changed or are new, and at the settings that changed at the same time.",
    APART: "Check the plans and releases of the statements that moved while their siblings did not.",
    "new statement": "Find the release that introduced it, and check whether its load is intended.",
    "inconclusive": "Look at single days: the week is unusual as a whole, but not on each of its days.",
    "unknown": f"Keep fetching: from {WEEKS_NEEDED} weeks on, a change can be distinguished from an ordinary week.",
    "ordinary": "Nothing to do.",
    "no material change": "Nothing to do.",
}

FASTER_ACTION = "Nothing urgent: note what made it faster."
SMALL_ACTION = "Compare again next week: the move is unusual, but too small to count."
NO_EARLIER_ACTION = "Fetch the same hours of earlier weeks: without them a change cannot be distinguished."
FEW_DAYS_ACTION = "Compare a window with more days: these are too few for an interval."
NO_STATISTICS_ACTION = (
    "Fetch the statement statistics of both windows: without them no statement can be compared."
)


def _action(row: Row) -> str:
    """The first thing to do about one subject's change, by the reason for its level."""
    level, enough = row["level"], row["weeks"] >= WEEKS_NEEDED
    if level == "unknown" and enough:
        return NO_EARLIER_ACTION if np.isnan(row["unusual_pct"]) else FEW_DAYS_ACTION
    ways = {np.sign(row[name]) for name in ("low_pct", "high_pct", "change_pct", "unusual_pct")}
    if level == "inconclusive" and len(ways) == 1:
        return SMALL_ACTION
    return ACTIONS[level]


STATEMENTS_HEADLINES = {
    "changed": "Statements changed beyond their usual weekly variation",
    APART: "Statements changed while their siblings did not",
    "new statement": "A new statement takes a heavy share of the load",
    "inconclusive": "Inconclusive whether statements changed",
    "unknown": "Unknown whether statements changed",
    "ordinary": "Statements are within their usual weekly variation",
    "no material change": "No statement changed materially",
}

MOVE_WORDS = {
    "new": "new",
    "back": "back",
    "vanished": "no longer listed",
    "up": "clearly up",
    "down": "clearly down",
}

RANK = {
    level: rank
    for rank, level in enumerate(["changed", "inconclusive", "unknown", "ordinary", "no material change"])
}
CALM = ("ordinary", "no material change")
NUMBERS = ["before", "now", "change_pct", "low_pct", "high_pct", "unusual_pct", "p_adjusted", "weeks"]


def _role_verdict(role: str, rows: Sequence[Row], against: str, slower_pct: float) -> Verdict:
    """Verdict of the most notable metric; the levels of the others are counted."""
    worst, *others = sorted(rows, key=lambda row: (RANK[row["level"]], -abs(row["change_pct"])))
    counts = Counter(row["level"] for row in others)
    other_levels = ", ".join(f"{level} ({count})" for level, count in counts.items())
    severity = _severity(worst, slower_pct)
    return Verdict(
        "workload_change",
        role,
        worst["level"],
        severity,
        f"{role}: {_change_sentence(worst, against)}"
        + f" Levels of its other key metrics: {other_levels}." * bool(others),
        {"metric": worst["measure"]} | {name: _number(worst[name]) for name in NUMBERS},
        "the table of changes",
        FASTER_ACTION if worst["level"] == "changed" and severity == "ok" else _action(worst),
        _role_headline(role, worst),
    )


def _role_headline(role: str, row: Row) -> str:
    role = "the writer" if role == "writer" else role
    measure = row["measure"].replace("_", " ")
    if row["level"] == "changed":
        return f"The {measure} of {role} changed by {signed(row['unusual_pct'])} % against usual weeks"
    return {
        "ordinary": f"The workload of {role} is within its usual weekly variation",
        "no material change": f"The workload of {role} did not change materially",
        "inconclusive": f"Inconclusive whether the {measure} of {role} changed",
        "unknown": f"Unknown whether the workload of {role} changed",
    }[row["level"]]


def _change_sentence(row: Row, against: str) -> str:
    """One subject's change as a sentence."""
    interval = "too few days for an interval" if np.isnan(row["low_pct"]) else _interval(row, "")
    return (
        f"{row['measure'].replace('_', ' ')} went from {three_digits(row['before'])} to {three_digits(row['now'])} "
        f"{_unit(row['measure'])}, {signed(row['change_pct'])} % against {against} ({interval}), over {row['hours_matched']} hours matched by "
        f"{row['matched_by']}; {_against_weeks(row)}"
    )


def _unit(measure: str) -> str:
    """Unit of a measure after a number in a sentence."""
    return {"1/s": "per second", "calls/h": "calls per hour"}.get(UNITS[measure], UNITS[measure])


def _interval(row: Row, move: str, of: str = "") -> str:
    """The 95 % confidence interval of a change or of a move, such as `unusual_` [%]."""
    return (
        f"95 % confidence interval{of} {signed(row[f'{move}low_pct'])} to {signed(row[f'{move}high_pct'])} %"
    )


def _against_weeks(row: Row) -> str:
    if row["weeks"] < WEEKS_NEEDED:
        return f"the week-to-week variation is unknown (the store has {row['weeks']} of the {WEEKS_NEEDED} weeks needed)."
    if np.isnan(row["unusual_pct"]):
        return "no earlier week covers these hours."
    p = "< 0.001" if row["p_adjusted"] < 0.001 else f"{row['p_adjusted']:.2g}"
    # The decision is corrected for the number of subjects, the interval is not.
    surprising = row["unusual_low_pct"] > 0 or row["unusual_high_pct"] < 0
    alone = " of this figure alone" if surprising and row["level"] != "changed" else ""
    against = (
        f"that is {signed(row['unusual_pct'])} % ({_interval(row, 'unusual_', alone)}) against ordinary weeks, which vary by "
        f"{row['spread_pct']:.0f} % (adjusted p {p}, {row['weeks']} weeks)"
    )
    if row["level"] == "changed":
        return f"{against}."
    return f"{against}; changes of at least {row['detectable_pct']:.0f} % are found 4 times in 5."


def _severity(row: Row, slower_pct: float) -> Severity:
    """Only a change is more than `ok`; only latency that rose much needs action."""
    if row["level"] != "changed" and not row["apart"]:
        return "ok" if row["level"] in CALM else "unknown"
    if not row["measure"].endswith("latency"):
        return "watch"
    moved = row["unusual_pct"] if row["level"] == "changed" else row["apart_pct"]
    if moved < 0:
        return "ok"
    return "act" if moved >= slower_pct else "watch"


def _statements_verdict(
    rows: pd.DataFrame, moved: pd.DataFrame, against: str, *, slower_pct: float, heavy_pct: float
) -> Verdict:
    changed, apart = rows[rows["level"] == "changed"], rows[rows["apart"]]
    heavy = moved[moved["move"].isin(["new", "back"]) & (moved["share_pct"] >= heavy_pct)]
    level = _statements_level(rows, changed, apart, heavy)
    both = pd.concat([changed, apart]).to_dict("records")
    severities = [_severity(row, slower_pct) for row in both] + ["watch"] * len(heavy)
    calm: Severity = "ok" if level in CALM else "unknown"
    severity = min(severities, key=SEVERITIES.index) if severities else calm
    counts = {move: int((moved["move"] == move).sum()) for move in MOVES}
    digests = {"digests": rows, "changed": changed, "apart": apart}
    numbers = {name: part["digest"].nunique() for name, part in digests.items()} | counts
    sentence = f"{_changed_sentence(rows, changed, apart, against)} {_moves_sentence(counts, moved, heavy)}"
    evidence = "the tables of changes and of ranks"
    return Verdict(
        "workload_change",
        "statements",
        level,
        severity,
        sentence,
        numbers,
        evidence,
        NO_STATISTICS_ACTION if rows.empty and level == "unknown" else ACTIONS[level],
        STATEMENTS_HEADLINES[level],
    )


def _statements_level(
    rows: pd.DataFrame, changed: pd.DataFrame, apart: pd.DataFrame, heavy: pd.DataFrame
) -> str:
    """Most notable level of the statements that ran on enough days."""
    if len(changed) or len(apart):
        return "changed" if len(changed) else APART
    if len(heavy):
        return "new statement"
    return min(rows.loc[rows["low_pct"].notna(), "level"], key=RANK.__getitem__, default="unknown")


def _changed_sentence(rows: pd.DataFrame, changed: pd.DataFrame, apart: pd.DataFrame, against: str) -> str:
    if rows.empty:
        return f"No statement has statistics both in the window and in {against}."
    compared, weeks = rows["digest"].nunique(), rows["weeks"].max()
    if weeks < WEEKS_NEEDED:
        return (
            f"{_statements(compared)} {_were(compared)} compared with {against}; the week-to-week variation is unknown "
            f"(the store has {weeks:.0f} of the {WEEKS_NEEDED} weeks needed), so no statement can be called changed."
        )
    text = f"{changed['digest'].nunique()} of {_statements(compared)} changed beyond ordinary weeks"
    text = f"{text}{_named(changed, 'unusual')}.{_common_sentence(rows, apart)}"
    return f"{text} {_detectable_sentence(rows)}".rstrip()


def _statements(count: int) -> str:
    return f"{count} statement" + "s" * (count != 1)


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _named(rows: pd.DataFrame, move: str) -> str:
    """The three statements that moved most, with their intervals."""
    most = rows.sort_values(f"{move}_pct", key=np.abs, ascending=False).head(3).to_dict("records")
    named = [
        f"{row['digest']} on {row['role']}: {row['measure']} {signed(row[f'{move}_pct'])} %, {_interval(row, f'{move}_')}"
        for row in most
    ]
    return f" ({'; '.join(named)})" if named else ""


def _common_sentence(rows: pd.DataFrame, apart: pd.DataFrame) -> str:
    """State how many statements moved against their siblings, and the largest common move."""
    together = typical_group(rows).to_dict("records")
    if not together:
        return ""
    most = max(together, key=lambda row: abs(row["alike_pct"]))
    return (
        f" {_statements(apart['digest'].nunique())} changed against siblings{_named(apart, 'apart')}; the largest common "
        f"move of siblings was {most['measure']} {signed(most['alike_pct'])} % ({_interval(most, 'alike_')}) "
        f"on {most['role']}."
    )


def _detectable_sentence(rows: pd.DataFrame) -> str:
    """State how large a change had to be to be found: absence of evidence is not evidence of absence."""
    known = rows["detectable_pct"].dropna()
    if known.empty:
        return ""
    half, most = known.quantile([0.5, 0.9])
    return (
        f"Changes of at least {half:.0f} % are found 4 times in 5 in half of the statements, changes of at least "
        f"{most:.0f} % in nine of ten."
    )


def _moves_sentence(counts: Mapping[str, int], moved: pd.DataFrame, heavy: pd.DataFrame) -> str:
    """Name the moves in the ranking by load; moves without a statement are left out."""
    if moved["rank_before"].isna().all():
        return "The earlier window has no load by statement to rank against."
    counted = {MOVE_WORDS[move]: count for move, count in counts.items() if count}
    named = ", ".join(f"{row['digest']} with {row['share_pct']:.0f} %" for row in heavy.to_dict("records"))
    heavy_shares = f" New or returned with a heavy share of the load: {named}." if named else ""
    return _ranking(counted) + heavy_shares


def _ranking(counted: Mapping[str, int]) -> str:
    """State how many statements moved in the ranking by load, by the word of the move."""
    if not counted:
        return "No statement's rank by load moved."
    clauses = [f"{count} {'is' if count == 1 else 'are'} {word}" for word, count in counted.items()]
    first = next(iter(counted.values()))
    clauses[0] = clauses[0].replace(str(first), _statements(first), 1)
    *head, last = clauses
    return f"In the ranking by load, {', '.join(head)}{' and ' * bool(head)}{last}."


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
