"""Lines about a fetch for a person: the calls and cost ahead, what was fetched, and what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from aurora_analysis.config import Prices
from aurora_analysis.fetch.chunks import Chunk
from aurora_analysis.fetch.commits import Outcome
from aurora_analysis.fetch.plan import Plan
from aurora_analysis.fetch.rates import Rate


def forecast(plan: Plan, rates: Mapping[str, Rate], prices: Prices) -> list[str]:
    """Return the calls that the chunks will make at most, the least time that they take, and their price."""
    options = plan.options
    if not plan.chunks:
        return [f"Nothing is missing of {options.cluster.name} in {options.window}."]
    calls = Counter[str]()
    for chunk in plan.chunks:
        calls[chunk.service] += chunk.calls
    lines = [
        f"{service}: up to {count:,} calls, {count / rates[service].per_second:,.0f} s at "
        f"{rates[service].per_second:g} per second"
        + (" (an assumption: AWS publishes no limit)" if service == "pi" else "")
        for service, count in sorted(calls.items())
    ]
    metrics = sum(chunk.cost for chunk in plan.chunks if chunk.service == "cloudwatch")
    insights = calls["pi"] / 1000 * prices.performance_insights_calls
    return [
        *lines,
        f"cost: {metrics / 1000 * prices.cloudwatch_metrics:.2f} USD for {metrics:,.0f} CloudWatch metrics, "
        f"{insights:.2f} USD for Performance Insights beyond its free million calls a month (prices: settings)",
    ]


def failures(plan: Plan, outcomes: Sequence[Outcome]) -> list[str]:
    """Return one line for each reason why something could not be fetched, in the order of the plan."""
    surveyed = plan.survey.failures if plan.survey else ()
    failed: dict[str, list[Chunk]] = {}
    for each in outcomes:
        failed.setdefault(each.failure, []).append(each.chunk)
    planned = _instances(plan.chunks)
    lines = [f"{_subjects(chunks, planned, line)}: {line}" for line, chunks in failed.items() if line]
    beyond = [
        f"{each.chunk.source}, {part.instance or each.chunk.instance or 'cluster'}: {part.note}, "
        f"so {each.chunk.window} cannot be fetched"
        for each in outcomes
        for part in each.parts
        if not each.failure and part.frame is None and each.chunk.calls == 0
    ]
    return list(dict.fromkeys([*surveyed, *lines, *beyond]))


def _instances(chunks: Iterable[Chunk]) -> dict[str, set[str]]:
    """Return the names of each source's instances."""
    found: dict[str, set[str]] = {}
    for each in chunks:
        found.setdefault(each.source, set()).update([each.instance] if each.instance else [])
    return found


def _subjects(chunks: Iterable[Chunk], planned: Mapping[str, set[str]], line: str) -> str:
    """Return the sources that failed, with the instances unless all of a source failed or the line names them."""
    failed = _instances(chunks)
    return ", ".join(
        source
        if names == planned[source] or all(name in line for name in names)
        else f"{source} ({', '.join(sorted(names))})"
        for source, names in failed.items()
    )


def summary(plan: Plan, outcomes: Sequence[Outcome], rates: Mapping[str, Rate]) -> list[str]:
    """Return how many chunks were fetched by how many calls, remarks on the cluster, and one line for each failure."""
    done = sum(not outcome.failure for outcome in outcomes)
    calls = ", ".join(f"{service} {rate.taken:,}" for service, rate in sorted(rates.items()) if rate.taken)
    name, window = plan.options.cluster.name, plan.options.window
    first = f"{name}, {window}: fetched {done} of {len(outcomes)} chunks; calls: {calls}"
    remarks = plan.survey.topology.remarks if plan.survey else ()
    return [first, *remarks, *failures(plan, outcomes)]
