"""Compare predicted with measured what-if: the same extract as planned, in chunks, at READ COMMITTED, at another hour.

The effect curve and the growth are learned from a recorded fortnight of a real MariaDB (`data/fortnight`: one day compressed
into four minutes), as `aurora-analysis review` learns from a cluster. Then each alternative is *done*, once per seed, on a
fresh server with the same load: a Tuesday with four extracts of 140 min. Predictions know the plan and the fortnight, not
the Tuesday.

    python3 benchmarks/whatif.py --seeds 10    # 45 minutes; writes WHATIF.md; exit 1 if a gate fails

Measured are the longest history list, and the mean latency of the queue's statements during the extract over that of the
minutes outside all extracts close by, with the daily cycle of the planned load held constant. The second has an error of
its own, estimated from the hours without an extract. On a machine that other work shares it is large.

READ COMMITTED is predicted as on an Aurora reader: no view is older than a minute. That bounds the history list from
above, and only this bound is checked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from aurora_analysis import Store, Window, config, observe
from aurora_analysis.analysis import limits
from aurora_analysis.analysis.limits import replay
from aurora_analysis.lab import compressed

HERE = Path(__file__).resolve().parent
TUESDAY = Window("2026-11-24", "2026-11-25")
FORTNIGHT = HERE.parent / "data" / "fortnight"
DAY_LENGTH_S = 240.0
"""As that of the fortnight."""

RUN_MIN, CHUNK_MIN = 140.0, 20.0
STARTS = {"another hour": 4.0, "as planned": 9.0, "chunks": 14.0, "READ COMMITTED": 19.0}
"""Alternative → start of the extract [h]."""

AFTER_MIN = 60.0
"""Minutes after an extract that are no baseline."""

AROUND = pd.Timedelta(hours=2)
"""Free minutes this close to an extract are its baseline: the machine's other work changes through the day."""

USERS = {"application": "app", "extract": "snowflake", "control": "bi"}
COVERAGE_LEAST = 90.0


def plan() -> pd.DataFrame:
    """The Tuesday's extracts; the control's first run is a query without tables, its second one is READ COMMITTED."""
    rows = [_row("control", "warm-up", 0.5, 10.0)]
    for name, hour in STARTS.items():
        role = "control" if name == "READ COMMITTED" else "extract"
        length = CHUNK_MIN if name == "chunks" else RUN_MIN
        rows += [_row(role, name, hour + at / 60, length) for at in np.arange(0, RUN_MIN, length)]
    unknown = pd.Series(pd.NaT, index=range(len(rows)), dtype="datetime64[us, UTC]")
    return (
        pd.DataFrame(rows).sort_values("time", ignore_index=True).assign(started_at=unknown, ended_at=unknown)
    )


def _row(role: str, name: str, hour: float, minutes: float) -> dict[str, Any]:
    begin = pd.Timestamp(TUESDAY.start).as_unit("us") + pd.Timedelta(minutes=60 * hour)
    return {
        "time": begin,
        "end": begin + pd.Timedelta(minutes=minutes),
        "trial": name,
        "block": 0,
        "workload": USERS[role],
        "assigned": True,
        "on_share": 1.0,
        "holds_view": role == "extract",
    }


def learned(store: Store) -> limits.Answer:
    """What `review` would learn from the recording."""
    return limits.answer(observe(store, store.span("lab"), "lab"), config.groups(""))


def done(seed: int, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Do the Tuesday on a fresh server, unless the folder has it: the writer's metrics by minute, and what ran when."""
    store = Store(folder / str(seed))
    if not (folder / str(seed) / "coverage").exists():  # written last
        compressed.record_plan(store, compressed.Compressed(TUESDAY, plan(), DAY_LENGTH_S, seed, USERS))
    names = ["queue_latency", "history_list_length", "planned_rate"]
    return store.metrics(names, TUESDAY, cluster="lab"), store.read("trials", TUESDAY, cluster="lab")


def compared(answer: limits.Answer, metrics: pd.DataFrame, trials: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Predicted and measured figures of each alternative on one Tuesday."""
    ran = trials[trials["started_at"].notna() & (trials["trial"] != "warm-up")]
    times = pd.DatetimeIndex(metrics.index)
    free = np.ones(len(times), dtype=bool)
    for start, end in zip(ran["started_at"], ran["ended_at"]):
        free &= (times < start) | (times > end + pd.Timedelta(minutes=AFTER_MIN))
    relative = _relative(metrics, free)
    rows = []
    for name, runs in ran.groupby("trial"):
        first, last = runs["started_at"].min(), runs["ended_at"].max()
        inside = (times >= first) & (times <= last)
        found = _predicted(answer, runs, str(name))
        near = free & (times >= first - AROUND) & (times <= last + AROUND)
        error, df = measurement_error(relative, free, int(inside.sum()), int(near.sum()))
        measured = 100 * np.expm1(np.nanmean(relative[inside]) - np.nanmean(relative[near]))
        peak = float(metrics["history_list_length"][inside].max())
        bound = name == "READ COMMITTED"
        rows.append(
            {
                "seed": seed,
                "alternative": name,
                "length": found.length.value,
                "length_low": 0.0 if bound else found.length.low,
                "length_high": found.length.high,
                "length_measured": peak,
                "slower": found.mean_slowdown_pct.value,
                "slower_low": found.mean_slowdown_pct.low,
                "slower_high": found.mean_slowdown_pct.high,
                "slower_measured": measured,
                "error": error,
                "df": df,
                "length_inside": (bound or peak >= found.length.low) and peak <= found.length.high,
            }
        )
    return pd.DataFrame(rows)


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Add whether each measured slowdown lies in its interval, the measurement's own error included.

    The prediction is of the effect; one measurement also has the machine's noise, as independent. A Tuesday has ten free hours to
    estimate it from, so that the estimates of one server differ threefold; their mean square over all Tuesdays is used.
    """
    pooled = np.sqrt((table["error"] ** 2).groupby(table["alternative"]).transform("mean"))
    reach = pooled * stats.t.ppf(0.975, table["df"].groupby(table["alternative"]).transform("sum"))
    beyond = table["slower_measured"] - table["slower"]
    below = np.hypot(table["slower"] - table["slower_low"], reach)
    above = np.hypot(table["slower_high"] - table["slower"], reach)
    return table.assign(error=pooled, slower_inside=beyond.between(-below, above))


def _predicted(answer: limits.Answer, runs: pd.DataFrame, name: str) -> replay.Outcome:
    """Predict the views that were held; at READ COMMITTED each statement is as short as a minute."""
    first = runs["started_at"].min()
    at = 1440 * first.day_of_week + 60 * first.hour + first.minute
    offsets = [((one - first) / pd.Timedelta("1min")) for one in (runs["started_at"], runs["ended_at"])]
    spans = sorted(zip(*(list(map(float, one)) for one in offsets)))
    chosen = replay.Plan(at, tuple(spans))
    if name == "READ COMMITTED":
        chosen = replay.chunked(at, chosen.minutes, 1.0)
    assert answer.growth and answer.curve and answer.recorded
    return replay.replayed(answer.growth, answer.curve, chosen, answer.recorded.base, 10.0)


def _relative(metrics: pd.DataFrame, free: np.ndarray) -> np.ndarray:
    """Log latency relative to that of free minutes at the same planned load and time of the run."""
    load = np.log(metrics["planned_rate"]).to_numpy()
    through = np.linspace(-1, 1, len(load))
    columns = np.column_stack([np.ones(len(load)), load, load**2, through])
    y = np.log(metrics["queue_latency"].where(lambda values: values > 0)).to_numpy()
    known = free & np.isfinite(y) & np.isfinite(load)
    limit = np.nanquantile(y[known], 0.995)  # a stall of the machine is not the question
    coefficients = np.linalg.lstsq(columns[known], np.minimum(y[known], limit), rcond=None)[0]
    return np.minimum(y, limit + 1) - columns @ coefficients


LAG_H = 4
"""Hours this close show how far the machine's own noise drifts between an extract and its baseline."""


def measurement_error(relative: np.ndarray, free: np.ndarray, inside: int, near: int) -> tuple[float, float]:
    """Standard error of a mean over `inside` minutes less one over `near` minutes close by [%], and its degrees of freedom.

    Noise from minute to minute averages out, the machine's other work does not: that part is half the mean square of the
    difference between free hours up to `LAG_H` apart, beyond what minutes explain. Without an effect, the 95 % interval
    holds 91 to 99 % of simulated differences (white noise, and noise that lasts 1 or 4 hours); one from neighbouring hours
    alone held 84 to 91 %.
    """
    hours = len(relative) // 60
    minutes = np.where(free, relative, np.nan)[: 60 * hours].reshape(hours, 60)
    at = np.flatnonzero(np.isfinite(minutes).sum(axis=1) >= 30)
    minutes = minutes[at]
    means = np.nanmean(minutes, axis=1)
    one, other = np.triu_indices(len(at), 1)
    pairs = at[other] - at[one] <= LAG_H
    between = np.mean((means[one] - means[other])[pairs] ** 2) / 2
    within = np.nanvar(np.diff(minutes, axis=1)) / 2
    drift = max(0.0, between - within / 60)
    return float(100 * np.sqrt(within * (1 / inside + 1 / max(near, 1)) + drift)), float(max(len(at) - 1, 1))


def page(table: pd.DataFrame, command: str, answer: limits.Answer) -> tuple[str, bool]:
    """The results as Markdown, and whether all gates passed."""
    by = table.groupby("alternative", sort=False)
    shares = 100 * by[["length_inside", "slower_inside"]].mean()
    total = 100 * table[["length_inside", "slower_inside"]].mean()
    gates = {
        f"the history list lies in its interval in at least {COVERAGE_LEAST:g} % (measured {total['length_inside']:.0f} %)": (
            total["length_inside"] >= COVERAGE_LEAST
        ),
        f"the slowdown lies in its interval, its measurement error included, in at least {COVERAGE_LEAST:g} % "
        f"(measured {total['slower_inside']:.0f} %)": total["slower_inside"] >= COVERAGE_LEAST,
    }
    lines = [
        "# Does what-if predict what happens when it is done?",
        "",
        f"Made by `{command}`, on a real MariaDB: {table['seed'].nunique()} seeds, each with every alternative done once. "
        f"Learned from {len(answer.recorded.episodes) if answer.recorded else 0} holds in a recorded fortnight, "
        "whose server was another run on another day.",
        "",
        "| alternative | history list: predicted (mean of the intervals) | measured | inside | slower by [%]: predicted | "
        "measured (own error) | inside |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in by:
        mean = rows.drop(columns="alternative").mean()
        lines.append(
            f"| {name} | {mean['length']:,.0f} ({mean['length_low']:,.0f} to {mean['length_high']:,.0f}) | "
            f"{mean['length_measured']:,.0f} | {shares.loc[name, 'length_inside']:.0f} % | {mean['slower']:.1f} "
            f"({mean['slower_low']:.1f} to {mean['slower_high']:.1f}) | {mean['slower_measured']:.1f} ({mean['error']:.1f}) | "
            f"{shares.loc[name, 'slower_inside']:.0f} % |"
        )
    lines += ["", *(f"- {gate}: {'passed' if held else 'FAILED'}" for gate, held in gates.items()), ""]
    return "\n".join(lines), all(gates.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("store", nargs="?", default=FORTNIGHT, type=Path, help="recording to learn from")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=800)
    parser.add_argument(
        "--keep", type=Path, help="folder for the recorded Tuesdays, from which a stopped run resumes"
    )
    parser.add_argument("--results", type=Path, default=HERE / "WHATIF.md")
    options = parser.parse_args()
    answer = learned(Store(options.store))
    print(*answer.verdicts, sep="\n", flush=True)
    if answer.curve is None:
        print("Nothing can be predicted from this recording, so nothing was done.", file=sys.stderr)
        return 1
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            rows.append(compared(answer, *done(seed, options.keep or Path(temporary)), seed))
            print(rows[-1].round(1).to_string(), flush=True)
    table = judged(pd.concat(rows, ignore_index=True))
    command = f"python benchmarks/whatif.py --seeds {options.seeds} --first-seed {options.first_seed}"
    text, passed = page(table, command, answer)
    print(text)
    options.results.write_text(text, encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
