"""Sum up the runs of a drill: one row for each fault and client."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import special

FEWEST_RUNS = 3
"""Runs that must all meet the objective before a client counts as meeting it: one or two may be luck."""

KEY = ["fault", "client", "place", "engine"]

OUTCOME_COLUMNS = [
    *KEY,
    "runs",
    "uncertain_runs",
    "objective_s",
    "met",
    "missed",
    "undecided",
    "median_s",
    "slowest_s",
    "longest_observed_s",
    "miss_bound_pct",
    "errors",
    "writes_acknowledged",
    "writes_lost",
    "unchecked_runs",
    "writes_unconfirmed",
    "stale_reads",
    "worst_staleness_s",
    "former_writer_reads",
    "connections_per_s",
]

WRITES = [
    "fault",
    "client",
    "runs",
    "writes_acknowledged",
    "writes_lost",
    "unchecked_runs",
    "writes_unconfirmed",
    "stale_reads",
    "worst_staleness_s",
    "former_writer_reads",
]
"""Columns of `outcomes` about lost writes and old reads."""

CONNECTIONS = [
    "time",
    "fault",
    "client",
    "took_effect",
    "first_success_s",
    "settled_s",
    "errors",
    "connections",
    "connections_per_s",
    "observed_s",
]
"""Columns of `runs` about the return of each client."""

RUN_COLUMNS = [
    "time",
    *KEY,
    "run",
    "took_effect",
    "measured_s",
    "objective_s",
    "first_success_s",
    "settled_s",
    "worst_staleness_s",
    "errors",
    "writes_acknowledged",
    "writes_lost",
    "stale_reads",
    "former_writer_reads",
    "connections",
    "connections_per_s",
    "observed_s",
]


def runs(rows: pd.DataFrame, objectives: Mapping[str, float]) -> pd.DataFrame:
    """Select what a reader needs of each run, in order.

    Parameters
    ----------
    rows : DataFrame
        Rows of the table `drills`.
    objectives : mapping of str to float
        Fault → longest acceptable time [s].

    Returns
    -------
    DataFrame
        Columns RUN_COLUMNS; `measured_s` is what the objective limits, see `measured_s`.
    """
    return _compared(rows, objectives)[RUN_COLUMNS].sort_values(["time", "client"]).reset_index(drop=True)


def _compared(rows: pd.DataFrame, objectives: Mapping[str, float]) -> pd.DataFrame:
    """Add what is measured and its objective to each run [s]."""
    objective_s = rows["fault"].map(dict(objectives)).astype(float)
    return rows.assign(measured_s=measured_s(rows), objective_s=objective_s)


def measured_s(rows: pd.DataFrame) -> pd.Series:
    """Return the time of each run that the objective limits [s]; null if the client did not recover.

    Parameters
    ----------
    rows : DataFrame
        Rows of the table `drills`.

    Returns
    -------
    Series
        For a lag the staleness of the oldest read, else the time until the client worked without a further error.
    """
    return rows["settled_s"].where(rows["fault"] != "lag", rows["worst_staleness_s"]).astype(float)


def outcomes(rows: pd.DataFrame, objectives: Mapping[str, float]) -> pd.DataFrame:
    """Sum up the runs of each fault and client.

    Parameters
    ----------
    rows : DataFrame
        Rows of the table `drills`.
    objectives : mapping of str to float
        Fault → longest acceptable time [s].

    Returns
    -------
    DataFrame
        Columns OUTCOME_COLUMNS. A run whose fault did not certainly take effect is counted in `uncertain_runs` only.
        `miss_bound_pct` is the largest share of such faults that may miss the objective, at 95 % confidence.
    """
    grouped = _compared(rows, objectives).groupby(KEY, sort=False)
    found = [_summed(dict(zip(KEY, key)), own) for key, own in grouped]
    return pd.DataFrame(found, columns=OUTCOME_COLUMNS)


def _summed(key: dict[str, object], own: pd.DataFrame) -> dict[str, object]:
    is_certain = own["took_effect"].astype("boolean").fillna(False).astype(bool)
    certain = own[is_certain]
    objective_s = float(own["objective_s"].iloc[0])
    met = int((certain["measured_s"] <= objective_s).sum())
    is_missed = (certain["measured_s"] > objective_s) | (
        certain["measured_s"].isna() & (certain["observed_s"] >= objective_s)
    )
    missed = int(is_missed.sum())
    decided = met + missed
    is_complete = bool(certain["measured_s"].notna().all()) and len(certain) > 0
    return {
        **key,
        "runs": len(own),
        "uncertain_runs": int((~is_certain).sum()),
        "objective_s": objective_s,
        "met": met,
        "missed": missed,
        "undecided": len(certain) - decided,
        "median_s": certain["measured_s"].median() if is_complete else np.nan,
        "slowest_s": certain["measured_s"].max() if is_complete else np.nan,
        "longest_observed_s": certain["observed_s"].max(),
        "miss_bound_pct": 100 * _upper_bound(missed, decided),
        "errors": int(certain["errors"].sum()),
        "writes_acknowledged": int(own["writes_acknowledged"].sum()),
        "writes_lost": int(own["writes_lost"].fillna(0).sum()),
        "unchecked_runs": int(own["writes_lost"].isna().sum()),
        "writes_unconfirmed": int(own["writes_unconfirmed"].fillna(0).sum()),
        "stale_reads": int(certain["stale_reads"].sum()),
        "worst_staleness_s": certain["worst_staleness_s"].max(),
        "former_writer_reads": int(certain["former_writer_reads"].sum()),
        "connections_per_s": certain["connections_per_s"].max(),
    }


def _upper_bound(misses: int, total: int) -> float:
    """Return the one-sided 95 % bound of a share by Clopper and Pearson (1934); 1 without a run."""
    return 1.0 if misses == total else float(special.betaincinv(misses + 1, total - misses, 0.95))
