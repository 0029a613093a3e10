"""Compare the workload with another window and with its usual weeks.

Throughput and latency of each role (the writer, and every reader by name) and of each of its digests are compared hour
by hour with the same hour and weekday of the other window, so that the shape of the week cancels. There are two
questions:

- *Did these two windows differ?* The interval is a delete-one-block jackknife over weekdays; a single odd day makes it
  wide.
- *Do weeks usually differ this much?* Only earlier weeks can answer. With at least WEEKS_NEEDED weeks, each digest's
  own week-to-week variation (`weekly_variation`) gives a prediction interval. It applies to the digest itself, and to
  its idiosyncratic move, the part that its siblings (the other digests of its role) do not have in common: if weeks move
  all of them together, a single digest that moved stands out only there. The p-values of both are adjusted for their
  number (Benjamini & Hochberg 1995).

`changed` needs both and a material change; a move within the usual variation is `ordinary`. `apart` is a separate
statement: the digest moved, and beyond what its siblings did. With fewer weeks, no subject is called either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import reduce
from operator import and_
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.statistics import adjusted
from aurora_analysis.analysis.verdict import three_digits
from aurora_analysis.analysis.workload_change import matched_hours, weekly_variation
from aurora_analysis.analysis.workload_change.hours import SUBJECT, UNITS
from aurora_analysis.analysis.workload_change.matched_hours import HourlyTotals
from aurora_analysis.analysis.workload_change.weekly_variation import WEEKS_NEEDED, Baseline, Effect
from aurora_analysis.window import Window

TESTED = ["unusual", "apart"]
"""The two tests of each subject; p-values are adjusted for the number of both."""

MISSED = 0.1
"""Probability that each of two conditions misses a detectable change; together one in five."""

CHANGE = ["change_pct", "low_pct", "high_pct"]
VS_USUAL_WEEKS, VS_SIBLINGS, COMMON = (
    [f"{move}_pct", f"{move}_low_pct", f"{move}_high_pct"] for move in ("unusual", "apart", "alike")
)
MISSING = "–"


def settings(instances: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """List the settings and events that differ over both windows, by time.

    Parameters
    ----------
    instances : DataFrame
        Rows of the table instances over both windows.
    events : DataFrame
        Rows of the table events over both windows.

    Returns
    -------
    DataFrame
        `time` (UTC), `instance`, `what` (setting or category of the event), `before`, `after`.
    """
    compared = set(instances.columns) - {"cluster", "week", "source", "time", "instance"}
    rows = []
    for instance, states in instances.sort_values("time", kind="stable").groupby("instance"):
        for what in [name for name in instances.columns if name in compared]:
            values = states.set_index("time")[what].dropna()
            differs = values.ne(values.shift()).to_numpy(dtype=bool)[1:]
            pairs = zip(values.index[1:], values[:-1], values[1:])
            rows += [(at, instance, what, *pair) for (at, *pair), new in zip(pairs, differs) if new]
    happened = events[events["category"] != "note"]
    rows += [
        (row["time"], row["instance"], row["category"], "", row["message"])
        for row in happened.to_dict("records")
    ]
    frame = pd.DataFrame(rows, columns=["time", "instance", "what", "before", "after"])
    return frame.astype({"before": str, "after": str}).sort_values("time", kind="stable", ignore_index=True)


ALPHA = 0.05
"""Two-sided error probability of intervals and tests."""


def changes(
    hours: pd.DataFrame,
    window: Window,
    before: Window,
    weeks: Sequence[Window] = (),
    *,
    timezone: str = "UTC",
    materiality_pct: float = 5.0,
) -> pd.DataFrame:
    """Estimate how throughput and latency of each role and digest changed, and whether weeks usually differ so.

    Parameters
    ----------
    hours : DataFrame
        Result of `by_role`, over all windows.
    window : Window
        The window.
    before : Window
        The window to compare with: the previous one, or a baseline.
    weeks : sequence of Window, optional
        Earlier weeks, as `earlier` lists them.
    timezone : str, default "UTC"
        Time zone of days and hours.
    materiality_pct : float, default 5
        Smallest change that matters [%]; the default is this project's.

    Returns
    -------
    DataFrame
        One row per subject (`role, digest, measure`); each move [%] has an interval (`low_pct`, `high_pct` with the
        same prefix):

        - `change_pct`: against `before`, from `before` to `now` (means over `hours_matched` hours, matched by
          `matched_by`), with a jackknife over days;
        - `unusual_pct`: against usual weeks, or against `before` if that is a baseline; with `p_adjusted`, the number
          of `weeks` with data (this one included), their variation `spread_pct` [%], and `level`;
        - `apart_pct`: the idiosyncratic move, beyond what its `siblings` have in common; with `apart_p_adjusted`, and
          `apart`, whether it is material and more than chance;
        - `alike_pct`: the move that the siblings have in common;
        - `detectable_pct`: a move of this size is found four times in five.
    """
    subjects = pd.MultiIndex.from_frame(hours[SUBJECT].drop_duplicates().sort_values(SUBJECT))
    now, then, *usual = (_by_weekday(hours, one, subjects, timezone) for one in (window, before, *weeks))
    weekly = matched_hours.overlap(now, then) >= 0.5
    pair = (now, then) if weekly else (_by_date(hours, one, subjects, timezone) for one in (window, before))
    change, means = _compared(*pair, weekly=weekly)
    is_week = before == window.previous() or before in weeks
    baseline = None if is_week else Baseline(then, max(1.0, before.duration / timedelta(days=7)))
    ungrouped = subjects.get_level_values("digest") == ""
    compared = weekly_variation.compare_with_weeks(now, usual, baseline, _groups(now, subjects), ungrouped)
    moved = {"unusual": compared.vs_usual_weeks, "apart": compared.vs_siblings, "alike": compared.common}
    tested = [np.where(means["hours_matched"] > 0, moved[name].p, np.nan) for name in TESTED]
    p = np.split(adjusted(pd.Series(np.concatenate(tested))), len(TESTED))
    strict = ALPHA / max(np.isfinite(tested).sum(), 1)
    columns = means | {"weeks": compared.weeks, "siblings": compared.siblings}
    columns |= {"spread_pct": 100 * compared.variation, "p_adjusted": p[0], "apart_p_adjusted": p[1]}
    columns |= _percents({"": change} | moved)
    columns["detectable_pct"] = _detectable(change, moved, strict, materiality_pct)
    frame = pd.DataFrame(columns, index=subjects).reset_index()
    frame = frame[frame["hours_matched"] > 0].sort_values(
        "role", key=_writer_first, kind="stable", ignore_index=True
    )
    return frame.assign(level=_levels(frame, materiality_pct), apart=_apart(frame, materiality_pct))


def _percents(moves: Mapping[str, Effect]) -> dict[str, Array]:
    """Each move with its interval [%]."""
    columns = {}
    for name, move in moves.items():
        half, prefix = move.half_width(ALPHA), f"{name}_" if name else ""
        columns[f"{name or 'change'}_pct"] = _percent(move.estimate)
        columns[f"{prefix}low_pct"] = _percent(move.estimate - half)
        columns[f"{prefix}high_pct"] = _percent(move.estimate + half)
    return columns


def _by_weekday(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> HourlyTotals:
    return _with_idle_hours(matched_hours.by_weekday(hours, window, subjects, timezone), subjects)


def _by_date(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> HourlyTotals:
    return _with_idle_hours(matched_hours.by_date(hours, window, subjects, timezone), subjects)


def _with_idle_hours(totals: HourlyTotals, subjects: pd.MultiIndex) -> HourlyTotals:
    """Count unlisted digests as idle in hours in which their role's other digests were observed."""
    weight, names = totals.weight.copy(), subjects.to_frame(index=False)
    counted = (names["measure"] == "throughput") & (names["digest"] != "")
    for _, rows in names[counted].groupby("role"):
        weight[rows.index] = weight[rows.index].max(axis=0)
    return HourlyTotals(totals.total, weight)


def _groups(now: HourlyTotals, subjects: pd.MultiIndex) -> list[str]:
    """Groups with similar variation: a role's statements by measure, active in most hours or in few."""
    often = (now.total > 0).mean(axis=(1, 2)) >= 0.5
    return [
        f"{role} {'often' if many else 'rare'} {measure}" if digest else measure
        for (role, digest, measure), many in zip(subjects, often)
    ]


def _writer_first(roles: pd.Series) -> pd.Series:
    return roles != "writer"


def _percent(logs: Array) -> Array:
    return 100 * np.expm1(logs)


def _compared(now: HourlyTotals, before: HourlyTotals, *, weekly: bool) -> tuple[Effect, dict[str, Any]]:
    """Change between the two windows, its standard error over days, and means over matched hours."""
    jackknife = matched_hours.paired_jackknife_se if weekly else matched_hours.unpaired_jackknife_se
    error = jackknife(now, before)
    if not weekly:
        now, before = now.pooled(), before.pooled()
    weight = matched_hours.weights(now, before)
    means = {
        "before": matched_hours.mean(before, weight),
        "now": matched_hours.mean(now, weight),
        "hours_matched": (weight > 0).sum(axis=(1, 2)),
        "matched_by": "hour and weekday" if weekly else "hour",
    }
    return Effect(matched_hours.log_ratio(now, before), *error), means


def _detectable(change: Effect, moves: Mapping[str, Effect], strict: float, materiality_pct: float) -> Array:
    """Size of a move that is found four times in five: each of two conditions holds nine times in ten [%].

    The move must stand out from usual weeks, itself or idiosyncratically, even if it is the only one of all subjects;
    and from the days against the previous window, which varies from week to week, too.
    """
    material = np.log1p(materiality_pct / 100)
    by_weeks = [
        np.maximum(moves[name].half_width(strict), material) + moves[name].half_width(2 * MISSED)
        for name in TESTED
    ]
    by_days = change.half_width(ALPHA) + np.sqrt(2) * moves["unusual"].half_width(2 * MISSED)
    return _percent(np.maximum(np.fmin(*by_weeks), by_days))


def _levels(frame: pd.DataFrame, materiality_pct: float) -> npt.NDArray[np.str_]:
    """First rule that holds; without enough weeks nothing is `changed`."""
    enough = frame["weeks"] >= WEEKS_NEEDED
    low = frame["unusual_low_pct"].where(enough, frame["low_pct"])
    high = frame["unusual_high_pct"].where(enough, frame["high_pct"])
    rules = {
        "unknown": frame["change_pct"].isna() | low.isna(),
        "changed": (frame["p_adjusted"] <= ALPHA) & _moved(frame, "unusual_pct", materiality_pct),
        "no material change": (low > -materiality_pct) & (high < materiality_pct),
        "ordinary": enough & (frame["p_adjusted"] > ALPHA),
        "inconclusive": enough,
    }
    return np.select([rule.to_numpy() for rule in rules.values()], list(rules), "unknown")


def _apart(frame: pd.DataFrame, materiality_pct: float) -> pd.Series:
    """Flag subjects that moved themselves and beyond their siblings, not those that stayed while siblings moved."""
    itself = frame["unusual_pct"].abs() >= materiality_pct
    return (frame["apart_p_adjusted"] <= ALPHA) & _moved(frame, "apart_pct", materiality_pct) & itself


def _moved(frame: pd.DataFrame, move: str, materiality_pct: float) -> pd.Series:
    """Flag material moves in the direction of the change against the other window, which no single day decides."""
    ways = [np.sign(frame[name]) for name in ("low_pct", "high_pct", "change_pct", "unusual_pct")]
    same_way = reduce(and_, [way == np.sign(frame[move]) for way in ways])
    moved: pd.Series = (frame[move].abs() >= materiality_pct) & same_way
    return moved


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Format changes for people: `before`, `now` with unit, `change [%]` as "-0.7 [-3.8, +2.5]", and so on.

    Parameters
    ----------
    found : DataFrame
        Result of `changes`.

    Returns
    -------
    DataFrame
        One row per subject; columns on usual weeks and siblings only if any row has a value.
    """
    moves = {"change [%]": CHANGE, "ordinary weeks [%]": VS_USUAL_WEEKS, "against siblings [%]": VS_SIBLINGS}
    text = found[SUBJECT].assign(level=found["level"].where(~found["apart"], found["level"] + ", apart"))
    text = text.assign(before=_with_unit(found, "before"), now=_with_unit(found, "now"))
    text = text.assign(**{name: _with_intervals(found[columns]) for name, columns in moves.items()})
    text["detectable [%]"] = [
        MISSING if np.isnan(value) else f"{value:.1f}" for value in found["detectable_pct"]
    ]
    text = text.loc[:, ~(text == MISSING).all() | text.empty]
    return text.assign(hours=found["hours_matched"], weeks=found["weeks"])


def most_changed(found: pd.DataFrame, moved: pd.DataFrame, *, most: int = 10) -> pd.DataFrame:
    """Select the changes of the most notable statements.

    Parameters
    ----------
    found : DataFrame
        Result of `changes`.
    moved : DataFrame
        Result of `db_load.moves`.
    most : int, default 10
        Largest number of statements.

    Returns
    -------
    DataFrame
        Rows of `found`: statements that moved against their siblings first, then those that changed, then by load.
    """
    changed = found[(found["digest"] != "") & (found["apart"] | (found["level"] == "changed"))]
    largest = changed[["unusual_pct", "apart_pct"]].abs().max(axis=1)
    changed = changed.assign(largest=largest).sort_values(["apart", "largest"], ascending=False)
    digests = pd.Index(pd.concat([changed["digest"], moved["digest"]]).unique()[:most])
    rows = found[found["digest"].isin(digests)]
    return rows.sort_values("digest", key=digests.get_indexer, kind="stable", ignore_index=True)


def common_moves(found: pd.DataFrame) -> pd.DataFrame:
    """Summarise the move that the statements of a role have in common.

    It shows whether one statement changed, or the whole instance.

    Parameters
    ----------
    found : DataFrame
        Result of `changes`.

    Returns
    -------
    DataFrame
        `role`, `measure`, number of `statements`, and `moved [%]`, their median against usual weeks; roles with few
        statements are missing.
    """
    rows = typical_group(found)
    moved = _with_intervals(rows[COMMON])
    return rows[["role", "measure"]].assign(statements=rows["siblings"] + 1, **{"moved [%]": moved})


def typical_group(found: pd.DataFrame) -> pd.DataFrame:
    """Select one row per role and measure, from the group with most of its statements.

    Parameters
    ----------
    found : DataFrame
        Result of `changes`.

    Returns
    -------
    DataFrame
        Rows of `found`.
    """
    rows = found[found["alike_pct"].notna()].sort_values("siblings", ascending=False, kind="stable")
    return rows.drop_duplicates(["role", "measure"]).sort_index()


def _with_unit(found: pd.DataFrame, column: str) -> list[str]:
    return [
        f"{three_digits(value)} {UNITS[measure]}" for value, measure in zip(found[column], found["measure"])
    ]


def _with_intervals(values: pd.DataFrame) -> list[str]:
    """Numbers with their intervals as text; a missing one is a dash."""
    rows = values.to_numpy()
    spans = ["" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]" for _, low, high in rows]
    return [MISSING if np.isnan(value) else f"{value:+.1f}{span}" for (value, *_), span in zip(rows, spans)]
