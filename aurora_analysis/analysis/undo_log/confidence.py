"""Compute the confidence in a holder's name: the probability of each explanation of a span or of a blocker's growth.

The model's probabilities are too certain, because errors of neighbouring samples are alike. `calibrated` maps them to the
share that was right in simulations (`benchmarks/attribution.py`, with seeds below 10; docs/explanation/holders.md has
the reliability diagram of other seeds).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.undo_log.holders import Attribution

NO_LOG, NO_VIEW = "a session in no log", "no session"
"""Names of the explanations that are no known session."""

OFFSET, SLOPE = -0.4, 1.6
"""Calibration: log odds of being right = OFFSET + SLOPE × the model's log odds."""

COLUMNS = ["span", "name", "probability"]


def name(blocker: Mapping[Hashable, Any]) -> str:
    """Name a blocker as the frames of this module do.

    Parameters
    ----------
    blocker : mapping
        `state`, `workload` and `instance`, such as a row of `growth_by_blocker(…)`.

    Returns
    -------
    str
        `snowflake on shop-3`, `NO_LOG`, or the state if no session is to blame.
    """
    if blocker["state"] == "held":
        return f"{blocker['workload']} on {blocker['instance']}"
    return NO_LOG if blocker["state"] == "unknown" else str(blocker["state"])


def calibrated(probability: Array) -> Array:
    """Convert the model's probabilities to the expected share that is right [0 to 1].

    Parameters
    ----------
    probability : ndarray
        Probabilities of the model [0 to 1].

    Returns
    -------
    ndarray
        Calibrated probabilities; never quite 0 or 1.
    """
    inside = np.clip(probability, 1e-3, 1 - 1e-3)
    return np.asarray(1 / (1 + np.exp(-OFFSET - SLOPE * np.log(inside / (1 - inside)))))


def explanations(spans: pd.DataFrame, found: Attribution, runs: pd.DataFrame) -> pd.DataFrame:
    """Weigh the explanations of each span by the growth at its samples.

    Parameters
    ----------
    spans : DataFrame
        Spans with `start` and `end` (UTC), such as `blocking_spans(…)`.
    found : Attribution
        Result of `attribution` over `runs`.
    runs : DataFrame
        The runs, with `workload` and `instance`.

    Returns
    -------
    DataFrame
        `span` (label in `spans`), `name` (`snowflake on shop-3`, `NO_LOG` or `NO_VIEW`) and the model's
        `probability` [0 to 1], one row per span and explanation.
    """
    rows, view = found.probabilities, found.oldest_view
    known = (runs["workload"].astype(str) + " on " + runs["instance"].astype(str)).reindex(rows["run"])
    named = pd.Series(known.to_numpy(dtype=object), rows.index).fillna(NO_LOG)
    weight = view["growth"].to_numpy(dtype=float) + 1e-9
    place = view.index.get_indexer(pd.Index(rows["time"]))
    weighted = pd.DataFrame({"name": named, "mass": rows["probability"] * weight[place]})
    found_rows = []
    for span, start, end in spans[["start", "end"]].itertuples():
        first, last = view.index.searchsorted([start, end])
        inside = weighted.iloc[place.searchsorted(first) : place.searchsorted(last)]
        share = inside.groupby("name")["mass"].sum() / weight[first:last].sum()
        found_rows += [(span, each, probability) for each, probability in share.items()]
        found_rows.append((span, NO_VIEW, max(0.0, 1 - share.sum())))
    return pd.DataFrame(found_rows, columns=COLUMNS)


def by_blocker(spans: pd.DataFrame, found: Attribution, runs: pd.DataFrame) -> pd.DataFrame:
    """State how sure each blocker's name is, and which other explanation comes next.

    Parameters
    ----------
    spans : DataFrame
        Result of `blocking_spans`.
    found : Attribution
        Result of `attribution` over `runs`.
    runs : DataFrame
        The runs, with `workload` and `instance`.

    Returns
    -------
    DataFrame
        By name of the blocker (`snowflake on shop-3` or `NO_LOG`): `confidence`, the mean probability of the name over
        the growth attributed to it, `rival`, the next explanation, and `rival_confidence` [0 to 1].
    """
    judged = spans[spans["state"].isin(["held", "unknown"])]
    blocker = pd.Series([name(row) for row in judged.to_dict("records")], judged.index, dtype=object)
    every = explanations(judged, found, runs)
    every = every.assign(blocker=blocker.reindex(every["span"]).to_numpy())
    growth = judged["growth"].astype(float) + 1e-9
    every["mass"] = every["probability"] * growth.reindex(every["span"]).to_numpy()
    total = growth.groupby(blocker).sum()
    share = every.groupby(["blocker", "name"])["mass"].sum()
    rows = {}
    for one, own in share.groupby(level="blocker"):
        ranked = (own.droplevel("blocker") / total[one]).drop(one, errors="ignore").sort_values()
        sure = share.get((one, one), 0.0) / total[one]
        rows[one] = (
            sure,
            ranked.index[-1] if len(ranked) else NO_VIEW,
            ranked.max() if len(ranked) else 0.0,
        )
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["confidence", "rival", "rival_confidence"])
    for column in ("confidence", "rival_confidence"):
        frame[column] = calibrated(frame[column].to_numpy(dtype=float))
    return frame
