"""A hidden Markov chain over the holders of the oldest read view, with few transitions.

Its states at a sample are `KEEPS_UP` (only short views are open, and purge has caught up), `TRAILS` (only short views,
and purge works off a backlog), `UNLOGGED` (a view that no log shows), and one state per candidate statement, the
oldest first. A candidate holds a view with its own probability, from start to end. When a holder ends, the next-oldest
candidate that holds a view succeeds it; an older one that was passed over never does. Probabilities follow from the
forward-backward algorithm (Rabiner 1989). The loops are plain Python, because most samples have a handful of states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

KEEPS_UP, TRAILS, UNLOGGED, FIRST = 0, 1, 2, 3
"""Positions of the states; candidates follow from `FIRST` on."""

LATE = 2
"""A statement's view may begin up to so many samples after the statement: clocks differ, and logs round."""

# Probabilities per sample.
SURPRISE = 1e-3
"""A transition that the model excludes: a late start, a statement that lets go of its view."""
UNLOGGED_ENDS = 0.03
"""A view that no log shows ends."""
FALLS_BEHIND = 1e-3
"""Purge begins to trail although no view held it."""
CATCHES_UP = 0.1
"""Purge has no backlog after a holder ends, or finishes one."""
OUTLIVES = 0.1
"""A transaction stays open after its statement."""
IDLE_ENDS = 0.05
"""A transaction that stayed open ends."""
REVIVED = 0.02
"""A statement that has ended becomes the holder only with this share of its probability."""


class Step(NamedTuple):
    """One sample: its candidates, and what became of the previous sample's candidates.

    `candidates` are positions in order of their starts, `running` whether each statement still runs, `likelihood` that
    of each state. For each previous candidate, `stays` is the probability that it goes on, `to` its place among the
    candidates (-1 if gone) and `after` the place of its first successor. `fresh` is the place of the first
    candidate whose view may begin now.
    """

    candidates: list[int]
    running: list[bool]
    likelihood: list[float]
    stays: list[float]
    to: list[int]
    after: list[int]
    fresh: int


@dataclass(frozen=True)
class Chances:
    """Chances of the views: `holds` by statement; `begins` and `succeeds` of a view that no log shows.

    `begins` is its chance to begin at a sample without a holder, `succeeds` its chance to succeed a holder.
    """

    holds: Sequence[float]
    begins: float
    succeeds: float


@dataclass(frozen=True)
class Passed:
    """Posterior of each sample's states, and the expected number of events.

    `taken` and `passed_over` count, by candidate, how often it became the holder or did not; `unlogged` counts how often a
    view that no log shows became the holder.
    """

    states: list[list[float]]
    taken: dict[int, float]
    passed_over: dict[int, float]
    unlogged: float


def steps(
    times: Sequence[float],
    candidates: Sequence[list[int]],
    ends: Sequence[float],
    likelihoods: Sequence[list[float]],
    earlier: int = 0,
) -> list[Step]:
    """Link each sample's candidates with those of the sample before.

    Parameters
    ----------
    times : sequence of float
        Time of each sample, in the unit of `ends`.
    candidates : sequence of list of int
        Positions in `ends` of the statements that may be open at each sample, oldest first.
    ends : sequence of float
        When each statement ends; its transaction may stay open.
    likelihoods : sequence of list of float
        Likelihood of each sample's states: `KEEPS_UP`, `TRAILS`, `UNLOGGED`, then the candidates.

    earlier : int, default 0
        How many of the first sample's candidates hold no view, because purge kept up after their starts.

    Returns
    -------
    list of Step
        One per sample.
    """
    linked, before, youngest = [], list[int](), [candidates[0][earlier - 1] if earlier else -1] * LATE
    for time, now, likelihood in zip(times, candidates, likelihoods):
        place = {one: n for n, one in enumerate(now)}
        linked.append(
            Step(
                now,
                [time <= ends[one] for one in now],
                likelihood,
                [_stays(time - ends[one]) if one in place else 0.0 for one in before],
                [place.get(one, -1) for one in before],
                [place[one] + 1 if one in place else sum(other <= one for other in now) for one in before],
                sum(other <= youngest[-LATE] for other in now),
            )
        )
        before = now
        youngest.append(max(youngest[-1], now[-1] if now else -1))
    return linked


def _stays(since_end: float) -> float:
    """Probability that a holder goes on, by the time since its statement ended [periods]."""
    if since_end <= 0:
        return 1 - SURPRISE
    return OUTLIVES if since_end <= 1 else 1 - IDLE_ENDS


def posterior(chain: Sequence[Step], chances: Chances) -> Passed:
    """Compute the probability of each state at each sample, given all samples of the stretch.

    Parameters
    ----------
    chain : sequence of Step
        Result of `steps`.
    chances : Chances
        Prior chances of the views.

    Returns
    -------
    Passed
        The posterior.
    """
    forward, holds, unlogged = [*_forward(chain, chances)], chances.holds, 0.0
    states: list[list[float]] = []
    taken: dict[int, float] = {}
    passed_over: dict[int, float] = {}
    backward = [1.0] * (FIRST + len(chain[-1].candidates))
    for n in range(len(chain) - 1, -1, -1):
        step, (alpha, fresh_mass, other_mass, entered) = chain[n], forward[n]
        weighted = [a * b for a, b in zip(alpha, backward)]
        total = sum(weighted)
        states.append([one / total for one in weighted])
        ahead = [e * b for e, b in zip(step.likelihood, backward)]
        unlogged += entered * ahead[UNLOGGED] / total
        fresh, other = _values(step, holds, ahead)
        for i, one in enumerate(step.candidates):
            if step.running[i]:
                mass = fresh_mass[i], other_mass[i]
                took = sum(mass) * holds[one] * ahead[FIRST + i] / total
                left = (1 - holds[one]) * (mass[0] * fresh[i + 1] + mass[1] * other[i + 1]) / total
                taken[one] = taken.get(one, 0.0) + took
                passed_over[one] = passed_over.get(one, 0.0) + left
        if n:
            backward = _backward(step, ahead, (fresh, other), chances)
    return Passed(states[::-1], taken, passed_over, unlogged)


def _forward(
    chain: Sequence[Step], chances: Chances
) -> Iterator[tuple[list[float], list[float], list[float], float]]:
    """Yield each sample's forward probabilities, and the mass that reaches each candidate and `UNLOGGED`.

    The mass that reaches a candidate is divided by its origin: purge that keeps up, or anything else.
    """
    alpha: list[float] = []
    for step in chain:
        count = len(step.candidates)
        now = [0.0] * (FIRST + count)
        fresh, other = [0.0] * (count + 1), [0.0] * (count + 1)
        if not alpha:
            fresh[step.fresh], entered = 1 - chances.begins, chances.begins
        else:
            usual = 1 - chances.begins - SURPRISE
            free = alpha[KEEPS_UP] + alpha[TRAILS]
            fresh[step.fresh] += alpha[KEEPS_UP] * usual
            other[step.fresh] += alpha[TRAILS] * usual
            other[0] += free * SURPRISE + alpha[UNLOGGED] * UNLOGGED_ENDS
            entered = free * chances.begins
            now[UNLOGGED] = alpha[UNLOGGED] * (1 - UNLOGGED_ENDS)
            for i, stays in enumerate(step.stays):
                mass = alpha[FIRST + i]
                if step.to[i] >= 0:
                    now[FIRST + step.to[i]] += mass * stays
                entered += mass * (1 - stays) * chances.succeeds
                other[step.after[i]] += mass * (1 - stays) * (1 - chances.succeeds)
        now[UNLOGGED] += entered
        first = second = 0.0
        reached = [0.0] * count, [0.0] * count
        for i in range(count):
            first, second = first + fresh[i], second + other[i]
            reached[0][i], reached[1][i] = first, second
            chance = _chance(step, i, chances.holds)
            now[FIRST + i] += (first + second) * chance
            first, second = first * (1 - chance), second * (1 - chance)
        first, second = first + fresh[count], second + other[count]
        now[KEEPS_UP] = first * (1 - FALLS_BEHIND) + second * CATCHES_UP
        now[TRAILS] = first * FALLS_BEHIND + second * (1 - CATCHES_UP)
        now = [a * e for a, e in zip(now, step.likelihood)]
        total = sum(now)
        alpha = [a / total for a in now]
        yield alpha, [one / total for one in reached[0]], [one / total for one in reached[1]], entered / total


def _chance(step: Step, place: int, holds: Sequence[float]) -> float:
    """Probability that a candidate becomes the holder once no older view is open."""
    return holds[step.candidates[place]] * (1.0 if step.running[place] else REVIVED)


def _values(step: Step, holds: Sequence[float], ahead: list[float]) -> tuple[list[float], list[float]]:
    """Value of reaching each candidate, and the end, for mass from fresh and other origins."""
    count = len(step.candidates)
    fresh, other = [0.0] * (count + 1), [0.0] * (count + 1)
    fresh[count] = ahead[KEEPS_UP] * (1 - FALLS_BEHIND) + ahead[TRAILS] * FALLS_BEHIND
    other[count] = ahead[KEEPS_UP] * CATCHES_UP + ahead[TRAILS] * (1 - CATCHES_UP)
    for i in range(count - 1, -1, -1):
        chance = _chance(step, i, holds)
        fresh[i] = chance * ahead[FIRST + i] + (1 - chance) * fresh[i + 1]
        other[i] = chance * ahead[FIRST + i] + (1 - chance) * other[i + 1]
    return fresh, other


def _backward(
    step: Step, ahead: list[float], reaching: tuple[list[float], list[float]], chances: Chances
) -> list[float]:
    """Value of each state of the previous sample, scaled to a maximum of 1."""
    (fresh, other), unlogged = reaching, ahead[UNLOGGED]
    surprise = SURPRISE * other[0] + chances.begins * unlogged
    usual = 1 - chances.begins - SURPRISE
    values = [
        usual * fresh[step.fresh] + surprise,
        usual * other[step.fresh] + surprise,
        (1 - UNLOGGED_ENDS) * unlogged + UNLOGGED_ENDS * other[0],
    ]
    for stays, to, after in zip(step.stays, step.to, step.after):
        succeeded = chances.succeeds * unlogged + (1 - chances.succeeds) * other[after]
        values.append((stays * ahead[FIRST + to] if to >= 0 else 0.0) + (1 - stays) * succeeded)
    largest = max(values)
    return [one / largest for one in values]
