"""The live queries of an engine: one read-only statement per file, with the question it answers and the grant it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy

from aurora_analysis.engines.live_evidence import Probe

TAG = "/* aurora-analysis */"
"""Precedes every statement of ours, so that logs and process lists can exclude them."""


class Query(NamedTuple):
    """One statement of `queries/`: the question it answers, the grant it needs, its text."""

    name: str
    answers: str
    needs: str
    text: str

    def with_values(self, values: Mapping[str, Any]) -> sqlalchemy.TextClause:
        """Return the tagged statement; values that are lists expand to `IN (...)`."""
        lists = [name for name, value in values.items() if isinstance(value, list)]
        text = sqlalchemy.text(f"{TAG} {self.text}")
        return text.bindparams(*(sqlalchemy.bindparam(name, expanding=True) for name in lists))


def load(folder: Path) -> dict[str, Query]:
    """Read the queries of a folder, by name: a file's first line has the question, its second the grant."""
    return {path.stem: _query(path) for path in sorted(folder.glob("*.sql"))}


def _query(path: Path) -> Query:
    answers, needs, text = path.read_text(encoding="utf-8").split("\n", 2)
    return Query(path.stem, answers.removeprefix("-- "), needs.removeprefix("-- needs: "), text.strip())


@dataclass(frozen=True)
class Grant:
    """One probe on one instance: the question it answers, whether it is granted, and what is missing.

    `state` is "ok", "not granted" or "not on this server".
    """

    instance: str
    probe: str
    answers: str
    state: str
    needs: str


def grants(
    probe: Probe, queries: Mapping[str, Query], values: Mapping[str, Mapping[str, Any]]
) -> list[Grant]:
    """Run every query once, with these values of its parameters, and report which ones lack a grant."""
    found = []
    for query in queries.values():
        rows = probe.rows(query.name, **values.get(query.name, {}))
        skipped = query.name in probe.skipped
        state = "not granted" if skipped else "not on this server" if rows is None else "ok"
        needs = probe.skipped.get(query.name, "")
        found.append(Grant(probe.name, query.name, query.answers, state, needs))
    return found


def table(found: Sequence[Grant]) -> list[str]:
    """Format one line per probe: its state, and the missing GRANT statement or the question it answers."""
    width = max((len(one.probe) for one in found), default=0)
    return [
        f"{one.instance}  {one.probe:{width}}  {one.state:18}  {one.needs or one.answers}" for one in found
    ]
