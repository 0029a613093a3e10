"""An instance's load as Performance Insights shows it: members of dimension groups, and statement statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from aws_endpoint import postgresql
from aws_endpoint.cluster import OTHER, Cluster, Series, code, period
from aws_endpoint.wire import Refused

DEFAULT_LIMIT = 10
TEXT_BYTES = 500
"""Text in an element of an answer is cut at so many bytes."""

GROUPS = {
    "db.sql_tokenized": "sql",
    "db.sql": "sql",
    "db.user": "user",
    "db.host": "host",
    "db.wait_event": "wait_event",
    "db.wait_event_type": "wait_event",
    "db": "database",
    "db.application": "application",
}
"""Dimension group → the dimension of `db_load` that it fills."""

STATISTICS: dict[str, Callable[[pd.Series], float]] = {
    "avg": lambda values: values.mean(),
    "min": lambda values: values.min(),
    "max": lambda values: values.max(),
    "sum": lambda values: values.sum(),
    "sample_count": lambda values: float(len(values)),
}

STATEMENT_STATISTICS = {
    "count_star_per_sec": lambda rows, native: rows.calls / native,
    "sum_timer_wait_per_call": lambda rows, native: rows.mean_latency_ms,
    "sum_timer_wait_per_sec": lambda rows, native: rows.calls * rows.mean_latency_ms / native,
    "sum_rows_examined_per_sec": lambda rows, native: rows.rows_examined / native,
    "sum_rows_examined_per_call": lambda rows, native: rows.rows_examined / rows.calls,
    "sum_rows_sent_per_sec": lambda rows, native: rows.rows_sent / native,
    "sum_rows_sent_per_call": lambda rows, native: rows.rows_sent / rows.calls,
}
"""Stem of `db.sql_tokenized.stats.` → its value, from rows of `statement_metrics` whose period is `native` [s]."""

Member = tuple[tuple[str, str], ...]
"""A member as its dimensions: (name, value), …"""


class About(NamedTuple):
    """Subject of a request: an instance from `start` to `end` [s since 1970] in periods [s]."""

    cluster: Cluster
    instance: str
    start: int
    end: int
    period: int

    def load(self, group: str) -> pd.DataFrame:
        """Active sessions by time [s] and member of a group's dimension."""
        return _inside(self, self.cluster.load(self.instance, _dimension(group)), self.cluster.load_period_s)

    def total(self) -> pd.Series:
        """db load by time [s]."""
        return _inside(self, self.cluster.total_load(self.instance), self.cluster.load_period_s)


def _inside(about: About, rows: Any, native: int) -> Any:
    """The rows whose periods, `native` long, overlap the window."""
    low, high = rows.index.searchsorted([about.start - native + 1, about.end])
    return rows.iloc[low:high]


def _dimension(group: str) -> str:
    if group not in GROUPS:
        raise Refused("InvalidArgumentException", f"The dimension group {group} is not supported")
    return GROUPS[group]


def group_of(dimension: str) -> str:
    """The group of a dimension; unknown ones are refused."""
    group = "db" if dimension == "db.name" else dimension.rsplit(".", 1)[0]
    _dimension(group)
    return group


# Names


def dimensions(cluster: Cluster, group: str, member: str) -> dict[str, str]:
    """How Performance Insights names a member of a group."""
    if group in ("db.sql_tokenized", "db.sql"):
        return _sql_dimensions(cluster, group, member)
    if group in ("db.user", "db.host"):
        return {f"{group}.id": code(member), f"{group}.name": member}
    if group == "db":
        return {"db.name": member}
    if group == "db.application":
        return {"db.application.name": member}
    name, kind = postgresql.wait_event(member) if cluster.is_postgresql else _wait_event(member)
    named = {"db.wait_event.name": name, "db.wait_event.type": kind}
    return named if group == "db.wait_event" else {"db.wait_event_type.name": kind}


def _sql_dimensions(cluster: Cluster, group: str, digest: str) -> dict[str, str]:
    known = cluster.statement(digest)
    if group == "db.sql_tokenized":
        text = cut(known.digest_text, TEXT_BYTES)
        return {f"{group}.id": known.pi_id, f"{group}.db_id": known.db_id, f"{group}.statement": text}
    return {
        "db.sql.id": sql_id(digest),
        "db.sql.db_id": known.db_id,
        "db.sql.statement": cut(known.example, TEXT_BYTES),
        "db.sql.tokenized_id": known.pi_id,
    }


def sql_id(digest: str) -> str:
    """The id of the one text that a digest has here."""
    return code("sql" + digest, 40)


def _wait_event(member: str) -> tuple[str, str]:
    """Name and type of a wait event, with the prefix that the service puts before it."""
    if member.lower() == "cpu":
        return "CPU", "CPU"
    name = member.removeprefix("wait/")
    return f"wait/{name}", name.split("/")[0]


def cut(text: str, size: int) -> str:
    """The text's first bytes, in whole characters."""
    return text.encode()[:size].decode(errors="ignore")


# Series


def bucketed(values: Series, length: int, statistic: str) -> pd.Series:
    """A statistic of the values of each period of that length [s]; values of longer periods are repeated."""
    if values.period >= length and statistic != "sample_count":
        repeats = values.period // length
        start = (values.start[:, None] + np.arange(repeats) * length).ravel()
        return pd.Series(np.repeat(values.value, repeats), index=start)
    raw = pd.Series(values.value, index=values.start)
    return raw.groupby(raw.index // length * length).agg(STATISTICS[statistic])


def counter_series(about: About, counter: str, statistic: str) -> pd.Series:
    """A statistic of a counter by time [s]."""
    counters = about.cluster.counters(about.instance)
    if counter not in counters:
        raise Refused("InvalidArgumentException", f"The metric {counter} is not a known metric")
    values = counters[counter]
    return bucketed(values.between(about.start - values.period + 1, about.end), about.period, statistic)


def load_by_member(about: About, group_by: dict[str, Any], chosen: dict[str, str]) -> dict[Member, pd.Series]:
    """Members of a group that the filter leaves → active sessions by time [s]; those of equal names add up."""
    group, share = group_by["Group"], _share(about, group_by["Group"], chosen)
    load = about.load(group)
    found: dict[Member, pd.Series] = {}
    for member in load.columns.drop(OTHER, errors="ignore"):
        named = dimensions(about.cluster, group, str(member))
        if any(named.get(name, value) != value for name, value in chosen.items()):
            continue
        key = tuple((n, v) for n, v in named.items() if n in group_by.get("Dimensions", named))
        values = _mean_load(about, load[member] * share)
        found[key] = found[key].add(values, fill_value=0) if key in found else values
    return {key: values for key, values in found.items() if values.notna().any()}


def _mean_load(about: About, values: pd.Series) -> pd.Series:
    """Mean load of each period: the member's sum divided by the number of the instance's samples."""
    native, length = about.cluster.load_period_s, about.period
    if native >= length:
        return bucketed(Series(values.index.to_numpy(), values.to_numpy(), native), length, "avg")
    total = about.total()
    seen = total.groupby(total.index // length * length).count()
    sums = values.groupby(values.index // length * length).sum(min_count=1)
    return (sums / seen).reindex(seen.index)


def _share(about: About, group: str, chosen: dict[str, str]) -> pd.Series | float:
    """Return the share of the load that a filter on other groups leaves.

    The frames know no pairs of members: groups are taken to be independent of each other.
    """
    share: pd.Series | float = 1.0
    for name, value in chosen.items():
        other = group_of(name)
        if GROUPS[other] != GROUPS.get(group):
            load = about.load(other)
            members = [m for m in load.columns if dimensions(about.cluster, other, str(m)).get(name) == value]
            share = load[members].sum(axis=1) / load.sum(axis=1) * share
    return share


def most_loaded(members: dict[Member, pd.Series], limit: int) -> list[Member]:
    """Return the members with the most load in this window, largest first."""
    return sorted(members, key=lambda key: (-members[key].sum(), key))[:limit]


def load_series(about: About, query: dict[str, Any]) -> list[tuple[dict[str, Any], pd.Series]]:
    """The total first, then the members with the most load: key → values by time [s]."""
    key, chosen, group_by = {"Metric": query["Metric"]}, query.get("Filter") or {}, query.get("GroupBy")
    if group_by is None:
        return [(key, _mean_load(about, about.total() * _share(about, "", chosen)))]
    members = load_by_member(about, group_by, chosen)
    total = _sum(members) if chosen else _mean_load(about, about.total())
    listed = most_loaded(members, group_by.get("Limit", DEFAULT_LIMIT))
    return [(key, total), *((key | {"Dimensions": dict(one)}, members[one]) for one in listed)]


def _sum(members: dict[Member, pd.Series]) -> pd.Series:
    if not members:
        return pd.Series(dtype=float)
    return pd.concat(list(members.values()), axis=1).sum(axis=1, min_count=1)


def statement_series(about: About, query: dict[str, Any]) -> list[tuple[dict[str, Any], pd.Series]]:
    """Return a statement statistic: by digest if grouped, of one digest if filtered."""
    wanted = (query.get("Filter") or {}).get("db.sql_tokenized.id")
    if wanted is None and "GroupBy" not in query:
        raise Refused("InvalidArgumentException", "Statement statistics need db.sql_tokenized")
    found = {
        tuple(named.items()): values
        for digest, values in _statistics(about, _stem(about.cluster, query["Metric"])).items()
        if (named := dimensions(about.cluster, "db.sql_tokenized", digest))["db.sql_tokenized.id"] == wanted
        or wanted is None
    }
    limit = query.get("GroupBy", {}).get("Limit", DEFAULT_LIMIT)
    listed = _most_busy(about, list(found), limit) if len(found) > limit else list(found)
    return [({"Metric": query["Metric"], "Dimensions": dict(key)}, found[key]) for key in listed]


def _most_busy(about: About, statements: list[Member], limit: int) -> list[Member]:
    """The statements with the most load."""
    load, none = load_by_member(about, {"Group": "db.sql_tokenized"}, {}), pd.Series(0.0)
    return most_loaded({key: load.get(key, none) for key in statements}, limit)


def statement_statistics(cluster: Cluster) -> dict[str, Callable[[pd.DataFrame, int], pd.Series]]:
    """Return the statistics of the cluster's engine."""
    return postgresql.STATEMENT_STATISTICS if cluster.is_postgresql else STATEMENT_STATISTICS


def _stem(cluster: Cluster, metric: str) -> str:
    stem = metric.removeprefix("db.sql_tokenized.stats.").removesuffix(".avg")
    if stem not in statement_statistics(cluster):
        raise Refused("InvalidArgumentException", f"The metric {metric} is not a known metric")
    return stem


def _statistics(about: About, stem: str) -> dict[str, pd.Series]:
    """Digest → a statistic of it by time [s]."""
    native = period(about.cluster.frame("statement_metrics"))
    found = {}
    for digest, whole in about.cluster.statement_metrics(about.instance).items():
        rows = _inside(about, whole, native)
        values = statement_statistics(about.cluster)[stem](rows, native).to_numpy(dtype=float)
        found[digest] = bucketed(Series(rows.index.to_numpy(), values, native), about.period, "avg")
    return {digest: values for digest, values in found.items() if len(values)}
