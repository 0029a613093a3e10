"""Who held the oldest read view? Precision and recall of three rules, and whether the confidence holds.

`python dev.py bench attribution` simulates histories whose holders are planted (`_history_list.py`), samples them once a
minute as CloudWatch does, and names the holder by three rules:

- `simple`: the oldest statement that is open in the log
- `growth`: the earlier rule, which only matches the implied start of the view (`_growth_mass.py`)
- `both`: `undo_log.attribution`, which joins log order and history list

Precision is the share of the growth attributed to a statement that is attributed to the right one; recall is the share of
the growth under logged holders that is attributed to the right one. Growth counts from half a minute after a view's
start. Seeds from 700 on are held out: settings were chosen with seeds below 10 and from 1000 on.

A few decisions make up a fortnight, so one of them moves a score by a per cent or two. Scores are therefore compared seed by
seed, point and mean samples together. The exit code is 1 if `both` is worse than another rule in a setting by more than half a
per cent plus what chance explains (one-sided 95 % limit of Student's t over the seeds), or if the confidence of a class is off
by more than 0.1 plus two standard errors. What decides about a name is often one fact for a whole fortnight: whether a
workload that always begins together with others holds views. All spans of one workload in one fortnight are one fact.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from _growth_mass import labels as growth_mass
from _history_list import SETTINGS, Course, course
from scipy import stats

from aurora_analysis.analysis.series import stretches
from aurora_analysis.analysis.undo_log import confidence, holders, implied_start
from aurora_analysis.analysis.undo_log.samples import NONE, UNKNOWN

Labels = npt.NDArray[np.int64]

HELD_OUT = 700
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "holder-confidence.png"
RESULTS = Path(__file__).parent / "ATTRIBUTION.md"
MARGIN = 0.005
"""Largest difference that counts as equal: one decision in a fortnight."""
OFF_BY = 0.1
"""Largest difference between confidence and the share that is right, in classes with at least `FACTS_NEEDED` facts."""
CLASSES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
FACTS_NEEDED = 8


def main() -> int:
    """Run all settings, print the tables, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=5, help="Seeds per setting and way of sampling.")
    parser.add_argument(
        "--first-seed",
        type=int,
        default=HELD_OUT,
        help="Seeds below 10 and from 1000 on were used for tuning.",
    )
    options = parser.parse_args()
    scores, spans = _measured(range(options.first_seed, options.first_seed + options.seeds))
    table = (
        scores.groupby(["setting", "sampling", "rule"], sort=False)[["precision", "recall"]].mean().unstack()
    )
    behind = _behind(scores)
    unknown = scores[scores["rule"] == "both"].groupby(["setting", "sampling"], sort=False)["unknown"].mean()
    lines = [*_markdown(table, unknown)]
    reliability = _reliability(spans)
    lines += [
        "",
        "Where `both` is behind another rule, the mean difference and what chance explains of it:",
        "",
        "| setting | rule | score | difference | chance |",
        "|---|---|---|---|---|",
        *(
            f"| {' | '.join(place)} | {row['difference']:+.3f} | {row['chance']:.3f} |"
            for place, row in behind[behind["difference"] < 0].iterrows()
        ),
    ]
    lines += [
        "",
        "| confidence | spans | facts | mean confidence | share right | standard error |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['spans']:.0f} | {row['facts']:.0f} | {row['confidence']:.2f} | {row['right']:.2f} | "
        f"{row['error']:.2f} |"
        for name, row in reliability.iterrows()
    ]
    print("\n".join(lines))
    failures = [*_failures(behind, reliability)]
    print(*failures, sep="\n")
    if options.first_seed == HELD_OUT:
        _draw(reliability)
        about = (
            "# Who held the read view?\n\nMade by `python3 dev.py bench attribution`, whose docstring defines rules and "
            f"scores: {options.seeds} seeds of four days for each row.\n\n"
        )
        RESULTS.write_text(about + "\n".join(lines) + "\n", encoding="utf-8")
    return 1 if failures else 0


def _measured(seeds: range) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, spans = [], []
    for name, setting in SETTINGS.items():
        for sampling in ("point", "mean"):
            for seed in seeds:
                played = course(setting.sampled(sampling), seed)
                found = _combination(played)
                rules: dict[str, Callable[[Course], Labels]] = {
                    "simple": _oldest_open,
                    "growth": _growth_mass,
                }
                named = {rule: label(played) for rule, label in rules.items()} | {
                    "both": _labels(found.oldest_view)
                }
                rows += [
                    {
                        "setting": name,
                        "sampling": sampling,
                        "seed": seed,
                        "rule": rule,
                        **_score(played, label),
                    }
                    for rule, label in named.items()
                ]
                spans += [
                    one | {"fact": f"{name} {seed} {one['workload']}"} for one in _judged_spans(played, found)
                ]
    return pd.DataFrame(rows), pd.DataFrame(spans)


def _oldest_open(played: Course) -> Labels:
    middle = played.history.index + pd.Timedelta("30s")
    label = np.full(len(middle), NONE)
    for row in played.runs.sort_values("start", ascending=False).itertuples():
        label[(middle >= row.start) & (middle < row.end)] = row.Index
    return label


def _growth_mass(played: Course) -> Labels:
    return growth_mass(played.history, implied_start.committed(played.throughput), played.runs)


def _combination(played: Course) -> holders.Attribution:
    return holders.attribution(played.history, implied_start.committed(played.throughput), played.runs)


def _labels(oldest_view: pd.DataFrame) -> Labels:
    run = oldest_view["run"].fillna(NONE).to_numpy(dtype=int)
    return np.where(oldest_view["state"] == "unknown", UNKNOWN, run)


def _growth(played: Course) -> npt.NDArray[np.float64]:
    smooth = played.history.rolling(3, center=True, min_periods=1).median().to_numpy()
    age = (played.history.index - played.since).total_seconds().to_numpy()
    return np.where((played.holder == NONE) | (age >= 30), np.clip(np.gradient(smooth), 0, None), 0)


def _score(played: Course, label: Labels) -> dict[str, float]:
    growth, true = _growth(played), played.holder
    right = growth[(label >= 0) & (label == true)].sum()
    unlogged = growth[true == UNKNOWN]
    return {
        "precision": right / growth[label >= 0].sum(),
        "recall": right / growth[true >= 0].sum(),
        "unknown": growth[(true == UNKNOWN) & (label == UNKNOWN)].sum() / unlogged.sum()
        if unlogged.any()
        else np.nan,
    }


def _judged_spans(played: Course, found: holders.Attribution) -> Iterator[dict[str, Any]]:
    """The confidence of each span that names a statement, and the share of its growth under that workload's views."""
    growth, runs = _growth(played), played.runs.assign(instance="reader")
    whose = np.append(runs["workload"].to_numpy(dtype=object), "")[np.clip(played.holder, -1, None)]
    label = _labels(found.oldest_view)
    bounds = [
        (first, last) for first, last in stretches(label) if label[first] >= 0 and growth[first:last].any()
    ]
    times = played.history.index
    ends = [times[last] if last < len(times) else times[-1] + pd.Timedelta("1min") for _, last in bounds]
    spans = pd.DataFrame({"start": times[[first for first, _ in bounds]], "end": ends})
    every = confidence.explanations(spans, found, runs).set_index(["span", "name"])["probability"]
    for span, (first, last) in enumerate(bounds):
        workload, grown = runs["workload"].iloc[label[first]], growth[first:last]
        yield {
            "workload": workload,
            "confidence": every[span, f"{workload} on reader"],
            "right": grown[whose[first:last] == workload].sum() / grown.sum(),
            "growth": grown.sum(),
        }


def _reliability(spans: pd.DataFrame) -> pd.DataFrame:
    """Number of spans, mean confidence and share that is right, by class of confidence."""
    sure = pd.Series(confidence.calibrated(spans["confidence"].to_numpy()), spans.index)
    classes = pd.cut(sure, CLASSES, labels=[f"{a:.2f} to {b:.2f}" for a, b in zip(CLASSES, CLASSES[1:])])
    rows = spans.assign(confidence=sure).groupby(classes, observed=True)
    table = rows.agg(
        spans=("right", "size"),
        facts=("fact", "nunique"),
        confidence=("confidence", "mean"),
        right=("right", "mean"),
    )
    return table.assign(error=pd.Series({name: _clustered_error(one) for name, one in rows}))


def _clustered_error(spans: pd.DataFrame) -> float:
    """Standard error of the share that is right less the confidence, with one observation per fact."""
    off = spans["right"] - spans["confidence"]
    return float(np.sqrt(((off - off.mean()).groupby(spans["fact"]).sum() ** 2).sum()) / len(spans))


def _behind(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean difference of `both` to each other rule, and the one-sided 95 % limit of chance, by setting and score."""
    by_seed = (
        scores.groupby(["setting", "seed", "rule"], sort=False)[["precision", "recall"]].mean().unstack()
    )
    rows = {}
    for setting, mine in by_seed.groupby(level="setting", sort=False):
        for rule in ("simple", "growth"):
            for score in ("precision", "recall"):
                off = (mine[score, "both"] - mine[score, rule]).dropna()
                reach = stats.t.isf(0.05, len(off) - 1) if len(off) > 1 else 0.0
                chance = reach * off.std(ddof=1) / np.sqrt(len(off)) if len(off) > 1 else 0.0
                rows[setting, rule, score] = {"difference": off.mean(), "chance": chance}
    return pd.DataFrame.from_dict(rows, orient="index")


def _markdown(table: pd.DataFrame, unknown: pd.Series) -> Iterator[str]:
    rules = ("simple", "growth", "both")
    yield (
        "| setting | sampling | "
        + " | ".join(f"{rule}: precision / recall" for rule in rules)
        + " | unlogged found |"
    )
    yield "|---" * 6 + "|"
    for (setting, sampling), row in table.iterrows():
        cells = [f"{row['precision', rule]:.3f} / {row['recall', rule]:.3f}" for rule in rules]
        found = unknown[setting, sampling]
        yield f"| {setting} | {sampling} | {' | '.join(cells)} | {'' if np.isnan(found) else f'{found:.2f}'} |"


def _failures(behind: pd.DataFrame, reliability: pd.DataFrame) -> Iterator[str]:
    for place, row in behind.iterrows():
        if row["difference"] < -MARGIN - row["chance"]:
            yield f"{' '.join(place)}: {row['difference']:+.3f}, chance explains {row['chance']:.3f}"
    for name, row in reliability[reliability["facts"] >= FACTS_NEEDED].iterrows():
        if abs(row["right"] - row["confidence"]) > OFF_BY + 2 * row["error"]:
            yield f"confidence {name}: {row['right']:.2f} are right"


def _draw(reliability: pd.DataFrame) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(4.5, 4), layout="constrained")
    ax.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="perfect calibration")
    ax.plot(reliability["confidence"], reliability["right"], marker="o", label="held-out simulations")
    for row in reliability.itertuples():
        ax.annotate(
            f"{row.spans}",
            (row.confidence, row.right),
            xytext=(6, -10),
            textcoords="offset points",
            fontsize=8,
        )
    ax.set_xlabel("printed confidence")
    ax.set_ylabel("share of growth under the named workload")
    ax.set_title("Is the confidence right? (labels: number of spans)", fontsize=10)
    ax.legend()
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(main())
