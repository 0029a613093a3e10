"""Did the workload change against another window, or is it an ordinary week?

Throughput and latency of each seat (the writer, and every reader by name) and of each of its digests are compared
hour by hour with the same hour and weekday of the other window, so that the shape of the week cancels. Two
questions are told apart:

- *Did these two windows differ?* The interval leaves out one weekday after the other (delete-one-block jackknife):
  one odd day makes it wide.
- *Do weeks ordinarily differ so much?* Only earlier weeks can tell. With at least WEEKS_NEEDED weeks each digest's own
  spread from week to week gives a prediction interval. It leans on the spread of its kind (Smyth 2004, Statistical
  Applications in Genetics and Molecular Biology 3:3), because few weeks tell a spread badly; what weeks do to all
  digests alike is told apart, for of that there are no more values than weeks. p-values are adjusted for their number
  (Benjamini & Hochberg).

`changed` needs both, and a change that is material; what weeks ordinarily do is `ordinary`. With fewer weeks nothing
is ever called changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from aurora_analysis.analysis import matching
from aurora_analysis.analysis.experiment import adjusted
from aurora_analysis.analysis.matching import Array, Sums
from aurora_analysis.analysis.sparkline import Sparkline, sparklines
from aurora_analysis.analysis.verdict import SEVERITIES, Severity, Verdict, by_severity
from aurora_analysis.tables import METRICS
from aurora_analysis.window import Window

KEY_METRICS = [
    "commit_throughput",
    "commit_latency",
    "dml_throughput",
    "dml_latency",
    "select_throughput",
    "select_latency",
]
"""What is compared of each seat: how much it does, and how long that takes."""

UNITS = {"throughput": "calls/h", "latency": "ms"} | {name: METRICS[name][0] for name in KEY_METRICS}

WEEKS_NEEDED = 5
"""The window and four earlier weeks: with fewer a spread from week to week would only look like one."""

MOST_WEEKS = 8
"""Older weeks tell of another workload."""

CALLS = ["time", "period_s", "instance", "digest", "calls", "mean_latency_ms"]
"""What is compared of each digest."""

MOVES = ["new", "back", "vanished", "up", "down"]
SUBJECT = ["seat", "digest", "measure"]
HOUR_COLUMNS = ["time", "instance", "digest", "measure", "total", "weight"]


def earlier(window: Window, span: Window, count: int = MOST_WEEKS) -> list[Window]:
    """The windows on the same weekdays and hours in the weeks before, newest first, as far as `span` goes."""
    step = timedelta(days=7 * -(-window.duration // timedelta(days=7)))
    shifted = [Window(window.start - n * step, window.end - n * step) for n in range(1, count + 1)]
    return [week for week in shifted if week.start >= span.start]


def statement_hours(statement_metrics: pd.DataFrame) -> pd.DataFrame:
    """Calls and latency of each digest hour by hour: `time, instance, digest, measure, total, weight`.

    The mean is total / weight: calls by observed hours (throughput), milliseconds by calls (latency [ms]).
    """
    rows = statement_metrics.assign(
        time=statement_metrics["time"].dt.floor("h"),
        busy_ms=statement_metrics["calls"] * statement_metrics["mean_latency_ms"],
    )
    sums = rows.groupby(["time", "instance", "digest"], as_index=False)[["calls", "busy_ms"]].sum()
    sums = sums.astype({"instance": str, "digest": str})
    observed = _observed_hours(statement_metrics).reindex(
        pd.MultiIndex.from_frame(sums[["time", "instance"]])
    )
    subjects = sums[["time", "instance", "digest"]]
    frames = [
        subjects.assign(measure="throughput", total=sums["calls"], weight=observed.to_numpy()),
        subjects.assign(measure="latency", total=sums["busy_ms"], weight=sums["calls"]),
    ]
    return pd.concat(frames, ignore_index=True)[HOUR_COLUMNS]


def _observed_hours(statement_metrics: pd.DataFrame) -> pd.Series:
    """For how much of each hour each instance's statements were observed [hours]."""
    periods = statement_metrics[["time", "instance", "period_s"]].drop_duplicates(["time", "instance"])
    periods = periods.astype({"instance": str})
    return (
        periods.assign(time=periods["time"].dt.floor("h")).groupby(["time", "instance"])["period_s"].sum()
        / 3600
    )


def metric_hours(metrics: pd.DataFrame, names: Sequence[str] = KEY_METRICS) -> pd.DataFrame:
    """The key metrics of each instance hour by hour, as `statement_hours`; `digest` is empty, `weight` is minutes."""
    rows = metrics[metrics["name"].isin(names) & (metrics["statistic"] == "average")]
    hours = rows.assign(time=rows["time"].dt.floor("h"), digest="")
    grouped = hours.groupby(["time", "instance", "digest", "name"])["value"]
    sums = grouped.agg(total="sum", weight="size").reset_index()
    return sums.rename(columns={"name": "measure"}).astype({"weight": float})[HOUR_COLUMNS]


def seated(hours: pd.DataFrame, roles: pd.Series) -> pd.DataFrame:
    """The hours with `seat` in place of `instance`: "writer" through every failover, a reader by its name."""
    hours = hours.assign(seat=hours["instance"].where(roles != "writer", "writer"))
    hours = hours.drop_duplicates(["time", "instance", "digest", "measure"])
    return hours.groupby(["time", *SUBJECT], as_index=False)[["total", "weight"]].sum()


def at_a_glance(hours: pd.DataFrame, window: Window, others: Sequence[Window]) -> list[Sparkline]:
    """The key metrics of each seat over the window, beside the windows that it is compared with."""
    rows = hours[hours["digest"] == ""]
    shown = rows.assign(value=rows["total"] / rows["weight"], measure=rows["measure"].str.replace("_", " "))
    units = {name.replace("_", " "): UNITS[name] for name in KEY_METRICS}
    return sparklines("workload_change", shown, units, window, others)


def moves(
    now: pd.Series,
    before: pd.Series,
    weeks: Sequence[pd.Series] = (),
    *,
    places: int = 3,  # the middle of a ranking swaps a place or two every week
) -> pd.DataFrame:
    """How each digest's rank by load moved: new, vanished, up or down. Answers: what is on top that was not?

    Takes `db_load.statement_load` of the window, of the one before, and of the earlier weeks. `digest, active_sessions,
    share_pct, rank, rank_before, move, seen, weeks`: it was seen in `seen` of `weeks` windows, this one included.
    """
    digests = now.index.union(before.index, sort=False)
    known = [week.index for week in weeks if len(week)] or [before.index] * bool(len(before))
    seen = [int(digest in now.index) + sum(digest in week for week in known) for digest in digests]
    frame = pd.DataFrame(
        {
            "active_sessions": now.reindex(digests),
            "share_pct": 100 * now.reindex(digests) / now.sum(),
            "rank": now.rank(ascending=False, method="first").reindex(digests),
            "rank_before": before.rank(ascending=False, method="first").reindex(digests),
            "seen": seen,
            "weeks": len(known) + 1,
        },
        index=digests,
    )
    frame.insert(4, "move", _move(frame, places) if len(before) else "")
    return frame.sort_values(["rank", "rank_before"]).rename_axis("digest").reset_index()


def _move(frame: pd.DataFrame, places: int) -> npt.NDArray[np.str_]:
    """The first rule that holds; a digest that earlier weeks know comes back, it is not new."""
    climbed = frame["rank_before"] - frame["rank"]
    rules = {
        "new": frame["rank_before"].isna() & (frame["seen"] == 1),
        "back": frame["rank_before"].isna(),
        "vanished": frame["rank"].isna(),
        "up": climbed >= places,
        "down": climbed <= -places,
    }
    return np.select([rule.to_numpy() for rule in rules.values()], list(rules), "")


def settings(instances: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """What was changed on purpose or by failover: `time, instance, what, before, after`, by time.

    Answers: what else was different? Takes instances as they were seen, and the events, over both windows.
    """
    told = set(instances.columns) - {"cluster", "day", "source", "time", "instance"}
    rows = []
    for instance, seen in instances.sort_values("time", kind="stable").groupby("instance"):
        for what in [name for name in instances.columns if name in told]:
            values = seen.set_index("time")[what].dropna()
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


def changes(
    hours: pd.DataFrame,
    window: Window,
    before: Window,
    weeks: Sequence[Window] = (),
    *,
    timezone: str = "UTC",
    materiality_pct: float = 5.0,  # the project's default for an effect that matters
    alpha: float = 0.05,
) -> pd.DataFrame:
    """How throughput and latency of each seat and digest changed [%], and whether weeks ordinarily differ so.

    Answers: did it change, or is it an ordinary week? `hours` holds all windows, `seated`. One row a subject
    (`seat, digest, measure`): `before` and `now` (means over matched hours), `change_pct` with the day-block interval
    `low_pct, high_pct` against `before`; `unusual_pct` with `unusual_low_pct, unusual_high_pct` and `p_adjusted`
    against ordinary weeks (or against `before`, where that is a baseline), `spread_pct` from week to week, `weeks`
    that tell it, this one included; `hours_matched`, `matched_by`, and `level`.
    """
    subjects = pd.MultiIndex.from_frame(hours[SUBJECT].drop_duplicates().sort_values(SUBJECT))
    now, then, *known = (_sums(hours, one, subjects, timezone) for one in (window, before, *weeks))
    weekly = matching.shared(now, then) >= 0.5
    pair = (now, then) if weekly else (_dates(hours, one, subjects, timezone) for one in (window, before))
    is_week = before == window.previous() or before in weeks
    unusual = _unusual(
        now,
        known,
        None if is_week else then,
        max(1.0, before.duration / timedelta(days=7)),
        _kinds(now, subjects),
        alpha,
    )
    compared = _compared(*pair, weekly=weekly, alpha=alpha)
    frame = pd.DataFrame(compared | unusual, index=subjects).reset_index()
    frame = frame[frame["hours_matched"] > 0].sort_values(
        "seat", key=_writer_first, kind="stable", ignore_index=True
    )
    frame["p_adjusted"] = adjusted(frame.pop("p"))
    return frame.assign(level=_levels(frame, materiality_pct, alpha))


def _sums(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> Sums:
    return _with_idle_hours(matching.by_weekday(hours, window, subjects, timezone), subjects)


def _dates(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> Sums:
    return _with_idle_hours(matching.by_date(hours, window, subjects, timezone), subjects)


def _with_idle_hours(sums: Sums, subjects: pd.MultiIndex) -> Sums:
    """In an hour in which its seat's other digests were observed, a digest that is not listed had no calls."""
    weight, names = sums.weight.copy(), subjects.to_frame(index=False)
    counted = (names["measure"] == "throughput") & (names["digest"] != "")
    for _, rows in names[counted].groupby("seat"):
        weight[rows.index] = weight[rows.index].max(axis=0)
    return Sums(sums.total, weight)


def _kinds(now: Sums, subjects: pd.MultiIndex) -> list[str]:
    """The subjects that spread alike: of one measure, and at work in most hours or in few."""
    often = (now.total > 0).mean(axis=(1, 2)) >= 0.5
    return [
        measure if many else f"rare {measure}"
        for measure, many in zip(subjects.get_level_values("measure"), often)
    ]


def _writer_first(seats: pd.Series) -> pd.Series:
    return seats != "writer"


def _percent(logs: Array) -> Array:
    return 100 * np.expm1(logs)


def _compared(now: Sums, before: Sums, *, weekly: bool, alpha: float) -> dict[str, Any]:
    """The two windows themselves: levels over matched hours, change, day-block interval."""
    se, df = matching.paired_error(now, before) if weekly else matching.unpaired_error(now, before)
    if not weekly:
        now, before = now.pooled(), before.pooled()
    change, half = matching.log_ratio(now, before), stats.t.isf(alpha / 2, df) * se
    weight = matching.weights(now, before)
    return {
        "before": matching.mean(before, weight),
        "now": matching.mean(now, weight),
        "change_pct": _percent(change),
        "low_pct": _percent(change - half),
        "high_pct": _percent(change + half),
        "hours_matched": (weight > 0).sum(axis=(1, 2)),
        "matched_by": "hour and weekday" if weekly else "hour",
    }


def _unusual(
    now: Sums, weeks: Sequence[Sums], baseline: Sums | None, lasted: float, kinds: list[str], alpha: float
) -> dict[str, Any]:
    """Each subject against its ordinary week, or against a baseline that lasted so many weeks."""
    names = ["unusual_pct", "unusual_low_pct", "unusual_high_pct", "spread_pct", "p"]
    if not weeks:
        return {name: np.full(len(kinds), np.nan) for name in names} | {"weeks": np.ones(len(kinds), int)}
    ordinary = reduce(add, weeks)
    logs = np.column_stack([matching.log_ratio(week, ordinary) for week in weeks])
    told = np.isfinite(logs).sum(axis=1)
    logs = np.where(told[:, None] + 1 >= WEEKS_NEEDED, logs, np.nan)
    variance, df = matching.spread(logs, kinds)
    centre = matching.row_mean(logs) if baseline is None else matching.log_ratio(baseline, ordinary)
    se = np.sqrt(variance * (1 + 1 / (np.maximum(told, 1) if baseline is None else lasted)))
    unusual, half = matching.log_ratio(now, ordinary) - centre, stats.t.isf(alpha / 2, df) * se
    p = 2 * stats.t.sf(np.abs(unusual) / np.maximum(se, 1e-9), df)
    values = [
        _percent(unusual),
        _percent(unusual - half),
        _percent(unusual + half),
        100 * np.sqrt(variance),
        p,
    ]
    return dict(zip(names, values)) | {"weeks": told + 1}


def _levels(frame: pd.DataFrame, materiality_pct: float, alpha: float) -> npt.NDArray[np.str_]:
    """The first rule that holds; without enough weeks nothing is changed."""
    told = frame["weeks"] >= WEEKS_NEEDED
    low = frame["unusual_low_pct"].where(told, frame["low_pct"])
    high = frame["unusual_high_pct"].where(told, frame["high_pct"])
    same_way = np.sign(frame["low_pct"]) == np.sign(frame["high_pct"])
    same_way &= np.sign(frame["change_pct"]) == np.sign(frame["unusual_pct"])
    material = frame["unusual_pct"].abs() >= materiality_pct
    rules = {
        "unknown": frame["change_pct"].isna() | low.isna(),
        "changed": told & (frame["p_adjusted"] <= alpha) & material & same_way,
        "no material change": (low > -materiality_pct) & (high < materiality_pct),
        "ordinary": told & (frame["p_adjusted"] > alpha),
        "inconclusive": told,
    }
    return np.select([rule.to_numpy() for rule in rules.values()], list(rules), "unknown")


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Changes as people read them: `before`, `now` with unit, `change [%]` as "-0.7 [-3.8, +2.5]", and so for weeks."""
    ordinary = ["unusual_pct", "unusual_low_pct", "unusual_high_pct"]
    told: dict[str, Any] = {
        "before": _with_unit(found, "before"),
        "now": _with_unit(found, "now"),
        "change [%]": _with_intervals(found[["change_pct", "low_pct", "high_pct"]]),
        "ordinary weeks [%]": _with_intervals(found[ordinary]),
        "hours": found["hours_matched"],
    }
    return found[SUBJECT].assign(**told, weeks=found["weeks"], level=found["level"])


def _with_unit(found: pd.DataFrame, column: str) -> list[str]:
    return [f"{_figure(value)} {UNITS[measure]}" for value, measure in zip(found[column], found["measure"])]


def _with_intervals(values: pd.DataFrame) -> list[str]:
    """A number with its interval, in one text; what is missing is a dash."""
    rows = values.to_numpy()
    spans = ["" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]" for _, low, high in rows]
    return ["–" if np.isnan(value) else f"{value:+.1f}{span}" for (value, *_), span in zip(rows, spans)]


def verdicts(
    found: pd.DataFrame,
    moved: pd.DataFrame,
    *,
    slower_pct: float = 20.0,  # a latency so much higher asks for action, a smaller change for a look
    heavy_pct: float = 10.0,  # a new digest with such a share of the load asks for a look
) -> list[Verdict]:
    """One verdict a seat and one on the statements, most severe first.

    `changed`, `ordinary` (weeks ordinarily differ so), `no material change`, `inconclusive` (unusual, but for its days
    or its size) or `unknown`; of the statements also `new statement`, which needs no statistics.
    """
    seats = found[(found["digest"] == "") & found["change_pct"].notna()].groupby("seat")
    told = [_seat_verdict(str(seat), rows.to_dict("records"), slower_pct) for seat, rows in seats]
    return by_severity(
        [*told, _statements_verdict(found[found["digest"] != ""], moved, slower_pct, heavy_pct)]
    )


ACTIONS = {
    "changed": "Look at the statements that changed or are new, and at what was changed beside them.",
    "new statement": "Find the release that brought it, and whether its load was meant.",
    "inconclusive": "Look at the days one by one: the week is unusual, but not all of its days are.",
    "unknown": f"Keep fetching: from {WEEKS_NEEDED} weeks on, a change can be told from an ordinary week.",
    "ordinary": "Nothing to do.",
    "no material change": "Nothing to do.",
}

RANK = {
    level: rank
    for rank, level in enumerate(["changed", "inconclusive", "unknown", "ordinary", "no material change"])
}
CALM = ("ordinary", "no material change")
NUMBERS = ["before", "now", "change_pct", "low_pct", "high_pct", "unusual_pct", "p_adjusted", "weeks"]

Row = Mapping[Hashable, Any]


def _seat_verdict(seat: str, rows: Sequence[Row], slower_pct: float) -> Verdict:
    """The metric that says most speaks; the levels of the others are counted."""
    worst, *others = sorted(rows, key=lambda row: (RANK[row["level"]], -abs(row["change_pct"])))
    counts = Counter(row["level"] for row in others)
    beside = ", ".join(f"{count} {level}" for level, count in counts.items())
    return Verdict(
        "workload_change",
        seat,
        worst["level"],
        _severity(worst, slower_pct),
        f"{seat}: {_told(worst)}" + f" Its other key metrics: {beside}." * bool(others),
        {"metric": worst["measure"]} | {name: _number(worst[name]) for name in NUMBERS},
        "the table of changes",
        ACTIONS[worst["level"]],
    )


def _told(row: Row) -> str:
    """One subject's change as a sentence."""
    interval = (
        "too few days for an interval"
        if np.isnan(row["low_pct"])
        else f"{row['low_pct']:+.0f}, {row['high_pct']:+.0f}"
    )
    return (
        f"{row['measure'].replace('_', ' ')} went from {_figure(row['before'])} to {_figure(row['now'])} "
        f"{UNITS[row['measure']]}, {row['change_pct']:+.0f} % [{interval}], over {row['hours_matched']} hours matched by "
        f"{row['matched_by']}; {_against_weeks(row)}"
    )


def _against_weeks(row: Row) -> str:
    if row["weeks"] < WEEKS_NEEDED:
        return f"week-to-week variation unknown ({row['weeks']} of the {WEEKS_NEEDED} weeks needed)."
    if np.isnan(row["unusual_pct"]):
        return "no ordinary weeks tell of these hours."
    p = "< 0.001" if row["p_adjusted"] < 0.001 else f"{row['p_adjusted']:.2g}"
    return (
        f"against ordinary weeks, which spread by {row['spread_pct']:.0f} %, {row['unusual_pct']:+.0f} % "
        f"[{row['unusual_low_pct']:+.0f}, {row['unusual_high_pct']:+.0f}], adjusted p {p} ({row['weeks']} weeks)."
    )


def _severity(row: Row, slower_pct: float) -> Severity:
    """Only what changed asks for anything; only latency that rose much asks for action."""
    if row["level"] != "changed":
        return "ok" if row["level"] in CALM else "unknown"
    if not row["measure"].endswith("latency"):
        return "watch"
    if row["unusual_pct"] < 0:
        return "ok"
    return "act" if row["unusual_pct"] >= slower_pct else "watch"


def _statements_verdict(
    rows: pd.DataFrame, moved: pd.DataFrame, slower_pct: float, heavy_pct: float
) -> Verdict:
    changed = rows[rows["level"] == "changed"]
    heavy = moved[moved["move"].isin(["new", "back"]) & (moved["share_pct"] >= heavy_pct)]
    level = _statements_level(rows, changed, heavy)
    told = [_severity(row, slower_pct) for row in changed.to_dict("records")] + ["watch"] * len(heavy)
    calm: Severity = "ok" if level in CALM else "unknown"
    severity = min(told, key=SEVERITIES.index) if told else calm
    counts = {move: int((moved["move"] == move).sum()) for move in MOVES}
    numbers = {"digests": rows["digest"].nunique(), "changed": changed["digest"].nunique()} | counts
    sentence = f"{_changed_sentence(rows, changed)} {_moves_sentence(counts, moved, heavy)}"
    evidence = "the tables of changes and of ranks"
    return Verdict(
        "workload_change", "statements", level, severity, sentence, numbers, evidence, ACTIONS[level]
    )


def _statements_level(rows: pd.DataFrame, changed: pd.DataFrame, heavy: pd.DataFrame) -> str:
    """The most that can be said of any of them that ran on days enough."""
    if len(changed):
        return "changed"
    if len(heavy):
        return "new statement"
    return min(rows.loc[rows["low_pct"].notna(), "level"], key=RANK.__getitem__, default="unknown")


def _changed_sentence(rows: pd.DataFrame, changed: pd.DataFrame) -> str:
    if rows.empty:
        return "No statement has statistics in both windows."
    compared, weeks = rows["digest"].nunique(), rows["weeks"].max()
    if weeks < WEEKS_NEEDED:
        return (
            f"{compared} statements were compared; week-to-week variation unknown "
            f"({weeks} of the {WEEKS_NEEDED} weeks needed), so none is called changed."
        )
    most = changed.sort_values("unusual_pct", key=np.abs, ascending=False).head(3).to_dict("records")
    named = "; ".join(
        f"{row['digest']} on {row['seat']}: {row['measure']} {row['unusual_pct']:+.0f} %" for row in most
    )
    count = changed["digest"].nunique()
    return f"{count} of {compared} statements changed beyond ordinary weeks" + (
        f" ({named})." if named else "."
    )


def _moves_sentence(counts: Mapping[str, int], moved: pd.DataFrame, heavy: pd.DataFrame) -> str:
    if moved["rank_before"].isna().all():
        return "There is no load by statement to rank against."
    told = f"By load {counts['new']} are new, {counts['back']} back, {counts['vanished']} no longer listed, "
    told += f"{counts['up']} clearly up and {counts['down']} clearly down."
    named = ", ".join(f"{row['digest']} with {row['share_pct']:.0f} %" for row in heavy.to_dict("records"))
    return f"{told} New with a heavy share of the load: {named}." if named else told


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _figure(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.10g}"
