"""Write a cluster's page of statements: the text behind each short id, and the pages that mention it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from aurora_analysis.analysis.verdict import described
from aurora_analysis.report import html
from aurora_analysis.report.runner import Outcome, place
from aurora_analysis.store import Store

NAME = "statements"
LINK = re.compile(rf'href="{NAME}\.html#([0-9a-f]{{16}})"')


def write(
    folder: Path, store: Store, clusters: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]
) -> None:
    """Write one page per cluster with the statements that its other pages mention."""
    for cluster in clusters:
        named = mentions(folder, [one for one in outcomes if one.cluster == cluster["cluster"]])
        if named:
            known = store.read("statements", cluster=cluster["cluster"])
            page = folder / f"{place(cluster['cluster'], NAME)}.html"
            page.write_text(
                html.render(
                    "statements.html.j2",
                    cluster=cluster,
                    rows=_rows(named, known, ran(outcomes, cluster["cluster"])),
                ),
                "utf-8",
            )


def mentions(folder: Path, outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the pages that link each digest; digests on more pages come first."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        page = folder / f"{outcome.place}.html"
        text = page.read_text("utf-8") if page.exists() else ""
        for digest in dict.fromkeys(LINK.findall(text)):
            found.setdefault(digest, []).append(outcome)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def ran(outcomes: Sequence[Outcome], cluster: str) -> dict[str, list[str]]:
    """Return by digest who ran it, where, how often and for how long, as the findings of a cluster state it."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        for finding in outcome.findings if outcome.cluster == cluster else ():
            statement = finding["statement"]
            if statement.get("runs") and statement.get("last"):
                line = f"{finding['subject'].split(' on ')[0]}: {described(statement)}"
                lines = found.setdefault(statement["digest"], [])
                lines += [line] * (line not in lines)
    return found


def _rows(
    named: Mapping[str, Sequence[Outcome]], known: pd.DataFrame, runs: Mapping[str, list[str]]
) -> list[dict[str, Any]]:
    mine = known[known["digest"].isin([*named])].drop_duplicates("digest").set_index("digest")
    statements = mine[["fingerprint", "kind", "first_seen", "last_seen"]].to_dict("index")
    return [
        {
            "digest": digest,
            "pages": pages,
            "statement": statements.get(digest),
            "runs": runs.get(digest, []),
        }
        for digest, pages in named.items()
    ]
