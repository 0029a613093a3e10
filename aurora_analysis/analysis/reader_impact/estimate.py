"""Did a workload on the readers slow the writer, by how much, and how sure are we?

The writer's log latency of each minute is regressed on what moves it anyway (`nuisance`) and on the workload's
exposure, its dose (what purge could not clean up while it was open) and its tail (the half hour after it). The
effect is the mean fitted effect over the exposed minutes, at the load that the writer had. Its standard error comes
from leaving out one day after another (`jackknife`): minutes hang together and runs are few, which is why correlation
and t-tests see an effect where there is none.

Before any yes or no the data must be able to answer. A workload that always runs with the nightly batch, at the
same minute, or right after the writer became slow is refused, and the refusal says why. What starts together
with the workload and leaves no trace here cannot be told from it by any arithmetic; only moving it on random
days can (`aurora-analysis experiment`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from aurora_analysis.analysis.reader_impact import controls, event_study, model, regressors
from aurora_analysis.analysis.reader_impact.controls import Array, Grid, Integers, Left, Mask, Removal
from aurora_analysis.analysis.reader_impact.design import Study, stack, study
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.statistics import adjusted
from aurora_analysis.errors import Error

COLUMNS = [
    "workload",
    "metric",
    "level",
    "effect_pct",
    "ci_low_pct",
    "ci_high_pct",
    "p",
    "p_adjusted",
    "runs",
    "exposed_minutes",
    "days",
    "smallest_detectable_pct",
    "placebo_reject_pct",
    "reason",
    "sentence",
]

LEAD_ALPHA = 0.01

SIGN_ALPHA = 0.1
"""The variants are tried where the answer may become a yes."""

WINSORISE = 4.0
"""Residuals beyond so many robust standard deviations are pulled in: failovers and stalls are not the question."""

DRIFT_HOURS = (12, 24, 48)
"""Slower drift than this is taken out; a run must be short beside it, so long runs get a longer one."""

OTHERS = 10
"""So many other workloads, those that overlap most, stand beside the one that is estimated."""

RELATED = 0.15
"""Correlation above which two workloads run together by more than chance (some 400 runs' lengths in a fortnight)."""

SUSPECTS = 20
"""At most so many that seem to slow the writer stand beside all others."""

DAYS_NEEDED = 7
RUNS_NEEDED = 5
RUN_DAYS_NEEDED = 4
MINUTES_NEEDED = 30
COVERAGE_NEEDED = 0.5

VARIES_LEAST = 1e-3
"""A column of which the nuisance leaves less than this share of its variance is left out."""

CHUNK = 25
"""Workloads whose columns are made in one go."""

EXPLAINED_MOST = 0.80
"""Refused when the nuisance explains more of the exposure than this."""

COMPARABLE_DAYS = 3
COMPARABLE_LEAST = 0.5
"""This share of the exposed minutes needs so many days of their kind without the workload at that time of day.

Of weekends, which are few, half are enough: their difference to weekdays is a smooth one.
"""

IN_JOB_MOST = 0.40
JOB_FREE_LEAST = 0.25
"""Refused when this much exposure falls into a writer's job that seldom runs without the workload."""

TWIN_MOST = 0.80

PLACEBO_MOST = 12.0
"""Per cent of placebos rejected above which no verdict on these data can be trusted; 5 would be perfect."""

DETECTABLE = 2.8
"""Standard errors that an effect needs to be found with a power of 80 % at a level of 5 % (1.96 + 0.84)."""

SETTLES = {
    "job": "move it away from that job by one or two hours on random days; six to ten moved days are enough",
    "clock": "move it by one or two hours on random days; six to ten moved days are enough",
    "r2": "move it by one or two hours on random days; six to ten moved days are enough",
    "few": f"wait until it ran at least {RUNS_NEEDED} times on {RUN_DAYS_NEEDED} days",
    "lead": "look for what happens before its starts, or start it at random times",
    "twin": "report the two as one workload, or run them apart",
    "placebo": "run a randomised trial (aurora-analysis experiment)",
}


def estimate(
    latency: pd.DataFrame,
    load: pd.Series,
    exposures: pd.DataFrame,
    *,
    unknown: pd.DataFrame | None = None,
    writer_jobs: pd.DataFrame | None = None,
    history_list_length: pd.Series | None = None,
    roles: pd.DataFrame | None = None,
    timezone: str = "UTC",
    materiality: float = 0.05,
    alpha: float = 0.05,
    placebos: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """The effect of each workload on each of the writer's latencies while it is open [%], or why it cannot be told.

    Answers: did this reader workload slow the writer?
    `latency` has one column a metric [ms] and one row a minute (index UTC; NaN = missing), `load` is the writer's
    write throughput [1/s] on the same minutes. `exposures` has one row a run: `workload, start, end` (UTC), and so
    have `unknown`, the spans in which nobody can say whether it was open (they are left out, not taken for
    unexposed), and `writer_jobs`, the writer's own jobs; `history_list_length` shows how fast purge drains; `roles`
    are rows `start, end, writer` where a failover moved the writer. `timezone` is where people's days and weekends
    are. One row a workload and metric; `p_adjusted` by Benjamini & Hochberg over those that were not refused.
    `placebos` > 0 pastes so many real exposures onto other days and tells how many of these are "found".
    """
    _check_options(alpha, materiality, placebos)
    asked = study(
        latency,
        load,
        exposures,
        unknown=unknown,
        writer_jobs=writer_jobs,
        history_list_length=history_list_length,
        roles=roles,
        timezone=timezone,
    )
    asked = replace(asked, suspects=_suspects(asked))
    findings = [finding for part in _parts(asked) for finding in _findings(part)]
    rejected = _placebo_rejections(asked, alpha, placebos, seed)
    rows = [row for finding in findings for row in _rows(asked, finding, rejected, alpha)]
    table = pd.DataFrame(rows, columns=ROW_COLUMNS).pipe(_with_adjusted_p)
    table = table.assign(level=[_level(row, alpha, materiality) for row in table.itertuples()])
    table = table.assign(reason=[_reason(row) for row in table.itertuples()])
    table = table.assign(sentence=[_sentence(row, alpha) for row in table.itertuples()])
    return table.sort_values(["workload", "metric"], ignore_index=True)[COLUMNS]


def _check_options(alpha: float, materiality: float, placebos: int) -> None:
    if not 0 < alpha < 1:
        raise Error(f"alpha is {alpha}: give a share between 0 and 1, as 0.05 for intervals of 95 %.")
    if not materiality > 0:
        raise Error(f"materiality is {materiality}: give a share above 0, as 0.05 for 5 %.")
    if placebos < 0:
        raise Error(f"placebos is {placebos}: give how many are wanted, or 0 for none.")


SENSITIVITY_COLUMNS = ["workload", "metric", "variant", "effect_pct", "ci_low_pct", "ci_high_pct", "p"]


def sensitivity(
    latency: pd.DataFrame,
    load: pd.Series,
    exposures: pd.DataFrame,
    *,
    alpha: float = 0.05,
    **about: Any,
) -> pd.DataFrame:
    """The effects when the question is asked a little differently [%]. Answers: does the answer hang on a choice?

    `about` is what `estimate` takes besides. The variants: without dose; without what ran inside the writer's jobs; with every
    run as long as the median one (a slow storage makes a run long); and before the start, where none can be.
    """
    asked = study(latency, load, exposures, **about)
    rows = [
        (asked.workloads[i], metric, name, *_percent(fit, m, alpha))
        for part in _parts(asked)
        for i, view in _views(part, _told(part))
        for name, fit in (_variant_fits(part, i, view) | {BEFORE: view.lead()}).items()
        for m, metric in enumerate(part.metrics)
    ]
    return pd.DataFrame(rows, columns=SENSITIVITY_COLUMNS)


QUANTILE_COLUMNS = ["workload", "metric", "quantile", "effect_pct", "ci_low_pct", "ci_high_pct", "p"]


def quantile_effects(
    latency: pd.DataFrame,
    load: pd.Series,
    exposures: pd.DataFrame,
    *,
    quantiles: Sequence[float] = (0.5, 0.95, 0.99),
    alpha: float = 0.05,
    **about: Any,
) -> pd.DataFrame:
    """How quantiles of the minute means shift while a workload is open [%], everything else held constant.

    Answers: did the bad minutes get worse? CloudWatch's minute is a mean: this is the p95 of minute means, not of
    statements. `about` is what `estimate` takes besides. The point is the difference between exposed and unexposed minutes;
    its error comes from the recentred influence function (Firpo, Fortin & Lemieux 2009) with `estimate`'s days.
    """
    if not len(quantiles) or not all(0 < q < 1 for q in quantiles):
        raise Error(f"quantiles are {list(quantiles)}: give shares between 0 and 1, as 0.95.")
    asked = study(latency, load, exposures, **about)
    rows = [
        (asked.workloads[i], metric, q, *_percent(fit, 0, alpha))
        for part in _parts(asked)
        for i, view in _views(part, _told(part))
        for (metric, q), fit in _quantile_fits(part, i, view, quantiles).items()
    ]
    return pd.DataFrame(rows, columns=QUANTILE_COLUMNS)


ALIGNED_COLUMNS = ["workload", "metric", *event_study.COLUMNS]


def event_aligned(
    latency: pd.DataFrame,
    load: pd.Series,
    exposures: pd.DataFrame,
    *,
    alpha: float = 0.05,
    **about: Any,
) -> pd.DataFrame:
    """The latency around each workload's starts and ends, everything else held constant [%], with intervals.

    Answers: does it rise with the workload and fall after it? `about` is what `estimate` takes besides; what cannot be
    told is left out. Columns as `event_study.aligned`, by workload and metric.
    """
    asked = study(latency, load, exposures, **about)
    frames = [
        frame.assign(workload=asked.workloads[i])
        for part in _parts(asked)
        for i, view in _views(part, _told(part))
        for frame in _aligned(part, i, view, alpha)
    ]
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=ALIGNED_COLUMNS)
    return found[ALIGNED_COLUMNS]


@dataclass(frozen=True)
class _Columns:
    """The columns of exposures side by side (`exposure.COLUMNS` each), with the nuisance removed: `left`.

    `means` are their means over the minutes in which the workload is open, `explained` the shares of their
    variance that the nuisance explains.
    """

    left: Left
    means: Array
    explained: Array

    def varies(self) -> Mask:
        """Of which columns the nuisance left enough to tell anything."""
        return np.asarray(self.explained < 1 - VARIES_LEAST)

    def effects(self, places: Sequence[int]) -> Integers:
        """Which columns make up the effects of the workloads that begin at these places, and vary."""
        chosen = np.array([place + n for place in places for n in OWN], dtype=int)
        return chosen[self.varies()[chosen]]


@dataclass(frozen=True)
class _Part:
    """Workloads and metrics that share their valid minutes and their nuisance; rows are the valid minutes.

    `columns` are those of all workloads that are needed, `place` tells where a workload's begin. `y` is log
    latency with the nuisance removed, by metric; `groups` is the nuisance itself, of all minutes.
    """

    study: Study
    metrics: list[str]
    members: list[int]
    others: dict[int, list[int]]
    twins: dict[int, str]
    valid: Mask
    groups: dict[str, Array]
    removal: Removal
    columns: _Columns
    place: dict[int, int]
    y: Left

    @cached_property
    def without(self) -> dict[str, Callable[[Array], Array]]:
        """What removes each group of the nuisance, and a level, from any columns."""
        ones = np.ones(np.count_nonzero(self.valid))
        return {
            name: controls.residual_maker(np.column_stack([ones, group[self.valid]]))
            for name, group in self.groups.items()
        }


def _parts(study: Study) -> Iterable[_Part]:
    """The study cut so that one factorisation serves everything in a part."""
    drift = np.array([_drift_hours(column) for column in study.open.T])
    others, twins = _neighbours(study)
    for metrics in _metrics_alike(study):
        valid = study.logs[metrics[0]].notna().to_numpy() & ~np.isnan(study.load)
        for unknown, members in _unknown_alike(study):
            for hours in np.unique(drift[members]):
                mine = [i for i in members if drift[i] == hours]
                yield _part(study, valid & ~unknown, metrics, mine, others, twins, float(hours))


def _metrics_alike(study: Study) -> list[list[str]]:
    """The metrics, those together that are known in the same minutes."""
    alike: dict[bytes, list[str]] = {}
    for name in study.logs:
        alike.setdefault(study.logs[name].notna().to_numpy().tobytes(), []).append(str(name))
    return list(alike.values())


def _unknown_alike(study: Study) -> list[tuple[Mask, list[int]]]:
    """The minutes in which exposure is not known, with the workloads that share them."""
    alike: dict[bytes, list[int]] = {}
    for i, column in enumerate(study.unknown.T):
        alike.setdefault(np.packbits(column).tobytes(), []).append(i)
    return [(study.unknown[:, members[0]], members) for members in alike.values()]


def _drift_hours(open_: Array) -> int:
    lengths = regressors.run_lengths(open_)
    wanted = 6 * np.quantile(lengths, 0.9) / 60 if len(lengths) else 0
    return next((hours for hours in DRIFT_HOURS if hours >= wanted), DRIFT_HOURS[-1])


def _neighbours(study: Study) -> tuple[dict[int, list[int]], dict[int, str]]:
    """The workloads that overlap each one most, and the one from which it is inseparable.

    Of many only those count that run together more than the time of day would have it: each one costs precision.
    """
    if not study.real:
        return {}, {}
    footprint = ((study.open > 0) | (regressors.tail(study.open) > 0)).astype(float)
    overlap = _products(footprint, study.real)
    if study.real > OTHERS + 1:
        apart_from_clock = controls.residual_maker(controls.clock_alone(study.grid))(footprint)
        overlap = np.where(_correlations(apart_from_clock, study.real) > RELATED, overlap, 0)
    alike = _correlations(study.open, study.real) ** 2
    order = np.argsort(-overlap, axis=1, kind="stable")[:, :OTHERS]
    near = {i: [int(j) for j in row if overlap[i, j] > 0] for i, row in enumerate(order)}
    others = {i: near[i] + [j for j in study.suspects if j not in (i, *near[i])] for i in near}
    twins = {i: study.workloads[row.argmax()] for i, row in enumerate(alike) if row.max() > TWIN_MOST}
    return others, twins


def _suspects(study: Study) -> list[int]:
    """The workloads that seem to move the writer when only their neighbours stand beside them.

    Where there are many, what the worst of them do is the noise of all others: the second look has them beside it.
    """
    if study.real <= OTHERS + 1:
        return []
    p = np.ones(study.real)
    for part in _parts(study):
        for i, view in _views(part, _told(part)):
            p[i] = min(p[i], np.nanmin(view.effect(OWN).p()))
    likely = adjusted(pd.Series(p)) <= SIGN_ALPHA
    return [int(i) for i in np.argsort(p, kind="stable")[:SUSPECTS] if likely[i]]


def _correlations(columns: Array, count: int) -> npt.NDArray[np.float32]:
    """The correlation of each column with each of the first `count`, but none with itself."""
    centred = columns - columns.mean(axis=0)
    return _products(centred / np.maximum(np.linalg.norm(centred, axis=0), 1e-12), count)


def _products(columns: Array, count: int) -> npt.NDArray[np.float32]:
    """The inner product of each column with each of the first `count`, but none with itself."""
    single = columns.astype(np.float32)
    products = single.T @ single[:, :count]
    np.fill_diagonal(products, 0)
    return products


def _part(
    study: Study,
    mask: Mask,
    metrics: list[str],
    members: list[int],
    others: dict[int, list[int]],
    twins: dict[int, str],
    drift_hours: float,
) -> _Part:
    few = range(study.real) if study.real <= OTHERS + 1 else ()
    needed = sorted({*members, *few, *(j for i in members for j in others[i])})
    place = {i: regressors.COLUMNS * n for n, i in enumerate(needed)}
    groups = controls.groups(study.grid, study.load, study.jobs, study.spans, drift_hours)
    matrix = np.column_stack([group[mask] for group in groups.values()])
    days = study.grid.blocks()[mask]
    removal = controls.removal(matrix, np.flatnonzero(np.diff(days, prepend=-1)))
    y = study.logs[metrics].to_numpy()[mask]
    columns = _columns(study, study.open, needed, mask, removal)
    movers = columns.effects([place[i] for i in [*few, *study.suspects] if i in place])
    return _Part(
        study=study,
        metrics=metrics,
        members=members,
        others=others,
        twins=twins,
        valid=mask,
        groups=groups,
        removal=removal,
        columns=columns,
        place=place,
        y=removal.left(_winsorised(y, removal.residual(y), columns.left.of(movers).rest)),
    )


def _columns(study: Study, open_: Array, needed: Sequence[int], mask: Mask, removal: Removal) -> _Columns:
    """The columns of the needed ones of some exposures, in chunks: they are wide."""
    count = regressors.COLUMNS * len(needed)
    left = removal.room(count)
    means, explained = np.empty(count), np.empty(count)
    for first in range(0, len(needed), CHUNK):
        chosen = needed[first : first + CHUNK]
        raw = regressors.columns(open_[:, chosen], study.load, study.drain, mask)
        here = slice(regressors.COLUMNS * first, regressors.COLUMNS * (first + len(chosen)))
        part = removal.left(raw)
        left.rest[:, here], left.taken[:, :, here] = part.rest, part.taken
        means[here] = regressors.means_while_open(raw)
        centred = raw - raw.sum(axis=0) / max(len(raw), 1)
        explained[here] = 1 - _share(_squares(part.rest), _squares(centred))
    return _Columns(left, means, explained)


def _share(part: Array, whole: Array) -> Array:
    """part / whole, 0 of nothing."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _winsorised(y: Array, rest: Array, movers: Array) -> Array:
    """y with outliers pulled in, metric by metric: from what neither the nuisance nor a workload explains.

    A workload that doubles the latency must not be taken for an outlier of its own.
    """
    if not len(rest):
        return y
    gram = movers.T @ movers
    ridge = model.RIDGE * np.diag(np.diag(gram))
    rest = rest - movers @ np.linalg.solve(gram + ridge, movers.T @ rest)
    limit = WINSORISE * 1.4826 * np.median(np.abs(rest - np.median(rest, axis=0)), axis=0)
    return y - rest + np.clip(rest, -limit, limit)


def _too_short(grid: Grid, mask: Mask) -> str:
    """Why the window cannot be assessed, or nothing."""
    full = np.bincount(grid.day[mask], minlength=grid.day[-1] + 1) >= controls.DAY / 2
    coverage = mask.mean()
    if coverage < COVERAGE_NEEDED:
        return f"only {coverage:.0%} of the minutes have both latency and load"
    if full.sum() < DAYS_NEEDED:
        return f"the window has {full.sum()} days with data, {DAYS_NEEDED} are needed"
    return ""


def _too_little(part: _Part, i: int) -> str:
    """Why a workload is not assessed, or nothing."""
    open_, unknown = part.study.open[:, i], part.study.unknown[:, i]
    short = _too_short(part.study.grid, part.valid)
    if short:
        blind = f", and for {unknown.mean():.0%} nobody can say whether it was open"
        return short + (blind if unknown.any() else "")
    if not open_.any():
        return "it has no run inside the window"
    seen = open_[part.valid].sum() / open_.sum()
    if seen < COVERAGE_NEEDED:
        return f"only {seen:.0%} of its open time has both latency and load"
    if open_[part.valid].sum() < MINUTES_NEEDED and len(regressors.run_lengths(open_)) >= RUNS_NEEDED:
        return f"it was open for {open_.sum():.0f} minutes in all, {MINUTES_NEEDED} are needed"
    return ""


OWN = [regressors.OPEN, regressors.DOSE, regressors.TAIL]
"""A workload's effect; the fourth of its columns, the lead, is none."""


@dataclass(frozen=True)
class _View:
    """Some exposures of one workload, with the neighbours' columns behind them, as inner products by day."""

    days: model.Days
    means: Array
    varies: Mask

    def effect(self, own: Sequence[int], beside: Sequence[int] = ()) -> Fit:
        """The mean effect over exposed minutes of the columns `own`, of which the first is the exposure."""
        if not self.varies[own[0]]:
            return model.no_fit(self.days.moments.shape[2])
        kept = self.kept([*own, *beside])
        return self.days.fit(kept, np.where(np.isin(kept, own), self._weights()[kept], 0))

    def lead(self) -> Fit:
        """The effect in the minutes before a start, beside the effect of the run itself."""
        if not self.varies[regressors.LEAD]:
            return model.no_fit(self.days.moments.shape[2])
        kept = self.kept([*OWN, regressors.LEAD])
        return self.days.fit(kept, (kept == regressors.LEAD).astype(float))

    def kept(self, own: Sequence[int]) -> Integers:
        """The columns of a fit: those of its own that vary, and all neighbours'."""
        neighbours = np.arange(len(self.varies), self.days.grams.shape[1])
        return np.concatenate([[at for at in own if self.varies[at]], neighbours]).astype(int)

    def _weights(self) -> Array:
        return np.concatenate([self.means, np.zeros(self.days.grams.shape[1] - len(self.means))])


def _views(part: _Part, members: Sequence[int]) -> Iterator[tuple[int, _View]]:
    """Workloads before their neighbours; the products of many together are few large ones, for all cores."""
    for first in range(0, len(members), CHUNK):
        chunk = members[first : first + CHUNK]
        wanted = [np.concatenate([_own_places(part, i), _beside_places(part, i)]) for i in chunk]
        union = np.unique(np.concatenate(wanted))
        days = model.days([part.columns.left.of(union)], part.y, part.removal.edges)
        for i, places in zip(chunk, wanted):
            own = places[: regressors.COLUMNS]
            view = days.of(np.searchsorted(union, places))
            yield i, _View(view, part.columns.means[own], part.columns.varies()[own])


def _view(part: _Part, i: int, columns: _Columns, y: Left) -> _View:
    """Other columns of a workload, or another y, before its neighbours."""
    beside = part.columns.left.of(_beside_places(part, i))
    days = model.days([columns.left, beside], y, part.removal.edges)
    return _View(days, columns.means, columns.varies())


def _own_columns(part: _Part, i: int) -> _Columns:
    own = _own_places(part, i)
    return _Columns(part.columns.left.of(own), part.columns.means[own], part.columns.explained[own])


def _own_places(part: _Part, i: int) -> Integers:
    return part.place[i] + np.arange(regressors.COLUMNS)


def _beside_places(part: _Part, i: int) -> Integers:
    """Where the columns of the workloads that overlap this one are."""
    return part.columns.effects([part.place[j] for j in part.others[i]])


def _squares(columns: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->j", columns, columns))


@dataclass(frozen=True)
class _Finding:
    """What one part found of one workload: the fit, or why there is none.

    `unknown` says why it was not assessed; `flags` why it cannot be told, by metric and name of the flag;
    `unstable` which variant of the question turns the answer's sign, by metric.
    """

    workload: int
    metrics: list[str]
    fit: Fit | None = None
    unknown: str = ""
    flags: list[dict[str, str]] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)


def _findings(part: _Part) -> list[_Finding]:
    unknown = {i: _too_little(part, i) for i in part.members}
    flags = {i: _flags(part, i) for i in part.members if not unknown[i]}
    told = [i for i in flags if not flags[i]]
    return [
        *(_Finding(i, part.metrics, unknown=text) for i, text in unknown.items() if text),
        *(_Finding(i, part.metrics, flags=[flags[i]] * len(part.metrics)) for i in flags if flags[i]),
        *(_finding(part, i, view) for i, view in _views(part, told)),
    ]


def _finding(part: _Part, i: int, view: _View) -> _Finding:
    fit = view.effect(OWN)
    return _Finding(i, part.metrics, fit, flags=_early(view.lead()), unstable=_turned(part, i, view, fit))


def _early(lead: Fit) -> list[dict[str, str]]:
    """The flag of each metric that was not as usual before the workload started."""
    words = ["slow" if effect > 0 else "fast" for effect in lead.effect]
    texts = [{"lead": f"the writer was already {word} before it started"} for word in words]
    return [text if p < LEAD_ALPHA else {} for text, p in zip(texts, lead.p())]


def _turned(part: _Part, i: int, view: _View, fit: Fit) -> list[str]:
    """By metric, the variant of the question that turns a significant answer's sign, or nothing."""
    significant = fit.p() < SIGN_ALPHA
    if not significant.any():
        return ["" for _ in part.metrics]
    variants = _variant_fits(part, i, view)
    turned = [
        [name for name, other in variants.items() if other.effect[m] * fit.effect[m] < 0]
        for m in range(len(part.metrics))
    ]
    return [next(iter(names), "") if clear else "" for names, clear in zip(turned, significant)]


def _flags(part: _Part, i: int) -> dict[str, str]:
    """Why the effect of a workload cannot be told from these data, whatever the statistics."""
    open_ = part.study.open[:, i]
    found = {
        "few": _few(part.study.grid, open_),
        "job": _in_a_job(part.study.jobs, open_),
        "clock": _without_comparison(part.study.grid, part.valid, open_),
        "r2": _explained(part, i),
        "twin": f"it is inseparable from workload {part.twins[i]}" if i in part.twins else "",
    }
    return {name: text for name, text in found.items() if text}


def _told(part: _Part) -> list[int]:
    """The members whose effect can be told."""
    return [i for i in part.members if not _too_little(part, i) and not _flags(part, i)]


def _few(grid: Grid, open_: Array) -> str:
    runs, days = len(regressors.run_lengths(open_)), len(np.unique(grid.day[open_ > 0]))
    if runs >= RUNS_NEEDED and days >= RUN_DAYS_NEEDED:
        return ""
    return f"it has too few runs: {runs} on {days} days"


def _in_a_job(jobs: dict[str, Array], open_: Array) -> str:
    for name, job in jobs.items():
        inside = open_[job > 0].sum() / open_.sum()
        spells = np.cumsum(regressors.starts_of(job[:, None])[:, 0]) * (job > 0)
        together = np.unique(spells[(spells > 0) & (open_ > 0)])
        free = 1 - len(together) / spells.max()
        if inside > IN_JOB_MOST and free < JOB_FREE_LEAST:
            return f"it is confounded with writer job {name}, which holds {inside:.0%} of its open time"
    return ""


def _without_comparison(grid: Grid, valid: Mask, open_: Array) -> str:
    """Exposed minutes need the same time of day on days of the same kind without the workload."""
    kind = controls.apart(grid).astype(int)
    needed = np.minimum(COMPARABLE_DAYS, np.bincount(kind, minlength=2) / controls.DAY / 2)
    key = grid.clock + controls.DAY * kind
    clean = valid & (open_ == 0) & (regressors.tail(open_[:, None])[:, 0] == 0)
    days = np.bincount(key[clean], minlength=2 * controls.DAY)
    exposed = valid & (open_ > 0)
    share = (days[key[exposed]] >= needed[kind[exposed]]).mean()
    if share >= COMPARABLE_LEAST:
        return ""
    always = (open_[valid] > 0).mean()
    if always > 0.5:
        return f"it is open in {always:.0%} of all minutes: there are too few comparable minutes without it"
    usual = _usual_clock(grid.clock[regressors.starts_of(open_[:, None])[:, 0]])
    return f"it always runs at {usual}: there are no comparable minutes without it"


def _usual_clock(clock: Integers) -> str:
    """The middle of times of day round the clock, where they have one."""
    mean = np.exp(2j * np.pi * clock / controls.DAY).mean()
    if abs(mean) < 0.9:
        return "the same times of day"
    hours, minutes = divmod(round(np.angle(mean) / (2 * np.pi) * controls.DAY) % controls.DAY, 60)
    return f"about {hours:02d}:{minutes:02d}"


def _explained(part: _Part, i: int) -> str:
    explained, open_ = part.columns.explained[part.place[i]], part.study.open[part.valid, i]
    if explained <= EXPLAINED_MOST or open_.min() == open_.max():
        return ""
    centred = (open_ - open_.mean())[:, None]
    left = {name: float(_squares(without(centred))[0]) for name, without in part.without.items()}
    return f"its exposure is explained ({explained:.0%}) by {min(left, key=lambda name: left[name])}"


BEFORE = "before the start"


def _variant_fits(part: _Part, i: int, view: _View) -> dict[str, Fit]:
    """The same question asked a little differently."""
    open_ = part.study.open[:, i]
    in_job = _in_any_job(part.study.jobs, open_)
    shares = np.column_stack([regressors.of_median_length(open_), open_ - in_job, in_job])
    varied = _view(part, i, _columns(part.study, shares, range(3), part.valid, part.removal), part.y)
    outside, inside = (regressors.COLUMNS * n for n in (1, 2))
    fits = {
        "without dose": view.effect([regressors.OPEN, regressors.TAIL]),
        "runs of median length": varied.effect(OWN),
    }
    if 0 < in_job.sum() < open_.sum():
        fits["without the writer's jobs"] = varied.effect([outside + n for n in OWN], beside=[inside])
    return fits


def _in_any_job(jobs: dict[str, Array], open_: Array) -> Array:
    """The exposure that falls into a job of the writer."""
    return open_ * np.any(stack(list(jobs.values()), len(open_)) > 0, axis=1)


def _quantile_fits(
    part: _Part, i: int, view: _View, quantiles: Sequence[float]
) -> dict[tuple[str, float], Fit]:
    """The shifts of quantiles of log latency, with the error of their recentred influence function.

    The influence is taken where both groups have the quantile: with the shift in it, it would not be local.
    """
    raw = regressors.columns(part.study.open[:, [i]], part.study.load, part.study.drain, part.valid)
    exposed, free = (
        raw[:, regressors.OPEN] > 0,
        (raw[:, regressors.OPEN] == 0) & (raw[:, regressors.TAIL] == 0),
    )
    asked = [(m, q) for m in range(len(part.metrics)) for q in quantiles]
    alone = _as_if_alone(part, i, view, raw)
    shifts = [np.quantile(alone[exposed, m], q) - np.quantile(alone[free, m], q) for m, q in asked]
    influence = [_influence(alone[:, m] - shift * exposed, q) for (m, q), shift in zip(asked, shifts)]
    fit = _view(part, i, _own_columns(part, i), part.removal.left(np.column_stack(influence))).effect(OWN)
    return {
        (part.metrics[m], q): Fit(np.array([shift]), fit.error[[n]], fit.df)
        for n, ((m, q), shift) in enumerate(zip(asked, shifts))
    }


def _as_if_alone(part: _Part, i: int, view: _View, raw: Array) -> Array:
    """Log latency if nothing but the workload had moved it: the noise, and the workload's whole effect.

    What the nuisance took with it because it resembles the exposure is given back.
    """
    kept = view.kept(OWN)
    coefficients = view.days.coefficients(kept)
    mine = kept[kept < regressors.COLUMNS]
    places = np.concatenate([_own_places(part, i)[mine], _beside_places(part, i)])
    rest = part.columns.left.of(places).rest
    return part.y.rest - rest @ coefficients + raw[:, mine] @ coefficients[: len(mine)]


def _aligned(part: _Part, i: int, view: _View, alpha: float) -> Iterable[pd.DataFrame]:
    """What the workload alone did to each metric, around its starts and ends."""
    open_, day = part.study.open[:, i], part.study.grid.day
    raw = regressors.columns(open_[:, None], part.study.load, part.study.drain, part.valid)
    alone = np.full((len(open_), len(part.metrics)), np.nan)
    alone[part.valid] = _as_if_alone(part, i, view, raw)
    for metric, logs in zip(part.metrics, alone.T):
        yield event_study.aligned(logs, open_, day, alpha=alpha).assign(metric=metric)


def _influence(y: Array, q: float) -> Array:
    """The recentred influence function of a quantile: (q - 1{y <= quantile}) / density there."""
    at = np.quantile(y, q)
    spread = min(y.std(), np.subtract(*np.quantile(y, [0.75, 0.25])) / 1.349)
    width = max(0.9 * spread * len(y) ** -0.2, 1e-9)
    density = stats.norm.pdf((y - at) / width).mean() / width
    return at + (q - (y <= at)) / density


def _percent(fit: Fit, metric: int, alpha: float) -> tuple[float, float, float, float]:
    """Effect, interval [%] and p of one metric."""
    reach = stats.t.ppf(1 - alpha / 2, fit.df) * fit.error[metric]
    effect = fit.effect[metric]
    low, high = (float(100 * np.expm1(value)) for value in (effect - reach, effect + reach))
    return float(100 * np.expm1(effect)), low, high, float(fit.p()[metric])


def _placebo_rejections(study: Study, alpha: float, placebos: int, seed: int) -> dict[str, float]:
    """How many of so many exposures pasted onto other days are "found", by metric [%].

    Answers: how often is the method wrong on exactly these data? The whole method runs, with the real workloads
    beside the placebo; a placebo that it refuses does not count.
    """
    if not placebos:
        return {}
    pasted = _placebos(study, placebos, seed)
    rejected: dict[str, list[bool]] = {str(name): [] for name in study.logs}
    for part in _parts(pasted):
        mine = replace(part, members=[i for i in part.members if pasted.workloads[i].startswith(PLACEBO)])
        for finding in _findings(mine):
            for m, metric in enumerate(finding.metrics):
                if finding.fit is not None and not finding.flags[m]:
                    rejected[metric].append(bool(finding.fit.p()[m] < alpha))
    return {metric: 100 * float(np.mean(found)) for metric, found in rejected.items() if found}


PLACEBO = "\0placebo "


def _placebos(study: Study, count: int, seed: int) -> Study:
    """The study with placebos among its workloads: real exposures whose days were swapped within their class."""
    rng = np.random.default_rng(seed)
    enough = np.flatnonzero((study.open > 0).sum(axis=0) >= MINUTES_NEEDED)
    if not len(enough):
        return study
    sources = rng.choice(enough, count)
    days = [_swapped_days(study.grid, rng) for _ in sources]
    swapped = [study.open[:, i][moved] for i, moved in zip(sources, days)]
    unknown = [study.unknown[:, i][moved] for i, moved in zip(sources, days)]
    return replace(
        study,
        workloads=[*study.workloads, *(f"{PLACEBO}{n}" for n in range(count))],
        open=np.column_stack([study.open, *swapped]),
        unknown=np.column_stack([study.unknown, *unknown]),
    )


def _swapped_days(grid: Grid, rng: np.random.Generator) -> Integers:
    """For each minute the same time of another day of its class; days that lack it keep their own."""
    clock = (grid.clock - grid.cut) % controls.DAY
    position = np.full((grid.day[-1] + 1, controls.DAY), -1)
    position[grid.day, clock] = np.arange(len(clock))
    weekend = np.bincount(grid.day, grid.weekend) > np.bincount(grid.day) / 2
    to = np.arange(len(weekend))
    for days in (np.flatnonzero(weekend), np.flatnonzero(~weekend)):
        to[days] = rng.permutation(days)
    found = position[to[grid.day], clock]
    return np.where(found >= 0, found, np.arange(len(clock)))


ROW_COLUMNS = [
    "workload",
    "metric",
    "unknown",
    "flags",
    "unstable",
    "effect_pct",
    "ci_low_pct",
    "ci_high_pct",
    "p",
    "smallest_detectable_pct",
    "runs",
    "exposed_minutes",
    "days",
    "placebo_reject_pct",
]


def _rows(study: Study, finding: _Finding, rejected: dict[str, float], alpha: float) -> list[dict[str, Any]]:
    """One row a metric; what was refused has no numbers, because they would be read."""
    open_ = study.open[:, finding.workload]
    about = {
        "workload": study.workloads[finding.workload],
        "unknown": finding.unknown,
        "runs": len(regressors.run_lengths(open_)),
        "exposed_minutes": round(float(open_.sum())),
        "days": len(np.unique(study.grid.day[open_ > 0])),
    }
    return [
        about
        | {"metric": metric, "placebo_reject_pct": rejected.get(metric, np.nan)}
        | _numbers(finding, m, rejected.get(metric, 0.0), alpha)
        for m, metric in enumerate(finding.metrics)
    ]


def _numbers(finding: _Finding, m: int, placebo_reject_pct: float, alpha: float) -> dict[str, Any]:
    flags = finding.flags[m] if finding.flags else {}
    if placebo_reject_pct > PLACEBO_MOST:
        text = f"on these data {placebo_reject_pct:.0f} % of placebos are found, where {100 * alpha:.0f} % should be"
        flags = flags | {"placebo": text}
    if finding.fit is None or flags:
        return {"flags": flags, "unstable": ""}
    numbers = dict(zip(("effect_pct", "ci_low_pct", "ci_high_pct", "p"), _percent(finding.fit, m, alpha)))
    detectable = float(100 * np.expm1(DETECTABLE * finding.fit.error[m]))
    return numbers | {
        "smallest_detectable_pct": detectable,
        "flags": flags,
        "unstable": finding.unstable[m],
    }


def _with_adjusted_p(table: pd.DataFrame) -> pd.DataFrame:
    numbers = ["effect_pct", "ci_low_pct", "ci_high_pct", "p", "smallest_detectable_pct"]
    table = table.astype(dict.fromkeys(numbers, float))
    return table.assign(p_adjusted=adjusted(table["p"]))


def _level(row: Any, alpha: float, materiality: float) -> str:
    """The first rule that holds."""
    material = 100 * materiality
    significant = row.p_adjusted <= alpha
    if row.unknown:
        return "unknown"
    if row.flags:
        return "cannot tell"
    if significant and row.ci_low_pct > 0 and row.effect_pct >= material and not row.unstable:
        return "slows"
    if -material < row.ci_low_pct and row.ci_high_pct < material:
        return "no material effect"
    if significant and row.effect_pct < 0 and not row.unstable:
        return "speeds up"
    return "inconclusive"


def _reason(row: Any) -> str:
    """Why there is no plain answer: not assessed, confounded with what, or turned by which variant."""
    if row.level == "inconclusive" and row.unstable:
        return f"the effect changes its sign in the variant “{row.unstable}”"
    return row.unknown or "; ".join(row.flags.values())


def _sentence(row: Any, alpha: float) -> str:
    """The answer with its number, interval and coverage."""
    metric = row.metric.replace("_", " ")
    if row.level == "unknown":
        return f"{row.workload} was not assessed for {metric}: {row.reason}."
    if row.level == "cannot tell":
        return (
            f"Cannot tell whether {row.workload} slows {metric}: {row.reason}. To settle it, "
            f"{SETTLES[next(iter(row.flags))]}."
        )
    return f"{_answer(row, metric)} ({_interval(row, alpha)}; {_coverage(row)})."


def _answer(row: Any, metric: str) -> str:
    effect = f"{abs(row.effect_pct):.1f} %"
    detectable = f"{row.smallest_detectable_pct:.1f} %"
    return {
        "slows": f"While {row.workload} is open, the writer's {metric} is {effect} higher",
        "no material effect": f"{row.workload} has no material effect on {metric}",
        "speeds up": (
            f"While {row.workload} is open, the writer's {metric} is {effect} lower: "
            "a warning that something else coincides with it"
        ),
        "inconclusive": (
            f"Whether {row.workload} slows {metric} stays open: an effect from {detectable} on would have been found"
        ),
    }[row.level] + (f", but {row.reason}" if row.level == "inconclusive" and row.reason else "")


def _interval(row: Any, alpha: float) -> str:
    return f"{100 * (1 - alpha):.0f} % interval {row.ci_low_pct:+.1f} to {row.ci_high_pct:+.1f} %"


def _coverage(row: Any) -> str:
    return f"{row.runs} runs on {row.days} days, {row.exposed_minutes} minutes"
