"""Word how well it is known when a workload ran: hours without a source, sessions that no log shows, queries that were ended."""

from __future__ import annotations

import pandas as pd

from aurora_analysis.analysis.workloads.exposure import Exposure


def remarks(name: str, exposure: Exposure | None) -> str:
    """Word what limits the knowledge of a workload's exposure.

    Parameters
    ----------
    name : str
        The workload.
    exposure : Exposure or None
        When each workload ran, and when that is unknown.

    Returns
    -------
    str
        Sentences; empty if the log shows all of it.
    """
    if exposure is None:
        return ""
    spans = exposure.unknown[exposure.unknown["workload"] == name]
    hours = (spans["end"] - spans["start"]).dt.total_seconds().sum() / 3600
    blind = exposure.unobserved()
    parts = [
        _only_live(name, exposure),
        _ended_early(exposure.unlogged.ended[exposure.unlogged.ended["workload"] == name]),
        f"Its exposure is unknown for {hours:,.1f} hours of the compared days, which are left out."
        * bool(hours),
        f"No source shows what ran on {', '.join(blind)}{_while_it_existed(exposure)}." * bool(blind),
    ]
    return " ".join(part for part in parts if part)


def _only_live(name: str, exposure: Exposure) -> str:
    if name not in exposure.unlogged.only_live:
        return ""
    return (
        "No log has a statement of it: its exposure comes from live samples, and between them it is unknown."
    )


def _ended_early(ended: pd.DataFrame) -> str:
    """Word how many of a workload's statements and sessions were ended early, and from when on their exposure counts."""
    if ended.empty:
        return ""
    conflicts, undated = int(ended["is_conflict"].sum()), int(ended["start"].isna().sum())
    count, one = len(ended), len(ended) == 1
    by_replay = "" if not conflicts else f" ({conflicts} by a recovery conflict)" if conflicts < count else ""
    cause = "by a recovery conflict" if conflicts == count else f"early{by_replay}"
    sentence = (
        f"{count} of its statements or sessions {'was' if one else 'were'} ended {cause}; "
        f"{'its' if one else 'their'} exposure counts until then."
    )
    if not undated:
        return sentence
    which = "The start" if one else f"The start of {undated}" if undated < count else "Their start"
    return (
        f"{sentence} {which} is in no log and no live sample, so the minutes before the end are left out, "
        "as many as its longest run has."
    )


def _while_it_existed(exposure: Exposure) -> str:
    """State how long readers without any source existed, if they came and went."""
    hours = (exposure.blind["end"] - exposure.blind["start"]).dt.total_seconds().sum() / 3600
    return f" (some existed for {hours:,.0f} hours only; their presence is held constant)" * bool(hours)
