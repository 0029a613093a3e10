"""Refuse a verdict where the data cannot identify an effect, and name the reason.

Statistics cannot separate a workload from something that always coincides with it: the nightly batch, the clock,
another workload. A refusal names the confounder and what would settle the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aurora_analysis.analysis.reader_impact import controls, regressors
from aurora_analysis.analysis.reader_impact.controls import Grid
from aurora_analysis.analysis.reader_impact.groups import EstimationGroup
from aurora_analysis.analysis.reader_impact.model import Fit
from aurora_analysis.analysis.series import Array, Integers, Mask, minutes_since

PRE_TREND_ALPHA = 0.01
"""A workload is refused if p of one of its leads is below this over the number of leads."""

DAYS_NEEDED = 7
RUNS_NEEDED = 5
RUN_DAYS_NEEDED = 4
MINUTES_NEEDED = 30
COVERAGE_NEEDED = 0.5

EXPLAINED_MOST = 0.80
"""A workload is refused if the controls explain more of its exposure's variance than this (R²)."""

COMPARABLE_DAYS = 3
COMPARABLE_LEAST = 0.5
"""Smallest share of exposed minutes that must have `COMPARABLE_DAYS` days of their kind without the workload at that time.

At weekends half as many comparison days suffice, because the weekend effect is modelled as a smooth curve. One suffices
if the controls explain less than `IRREGULAR` of the exposure's variance: the runs have no usual time of day.
"""

IRREGULAR = 0.5

ALWAYS = 0.5
"""A workload that runs in a larger share of minutes is refused for that, not for its usual time of day."""

MOSTLY = 0.9
"""A workload that runs in a larger share of minutes leaves too few for any comparison."""

CONCENTRATED = 0.9
"""Mean resultant length of the start times above which they count as one time of day."""

IN_JOB_MOST = 0.40
JOB_FREE_LEAST = 0.25
"""A workload is refused if more than `IN_JOB_MOST` of its exposure falls into a writer's job of whose runs fewer
than `JOB_FREE_LEAST` are free of the workload."""

FOLLOWS_MINUTES = 15
FOLLOWS_MOST = 0.5
"""A workload is refused if more than `FOLLOWS_MOST` of its runs begin within `FOLLOWS_MINUTES` of the end of a writer's
job of whose ends fewer than `JOB_FREE_LEAST` are free of it: the job's after-effect cannot be separated."""

MOVE = "by one or two hours on random days; six to ten moved days are enough"

BEYOND_CHANCE = 1.25
"""Runs accompany a reader's presence if their share inside it is so many times the share of all minutes."""

SETTLES = {
    "blind reader": "fetch the slow log or Performance Insights of the reader that no source shows, or run a randomised trial",
    "job": f"move {{workload}} away from the writer's job with which it coincides, {MOVE}",
    "after job": f"move {{workload}} away from the end of the writer's job that it follows, {MOVE}",
    "always": "pause {workload} at random times",
    "clock": f"move {{workload}} {MOVE}",
    "r2": f"move {{workload}} {MOVE}",
    "few": f"wait until {{workload}} ran at least {RUNS_NEEDED} times on {RUN_DAYS_NEEDED} days",
    "pre-trend": "find the event that comes before the runs of {workload}, or start {workload} at random times",
    "collinear": "report {workload} and the workload that it coincides with as one, or run them at different times",
    "placebo": "run a randomised trial (aurora-analysis experiment)",
    "days": f"fetch earlier days, or wait until the store holds {DAYS_NEEDED} days with data",
    "coverage": "fetch the missing minutes (aurora-analysis store coverage lists them)",
    "exposure": "fetch the readers' log or Performance Insights of the other minutes; sessions that write no log line need "
    "aurora-analysis watch all the time",
    "no run": "compare a window in which {workload} ran",
    "uncovered": "fetch the writer's latency and load for the hours in which {workload} ran",
    "seldom": f"wait until {{workload}} ran for at least {MINUTES_NEEDED} minutes in total",
}
"""Next step that would settle the question, by the kind of reason; `{workload}` stands for its name."""

MOVES = ("job", "after job", "clock", "r2")
"""Kinds of refusal that moving the workload settles; one move settles them all."""


def settling_step(reasons: Mapping[str, str], workload: str) -> str:
    """Name the data or trial that would settle the question.

    Parameters
    ----------
    reasons : mapping of str to str
        Reasons by kind (a key of `SETTLES`).
    workload : str
        Name of the workload, or a pronoun.

    Returns
    -------
    str
        A command in lower case without a full stop; a randomised trial alone if it is needed, because it settles all.
    """
    kinds = ["placebo"] if "placebo" in reasons else list(reasons)
    first_move = next((kind for kind in kinds if kind in MOVES), "")
    steps = [SETTLES[kind] for kind in kinds if kind == first_move or kind not in MOVES]
    return ", and ".join(steps).format(workload=workload)


def not_assessed(group: EstimationGroup, i: int) -> dict[str, str]:
    """Reason why there is too little data to assess a workload; empty if there is enough.

    Parameters
    ----------
    group : EstimationGroup
        The group that the workload belongs to.
    i : int
        The workload.

    Returns
    -------
    dict of str to str
        At most one reason, as the second half of a sentence, by its kind (a key of `SETTLES`).
    """
    exposed, unknown = group.exposed(i), group.design.unknown[:, i]
    short = _too_short(group.design.grid, group.valid)
    if short and unknown.any() and not _too_short(group.design.grid, group.valid | unknown):
        share = 100 * unknown.mean()
        return {"exposure": f"in {share:.0f} % of the minutes no source shows whether it ran"}
    if short and unknown.any():
        return {
            kind: f"{reason}, and in {100 * unknown.mean():.0f} % its exposure is unknown"
            for kind, reason in short.items()
        }
    if short:
        return short
    if not exposed.any():
        return {"no run": "it has no run inside the window"}
    covered = exposed[group.valid].sum() / exposed.sum()
    if covered < COVERAGE_NEEDED:
        return {"uncovered": f"only {100 * covered:.0f} % of its run time has both latency and load"}
    seldom = exposed[group.valid].sum() < MINUTES_NEEDED
    if seldom and len(regressors.run_lengths(exposed)) >= RUNS_NEEDED:
        return {"seldom": f"it ran for {exposed.sum():.0f} minutes in total, {MINUTES_NEEDED} are needed"}
    return {}


def not_identifiable(group: EstimationGroup, i: int) -> dict[str, str]:
    """Reasons why the design cannot identify a workload's effect, whatever the latencies are.

    Parameters
    ----------
    group : EstimationGroup
        The group that the workload belongs to.
    i : int
        The workload.

    Returns
    -------
    dict of str to str
        Reasons by kind (a key of `SETTLES`), the first one to be printed first; empty if it is identifiable.
    """
    exposed, collinear = group.exposed(i), group.neighbours.collinear_with
    job, inside = _surrounding_job(group.design.writer_jobs, exposed)
    controls_name, explained = _explaining_controls(group, i)
    of_the_job = f"it is confounded with {job} ({100 * inside:.0f} % of its run time is inside that job)"
    of_the_controls = f"{controls_name} explains {100 * explained:.0f} % of the variance of its exposure"
    found = {
        "few": _too_few_runs(group.design.grid, exposed),
        "blind reader": _beside_a_blind_reader(group.design.blind_readers, exposed),
        "job": of_the_job if job else "",
        "after job": _after_a_job(group.design.writer_jobs, exposed),
        **_without_comparison(group, i),
        "r2": of_the_controls if controls_name not in ("", job) else "",
        "collinear": f"it is inseparable from workload {collinear[i]}" if i in collinear else "",
    }
    return {kind: reason for kind, reason in found.items() if reason}


def identifiable(group: EstimationGroup) -> list[int]:
    """Members that have enough data and whose effect the design identifies.

    Parameters
    ----------
    group : EstimationGroup
        Workloads and metrics that share valid minutes and controls.

    Returns
    -------
    list of int
        The workloads.
    """
    return [i for i in group.members if not not_assessed(group, i) and not not_identifiable(group, i)]


def pre_trends(leads: Sequence[Fit]) -> list[dict[str, str]]:
    """Refusal of each metric that was already slow or fast before the workload started.

    Parameters
    ----------
    leads : sequence of Fit
        The fitted effects in the minutes before a start, one for each lead.

    Returns
    -------
    list of dict of str to str
        For each metric the reason by kind; empty if p of every lead is at least `PRE_TREND_ALPHA` over the number of leads
        (Bonferroni).
    """
    p = np.array([lead.p() for lead in leads])
    alpha = PRE_TREND_ALPHA / max(1, np.isfinite(p).any(axis=1).sum())
    clearest = [leads[n].effect[m] for m, n in enumerate(np.where(np.isnan(p), 1.0, p).argmin(axis=0))]
    words = ["slow" if effect > 0 else "fast" for effect in clearest]
    reasons = [{"pre-trend": f"the writer was already {word} before its runs started"} for word in words]
    return [reason if clear else {} for reason, clear in zip(reasons, (p < alpha).any(axis=0))]


def _too_short(grid: Grid, valid: Mask) -> dict[str, str]:
    """Reason, by kind, why the window cannot be assessed; empty if it can."""
    full = np.bincount(grid.day[valid], minlength=grid.day[-1] + 1) >= controls.DAY / 2
    coverage = valid.mean()
    if coverage < COVERAGE_NEEDED:
        return {"coverage": f"only {100 * coverage:.0f} % of the minutes have both latency and load"}
    if full.sum() < DAYS_NEEDED:
        return {
            "days": f"{full.sum()} days of the window have data for half a day or more, {DAYS_NEEDED} are needed"
        }
    return {}


def _too_few_runs(grid: Grid, exposed: Array) -> str:
    runs, days = len(regressors.run_lengths(exposed)), len(np.unique(grid.day[exposed > 0]))
    if runs >= RUNS_NEEDED and days >= RUN_DAYS_NEEDED:
        return ""
    return f"it has too few runs: {runs} on {days} days"


def _surrounding_job(jobs: Mapping[str, Array], exposed: Array) -> tuple[str, float]:
    """A writer's job that seldom runs without the workload, and the share of the exposure inside it; empty if none."""
    for name, job in jobs.items():
        inside, free = _inside(job, exposed)
        if inside > IN_JOB_MOST and free < JOB_FREE_LEAST:
            return f"writer job {name}", inside
    return "", 0.0


def _inside(spans: Array, exposed: Array) -> tuple[float, float]:
    """Share of the exposure inside some spans, and the share of the spans without any exposure."""
    span = np.cumsum(regressors.starts_of(spans[:, None])[:, 0]) * (spans > 0)
    together = np.unique(span[(span > 0) & (exposed > 0)])
    return float(exposed[spans > 0].sum() / exposed.sum()), 1 - len(together) / span.max()


def _beside_a_blind_reader(readers: Mapping[str, Array], exposed: Array) -> str:
    """Reason if the runs accompany readers whose statements no source shows."""
    for name, present in readers.items():
        inside, free = _inside(present, exposed)
        usual = float((present > 0).mean())
        if inside > max(IN_JOB_MOST, BEYOND_CHANCE * usual) and free < JOB_FREE_LEAST:
            return (
                f"it is confounded with {name}: {100 * inside:.0f} % of its run time falls into the {100 * usual:.0f} % of "
                "the time in which a reader existed whose statements no source shows"
            )
    return ""


def _after_a_job(jobs: Mapping[str, Array], exposed: Array) -> str:
    """Reason if most runs begin soon after the end of a writer's job that seldom ends without one."""
    starts = regressors.starts_of(exposed[:, None])[:, 0]
    for name, job in jobs.items():
        # The end of a job is the start of the time without it, and what precedes a start follows it in reverse.
        ends = np.concatenate([[False], (job[:-1] > 0) & (job[1:] == 0)])
        behind = minutes_since(ends[:, None])[starts, 0] < FOLLOWS_MINUTES
        to_next = minutes_since(starts[::-1, None])[::-1, 0]
        free = (to_next[ends] >= FOLLOWS_MINUTES).mean() if ends.any() else 1.0
        if behind.mean() > FOLLOWS_MOST and free < JOB_FREE_LEAST:
            return (
                f"{100 * behind.mean():.0f} % of its runs begin within {FOLLOWS_MINUTES} minutes of the end of "
                f"writer job {name}, and {100 * (1 - free):.0f} % of that job's ends are followed by one"
            )
    return ""


def _without_comparison(group: EstimationGroup, i: int) -> dict[str, str]:
    """Reason, by kind, if exposed minutes lack the same time of day on days of the same kind without the workload."""
    grid, valid, exposed = group.design.grid, group.valid, group.exposed(i)
    kind = controls.weekend_curve_minutes(grid).astype(int)
    irregular = group.columns.explained[group.first_column[i]] < IRREGULAR
    wanted = 1 if irregular else COMPARABLE_DAYS
    needed = np.minimum(wanted, np.bincount(kind, minlength=2) / controls.DAY / 2)
    key = grid.clock + controls.DAY * kind
    running = valid & (exposed > 0)

    def comparable(free: Mask) -> float:
        """Share of exposed minutes with enough comparison days."""
        days = np.bincount(key[valid & free], minlength=2 * controls.DAY)
        return float((days[key[running]] >= needed[kind[running]]).mean())

    unexposed = exposed == 0
    # After short runs the writer recovers soon, and the carry-over regressor takes the rest.
    reach, _ = regressors.carryover_minutes(exposed)
    short = reach < regressors.CARRYOVER_MINUTES
    share = comparable(
        unexposed if short else unexposed & (regressors.carryover(exposed[:, None])[:, 0] == 0)
    )
    always = (exposed[valid] > 0).mean()
    if share >= COMPARABLE_LEAST and always <= MOSTLY:
        return {}
    if always > ALWAYS:
        share_of_minutes = f"it runs in {100 * always:.0f} % of all minutes"
        return {"always": f"{share_of_minutes}, so there are too few comparable minutes without it"}
    usual = _usual_clock(grid.clock[regressors.starts_of(exposed[:, None])[:, 0]])
    if usual:
        return {"clock": f"it always runs at about {usual}, so there are no comparable minutes without it"}
    lacking = f"{100 * (1 - share):.0f} % of its run time has fewer than {wanted} comparable days"
    if comparable(unexposed) >= COMPARABLE_LEAST:
        return {
            "clock": f"{lacking}, because other runs and the {reach} minutes after them fill that time of day"
        }
    return {"clock": f"{lacking}, because it runs at that time of day on most days"}


def _usual_clock(clock: Integers) -> str:
    """Circular mean of times of day if they are concentrated; empty if not."""
    mean = np.exp(2j * np.pi * clock / controls.DAY).mean()
    if abs(mean) < CONCENTRATED:
        return ""
    hours, minutes = divmod(round(np.angle(mean) / (2 * np.pi) * controls.DAY) % controls.DAY, 60)
    return f"{hours:02d}:{minutes:02d}"


def _explaining_controls(group: EstimationGroup, i: int) -> tuple[str, float]:
    """The controls that explain most of the exposure, and the share that all controls explain; empty if it is small."""
    explained, exposed = group.columns.explained[group.first_column[i]], group.exposed(i)[group.valid]
    if explained <= EXPLAINED_MOST or exposed.min() == exposed.max():
        return "", 0.0
    alone = group.projection.explained_by(exposed)
    return max(alone, key=lambda name: alone[name]), float(explained)
