"""Did the workload change against another window, or is it an ordinary week?

Throughput and latency of each seat (the writer, and every reader by name) and of each of its digests are compared
hour by hour with the same hour and weekday of the other window, so that the shape of the week cancels. Two
questions are told apart:

- *Did these two windows differ?* The interval leaves out one weekday after the other (delete-one-block jackknife):
  one odd day makes it wide.
- *Do weeks ordinarily differ so much?* Only earlier weeks can tell. With at least WEEKS_NEEDED weeks each digest's own
  spread from week to week (`spread`) gives a prediction interval. It is asked twice: of the digest by itself, and of
  what it did apart from its siblings, the other digests of its seat. Where weeks move all of them alike, one that
  moved by itself is seen only so. p-values of both are adjusted for their number (Benjamini & Hochberg).

`changed` needs both, and a change that is material; what weeks ordinarily do is `ordinary`. `apart` is a statement of
its own, beside it: moved, and beyond what the siblings did. With fewer weeks nothing is ever called either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from operator import and_
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis.analysis.series import Array
from aurora_analysis.analysis.sparkline import Sparkline, sparklines
from aurora_analysis.analysis.statistics import adjusted
from aurora_analysis.analysis.verdict import SEVERITIES, Severity, Verdict, by_severity
from aurora_analysis.analysis.workload_change import matched_hours, weekly_variation
from aurora_analysis.analysis.workload_change.matched_hours import Sums
from aurora_analysis.analysis.workload_change.weekly_variation import WEEKS_NEEDED, Effect
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

MOST_WEEKS = 8
"""Older weeks tell of another workload."""

TESTED = ["unusual", "apart"]
"""Two questions asked of each subject; one adjustment for the number of both."""

MISSED = 0.1
"""How often each of two conditions may miss a change that counts as detectable: together one time in five."""

CALLS = ["time", "period_s", "instance", "digest", "calls", "mean_latency_ms"]
"""What is compared of each digest."""

CHANGE = ["change_pct", "low_pct", "high_pct"]
UNUSUAL, APARTNESS, ALIKE = (
    [f"{move}_pct", f"{move}_low_pct", f"{move}_high_pct"] for move in ("unusual", "apart", "alike")
)
MISSING = "–"
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
    (`seat, digest, measure`), and each move [%] with its interval (`low_…`, `high_…`):

    - `change_pct`: against `before`, from `before` to `now` (means over `hours_matched`, `matched_by`), by day blocks;
    - `unusual_pct`: against ordinary weeks, or against `before` where that is a baseline; with `p_adjusted`, `weeks`
      that tell it, this one included, their `spread_pct`, and `level`;
    - `apart_pct`: the same, beyond what its `siblings` did alike; with `apart_p_adjusted`, and `apart`: whether it is
      more than chance;
    - `alike_pct`: what the siblings did alike;
    - `detectable_pct`: a move so large would be found four times in five.
    """
    subjects = pd.MultiIndex.from_frame(hours[SUBJECT].drop_duplicates().sort_values(SUBJECT))
    now, then, *known = (_sums(hours, one, subjects, timezone) for one in (window, before, *weeks))
    weekly = matched_hours.shared(now, then) >= 0.5
    pair = (now, then) if weekly else (_dates(hours, one, subjects, timezone) for one in (window, before))
    is_week = before == window.previous() or before in weeks
    baseline = None if is_week else (then, max(1.0, before.duration / timedelta(days=7)))
    change, means = _compared(*pair, weekly=weekly)
    lone = subjects.get_level_values("digest") == ""
    ordinary = weekly_variation.against_weeks(now, known, baseline, _kinds(now, subjects), lone)
    moved = ordinary.moves
    tested = [np.where(means["hours_matched"] > 0, moved[name].p, np.nan) for name in TESTED]
    p = np.split(adjusted(pd.Series(np.concatenate(tested))), len(TESTED))
    strict = alpha / max(np.isfinite(tested).sum(), 1)
    told = means | {"weeks": ordinary.weeks, "siblings": ordinary.siblings}
    told |= {"spread_pct": 100 * ordinary.spread, "p_adjusted": p[0], "apart_p_adjusted": p[1]}
    told |= _percents({"": change} | moved, alpha)
    told["detectable_pct"] = _detectable(change, moved, strict, alpha, materiality_pct)
    frame = pd.DataFrame(told, index=subjects).reset_index()
    frame = frame[frame["hours_matched"] > 0].sort_values(
        "seat", key=_writer_first, kind="stable", ignore_index=True
    )
    return frame.assign(
        level=_levels(frame, materiality_pct, alpha), apart=_apart(frame, materiality_pct, alpha)
    )


def _percents(moves: Mapping[str, Effect], alpha: float) -> dict[str, Array]:
    """Each move with its interval [%]."""
    told = {}
    for name, move in moves.items():
        half, prefix = move.half(alpha), f"{name}_" if name else ""
        told[f"{name or 'change'}_pct"] = _percent(move.estimate)
        told[f"{prefix}low_pct"] = _percent(move.estimate - half)
        told[f"{prefix}high_pct"] = _percent(move.estimate + half)
    return told


def _sums(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> Sums:
    return _with_idle_hours(matched_hours.by_weekday(hours, window, subjects, timezone), subjects)


def _dates(hours: pd.DataFrame, window: Window, subjects: pd.MultiIndex, timezone: str) -> Sums:
    return _with_idle_hours(matched_hours.by_date(hours, window, subjects, timezone), subjects)


def _with_idle_hours(sums: Sums, subjects: pd.MultiIndex) -> Sums:
    """In an hour in which its seat's other digests were observed, a digest that is not listed had no calls."""
    weight, names = sums.weight.copy(), subjects.to_frame(index=False)
    counted = (names["measure"] == "throughput") & (names["digest"] != "")
    for _, rows in names[counted].groupby("seat"):
        weight[rows.index] = weight[rows.index].max(axis=0)
    return Sums(sums.total, weight)


def _kinds(now: Sums, subjects: pd.MultiIndex) -> list[str]:
    """The subjects that spread alike: statements of a seat and a measure, at work in most hours or in few."""
    often = (now.total > 0).mean(axis=(1, 2)) >= 0.5
    return [
        f"{seat} {'often' if many else 'rare'} {measure}" if digest else measure
        for (seat, digest, measure), many in zip(subjects, often)
    ]


def _writer_first(seats: pd.Series) -> pd.Series:
    return seats != "writer"


def _percent(logs: Array) -> Array:
    return 100 * np.expm1(logs)


def _compared(now: Sums, before: Sums, *, weekly: bool) -> tuple[Effect, dict[str, Any]]:
    """The two windows themselves: the change, its error by day blocks, and levels over matched hours."""
    error = matched_hours.paired_error(now, before) if weekly else matched_hours.unpaired_error(now, before)
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


def _detectable(
    change: Effect, moves: Mapping[str, Effect], strict: float, alpha: float, materiality_pct: float
) -> Array:
    """How large a move [%] would be found four times in five: each of two conditions holds nine times in ten.

    It must stand out of ordinary weeks, by itself or apart, though it be the only one of all that are compared; and it
    must stand out of its days against the window before, which is a week that spreads, too.
    """
    material = np.log1p(materiality_pct / 100)
    by_weeks = [
        np.maximum(moves[name].half(strict), material) + moves[name].half(2 * MISSED) for name in TESTED
    ]
    by_days = change.half(alpha) + np.sqrt(2) * moves["unusual"].half(2 * MISSED)
    return _percent(np.maximum(np.fmin(*by_weeks), by_days))


def _levels(frame: pd.DataFrame, materiality_pct: float, alpha: float) -> npt.NDArray[np.str_]:
    """The first rule that holds; without enough weeks nothing is changed."""
    told = frame["weeks"] >= WEEKS_NEEDED
    low = frame["unusual_low_pct"].where(told, frame["low_pct"])
    high = frame["unusual_high_pct"].where(told, frame["high_pct"])
    rules = {
        "unknown": frame["change_pct"].isna() | low.isna(),
        "changed": (frame["p_adjusted"] <= alpha) & _moved(frame, "unusual_pct", materiality_pct),
        "no material change": (low > -materiality_pct) & (high < materiality_pct),
        "ordinary": told & (frame["p_adjusted"] > alpha),
        "inconclusive": told,
    }
    return np.select([rule.to_numpy() for rule in rules.values()], list(rules), "unknown")


def _apart(frame: pd.DataFrame, materiality_pct: float, alpha: float) -> pd.Series:
    """What moved itself, and beyond what its siblings did; not what stayed where it was while they moved."""
    itself = frame["unusual_pct"].abs() >= materiality_pct
    return (frame["apart_p_adjusted"] <= alpha) & _moved(frame, "apart_pct", materiality_pct) & itself


def _moved(frame: pd.DataFrame, move: str, materiality_pct: float) -> pd.Series:
    """A material move, the same way as the change against the other window, which no single day decides."""
    ways = [np.sign(frame[name]) for name in ("low_pct", "high_pct", "change_pct", "unusual_pct")]
    same_way = reduce(and_, [way == np.sign(frame[move]) for way in ways])
    return (frame[move].abs() >= materiality_pct) & same_way


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Changes as people read them: `before`, `now` with unit, `change [%]` as "-0.7 [-3.8, +2.5]", and so on.

    Of ordinary weeks and siblings there are columns only where they tell something.
    """
    moves = {"change [%]": CHANGE, "ordinary weeks [%]": UNUSUAL, "against siblings [%]": APARTNESS}
    told = found[SUBJECT].assign(level=found["level"].where(~found["apart"], found["level"] + ", apart"))
    told = told.assign(before=_with_unit(found, "before"), now=_with_unit(found, "now"))
    told = told.assign(**{name: _with_intervals(found[columns]) for name, columns in moves.items()})
    told["detectable [%]"] = [
        MISSING if np.isnan(value) else f"{value:.1f}" for value in found["detectable_pct"]
    ]
    told = told.loc[:, ~(told == MISSING).all() | told.empty]
    return told.assign(hours=found["hours_matched"], weeks=found["weeks"])


def foremost(found: pd.DataFrame, moved: pd.DataFrame, *, most: int = 10) -> pd.DataFrame:
    """The changes of at most so many statements: those that changed, apart from their siblings first, then by load."""
    changed = found[(found["digest"] != "") & (found["apart"] | (found["level"] == "changed"))]
    largest = changed[["unusual_pct", "apart_pct"]].abs().max(axis=1)
    changed = changed.assign(largest=largest).sort_values(["apart", "largest"], ascending=False)
    digests = pd.Index(pd.concat([changed["digest"], moved["digest"]]).unique()[:most])
    rows = found[found["digest"].isin(digests)]
    return rows.sort_values("digest", key=digests.get_indexer, kind="stable", ignore_index=True)


def alike(found: pd.DataFrame) -> pd.DataFrame:
    """What the statements of a seat did all alike. Answers: is it one of them, or the whole instance?

    `seat, measure, statements, moved [%]`: their median against ordinary weeks; missing where they are few.
    """
    rows = _alike(found)
    moved = _with_intervals(rows[ALIKE])
    return rows[["seat", "measure"]].assign(statements=rows["siblings"] + 1, **{"moved [%]": moved})


def _alike(found: pd.DataFrame) -> pd.DataFrame:
    """One row a seat and measure: of the kind that most of its statements are of."""
    rows = found[found["alike_pct"].notna()].sort_values("siblings", ascending=False, kind="stable")
    return rows.drop_duplicates(["seat", "measure"]).sort_index()


def _with_unit(found: pd.DataFrame, column: str) -> list[str]:
    return [f"{_figure(value)} {UNITS[measure]}" for value, measure in zip(found[column], found["measure"])]


def _with_intervals(values: pd.DataFrame) -> list[str]:
    """A number with its interval, in one text; what is missing is a dash."""
    rows = values.to_numpy()
    spans = ["" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]" for _, low, high in rows]
    return [MISSING if np.isnan(value) else f"{value:+.1f}{span}" for (value, *_), span in zip(rows, spans)]


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


APART = "changed against siblings"

ACTIONS = {
    "changed": "Look at the statements that changed or are new, and at what was changed beside them.",
    APART: "Look at the statements that moved while their siblings did not: at their plans and their releases.",
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
    told = (
        f"against ordinary weeks, which spread by {row['spread_pct']:.0f} %, {row['unusual_pct']:+.0f} % "
        f"[{row['unusual_low_pct']:+.0f}, {row['unusual_high_pct']:+.0f}], adjusted p {p} ({row['weeks']} weeks)"
    )
    if row["level"] == "changed":
        return f"{told}."
    return f"{told}; a change is found (4 times in 5) from {row['detectable_pct']:.0f} % on."


def _severity(row: Row, slower_pct: float) -> Severity:
    """Only what changed asks for anything; only latency that rose much asks for action."""
    if row["level"] != "changed" and not row["apart"]:
        return "ok" if row["level"] in CALM else "unknown"
    if not row["measure"].endswith("latency"):
        return "watch"
    moved = row["unusual_pct"] if row["level"] == "changed" else row["apart_pct"]
    if moved < 0:
        return "ok"
    return "act" if moved >= slower_pct else "watch"


def _statements_verdict(
    rows: pd.DataFrame, moved: pd.DataFrame, slower_pct: float, heavy_pct: float
) -> Verdict:
    changed, apart = rows[rows["level"] == "changed"], rows[rows["apart"]]
    heavy = moved[moved["move"].isin(["new", "back"]) & (moved["share_pct"] >= heavy_pct)]
    level = _statements_level(rows, changed, apart, heavy)
    both = pd.concat([changed, apart]).to_dict("records")
    told = [_severity(row, slower_pct) for row in both] + ["watch"] * len(heavy)
    calm: Severity = "ok" if level in CALM else "unknown"
    severity = min(told, key=SEVERITIES.index) if told else calm
    counts = {move: int((moved["move"] == move).sum()) for move in MOVES}
    digests = {"digests": rows, "changed": changed, "apart": apart}
    numbers = {name: part["digest"].nunique() for name, part in digests.items()} | counts
    sentence = f"{_changed_sentence(rows, changed, apart)} {_moves_sentence(counts, moved, heavy)}"
    evidence = "the tables of changes and of ranks"
    return Verdict(
        "workload_change", "statements", level, severity, sentence, numbers, evidence, ACTIONS[level]
    )


def _statements_level(
    rows: pd.DataFrame, changed: pd.DataFrame, apart: pd.DataFrame, heavy: pd.DataFrame
) -> str:
    """The most that can be said of any of them that ran on days enough."""
    if len(changed) or len(apart):
        return "changed" if len(changed) else APART
    if len(heavy):
        return "new statement"
    return min(rows.loc[rows["low_pct"].notna(), "level"], key=RANK.__getitem__, default="unknown")


def _changed_sentence(rows: pd.DataFrame, changed: pd.DataFrame, apart: pd.DataFrame) -> str:
    if rows.empty:
        return "No statement has statistics in both windows."
    compared, weeks = rows["digest"].nunique(), rows["weeks"].max()
    if weeks < WEEKS_NEEDED:
        return (
            f"{compared} statements were compared; week-to-week variation unknown "
            f"({weeks:.0f} of the {WEEKS_NEEDED} weeks needed), so none is called changed."
        )
    told = f"{changed['digest'].nunique()} of {compared} statements changed beyond ordinary weeks"
    told = f"{told}{_named(changed, 'unusual')}.{_alike_sentence(rows, apart)}"
    return f"{told} {_detectable_sentence(rows)}".rstrip()


def _named(rows: pd.DataFrame, move: str) -> str:
    """The three that moved most, with their intervals."""
    most = rows.sort_values(f"{move}_pct", key=np.abs, ascending=False).head(3).to_dict("records")
    named = [
        f"{row['digest']} on {row['seat']}: {row['measure']} {row[f'{move}_pct']:+.0f} % "
        f"[{row[f'{move}_low_pct']:+.0f}, {row[f'{move}_high_pct']:+.0f}]"
        for row in most
    ]
    return f" ({'; '.join(named)})" if named else ""


def _alike_sentence(rows: pd.DataFrame, apart: pd.DataFrame) -> str:
    """How many moved against their siblings, and what the siblings did that moved most."""
    together = _alike(rows).to_dict("records")
    if not together:
        return ""
    most = max(together, key=lambda row: abs(row["alike_pct"]))
    return (
        f" {apart['digest'].nunique()} changed against their siblings{_named(apart, 'apart')}; what siblings did alike was "
        f"at most {most['measure']} {most['alike_pct']:+.0f} % [{most['alike_low_pct']:+.0f}, "
        f"{most['alike_high_pct']:+.0f}] on {most['seat']}."
    )


def _detectable_sentence(rows: pd.DataFrame) -> str:
    """Absence of evidence is told as such: how large a change had to be."""
    known = rows["detectable_pct"].dropna()
    if known.empty:
        return ""
    half, most = known.quantile([0.5, 0.9])
    return (
        f"A change is found (4 times in 5) from {half:.0f} % on in half of the statements, from {most:.0f} % on in nine of "
        "ten."
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
