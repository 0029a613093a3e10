"""Conclude for each fault and client whether it meets the objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from aurora_analysis.analysis.drill.outcomes import FEWEST_RUNS, outcomes
from aurora_analysis.analysis.verdict import Severity, Verdict, by_severity, duration, large, percent

TOPIC = "drill"

LEVELS: dict[str, Severity] = {
    "loses writes": "act",
    "misses the objective": "act",
    "cannot tell": "unknown",
    "reads a former writer": "watch",
    "meets the objective": "ok",
}
"""Level → severity; the first level that holds."""

CLIENTS = {
    "plain": "the plain driver with a DNS cache",
    "pool": "the connection pool",
    "topology": "the topology-aware client",
}

FAULTS = {
    "failover": "a failover",
    "crash": "a crash of the writer",
    "reader-restart": "a restart of the reader",
    "lag": "a replica lag",
    "disk": "a disk fault",
}

KEYS = {fault: f"{fault.replace('-', '_')}_s" for fault in FAULTS}
"""Fault → key of its objective in the settings."""

MISSES = {
    "plain": "Cache the endpoint's address for a few seconds only (JVM: networkaddress.cache.ttl), or use a "
    "topology-aware driver.",
    "pool": "Let the pool check that a connection accepts writes, not only that it answers, and replace connections "
    "sooner.",
    "topology": "Look at what the servers did: this client follows the writer as soon as there is one.",
}
LOSES = (
    "Find out why a confirmed write is gone: look at the replication's settings, and do not fail over to a replica that "
    "is behind."
)
READS_FORMER = (
    "Read what you have just written on a connection that is checked to be the writer's, or close all connections after a "
    "failover."
)
MEETS = "Nothing to do. Repeat the drill after a change of driver, pool or DNS settings."


def verdicts(rows: pd.DataFrame, objectives: Mapping[str, float]) -> list[Verdict]:
    """Conclude for each fault and client whether it meets the objective.

    Parameters
    ----------
    rows : DataFrame
        Rows of the table `drills`.
    objectives : mapping of str to float
        Fault → longest acceptable time [s].

    Returns
    -------
    list of Verdict
        One per fault, client and place, the most severe first; one `unknown` verdict if there was no drill.
    """
    if rows.empty:
        sentence = "No drill ran in this window, so nothing is known about failures."
        action = "Run `aurora-analysis drill failover` on a clone, or with --lab."
        headline = "No drill ran: how clients survive a failure is unknown"
        return [Verdict(TOPIC, "drill", "unknown", "unknown", sentence, action=action, headline=headline)]
    found = outcomes(rows, objectives)
    records = [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]
    return by_severity([_verdict(row) for row in records])


def level(row: dict[str, Any]) -> str:
    """Return the first level that holds for the runs of a fault and client.

    Parameters
    ----------
    row : dict
        A row of `outcomes`.

    Returns
    -------
    str
        One of LEVELS.
    """
    if row["writes_lost"]:
        return "loses writes"
    if row["missed"]:
        return "misses the objective"
    if _doubts(row):
        return "cannot tell"
    return "reads a former writer" if _has_old_reads(row) else "meets the objective"


def _has_old_reads(row: dict[str, Any]) -> bool:
    """Return whether reads after a failover or crash were old; after a fault of the reader the objective judges them."""
    return row["fault"] not in ("lag", "reader-restart") and bool(
        row["former_writer_reads"] or row["stale_reads"]
    )


def _doubts(row: dict[str, Any]) -> list[str]:
    """Reasons why the runs do not show that the objective is met; empty if they do."""
    runs, decided = row["runs"], row["met"] + row["missed"]
    reasons = []
    if pd.isna(row["objective_s"]):
        reasons.append(f"the settings have no {KEYS[row['fault']]} in [objectives]")
    if row["uncertain_runs"]:
        reasons.append(f"nothing shows that the fault took effect in {row['uncertain_runs']} of {runs} runs")
    if row["undecided"] and not pd.isna(row["objective_s"]):
        reasons.append(
            f"{row['undecided']} of {runs} runs ended before the client had recovered or the objective had passed"
        )
    if row["unchecked_runs"]:
        reasons.append(f"the writes of {row['unchecked_runs']} of {runs} runs could not be checked")
    if not row["writes_acknowledged"]:
        reasons.append("no write was acknowledged")
    if not reasons and decided < FEWEST_RUNS:
        reasons.append(f"{decided} run{'s' * (decided != 1)} may be luck, and {FEWEST_RUNS} are needed")
    return reasons


def _verdict(row: dict[str, Any]) -> Verdict:
    found = level(row)
    return Verdict(
        TOPIC,
        f"{row['client']}, {row['fault']}",
        found,
        LEVELS[found],
        _sentence(row, found),
        numbers={
            name: None if pd.isna(value) else value
            for name, value in row.items()
            if isinstance(value, int | float)
        },
        evidence=_evidence(row),
        action=_action(row, found),
        headline=_headline(row, found),
    )


def _headline(row: dict[str, Any], found: str) -> str:
    client, fault = CLIENTS[row["client"]], FAULTS[row["fault"]]
    subject = client[0].upper() + client[1:]
    if found == "loses writes":
        return f"{subject} lost {large(row['writes_lost'])} acknowledged write{_s(row['writes_lost'])} in {fault}"
    if found == "cannot tell":
        return f"Cannot tell whether {client} survives {fault} in time"
    if found == "misses the objective":
        return (
            f"{subject} works again too late after {fault}"
            if row["fault"] != "lag"
            else (f"{subject} reads data that are too old during {fault}")
        )
    if found == "reads a former writer":
        return f"{subject} reads from a former writer after {fault}"
    return f"{subject} survives {fault} within its objective"


def _s(count: float) -> str:
    return "s" * (count != 1)


def _sentence(row: dict[str, Any], found: str) -> str:
    parts = [_times(row)]
    if not pd.isna(row["objective_s"]) and row["met"] + row["missed"]:
        decided = row["met"] + row["missed"]
        parts.append(
            f"{row['met']} of {decided} run{_s(decided)} met the objective of {duration(row['objective_s'])}; up to "
            f"{percent(row['miss_bound_pct'])} % of such faults may miss it (upper 95 % bound)."
        )
    if found == "cannot tell":
        parts.append(f"The verdict is open because {', and '.join(_doubts(row))}.")
    parts.append(_writes(row))
    if row["former_writer_reads"]:
        count = row["former_writer_reads"]
        parts.append(f"{large(count)} read{_s(count)} came from a server that was no longer the writer.")
    if row["stale_reads"]:
        count = row["stale_reads"]
        parts.append(f"{large(count)} read{_s(count)} lacked an acknowledged write.")
    if row["place"] == "lab":
        parts.append("The servers were a lab's: the times of your cluster are others.")
    return " ".join(parts)


def _times(row: dict[str, Any]) -> str:
    client, fault = CLIENTS[row["client"]], FAULTS[row["fault"]]
    certain = row["runs"] - row["uncertain_runs"]
    if not certain:
        return f"In none of {row['runs']} run{_s(row['runs'])} is it certain that the fault took effect."
    if pd.isna(row["slowest_s"]):
        return (
            f"{client[0].upper()}{client[1:]} did not work without errors again after {fault} in every run; the longest "
            f"observation lasted {duration(row['longest_observed_s'])}."
        )
    what = (
        "read data that were at most"
        if row["fault"] == "lag"
        else "worked without errors again after at most"
    )
    old = " old" if row["fault"] == "lag" else ""
    return (
        f"In {certain} run{_s(certain)} of {fault}, {client} {what} {_seconds(row['slowest_s'], row['objective_s'])}{old} "
        f"(median {_seconds(row['median_s'], row['objective_s'])})."
    )


def _seconds(value: float, objective_s: float) -> str:
    """Format a time with as many digits as it takes to lie on its side of the objective."""
    if value >= 120:
        return duration(value) if duration(value) != duration(objective_s) else f"{value:,.1f} s"
    digits = next((n for n in (1, 2, 3) if (round(value, n) > objective_s) == (value > objective_s)), 3)
    return f"{value:.{digits}f} s"


def _writes(row: dict[str, Any]) -> str:
    total, lost = row["writes_acknowledged"], row["writes_lost"]
    if row["unchecked_runs"] == row["runs"]:
        return f"Whether any of {large(total)} acknowledged writes was lost is unknown."
    if lost:
        return f"{large(lost)} of {large(total)} acknowledged writes {'were' if lost != 1 else 'was'} lost."
    if row["unchecked_runs"]:
        return f"No lost write was found, but {row['unchecked_runs']} of {row['runs']} runs could not be checked."
    return f"None of {large(total)} acknowledged writes was lost."


def _evidence(row: dict[str, Any]) -> str:
    certain = row["runs"] - row["uncertain_runs"]
    if not certain:
        return "the table of runs"
    return (
        f"the table of runs: {large(row['errors'])} errors, at most {large(row['connections_per_s'])} connection attempts "
        f"within one second after the fault"
    )


def _action(row: dict[str, Any], found: str) -> str:
    if found == "cannot tell":
        if pd.isna(row["objective_s"]):
            return f"Set {KEYS[row['fault']]} in [objectives] of the settings."
        if row["uncertain_runs"]:
            return "Check in the cluster's events that the fault happens, then run the drill again."
        return f"Run the drill again with --repeats {FEWEST_RUNS} or more, and observe longer than the objective."
    if found == "misses the objective":
        return MISSES[row["client"]]
    return {"loses writes": LOSES, "reads a former writer": READS_FORMER, "meets the objective": MEETS}[found]
