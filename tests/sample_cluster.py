"""Copy one cluster of a recorded store into data/sample, at once: without the half-minute steps in which its rows came."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aurora_analysis.store import Store
from aurora_analysis.tables import TABLES

SAMPLE = Path(__file__).parent.parent / "data" / "sample"


def copy(recorded: Store, sample: Store, cluster: str) -> None:
    """Replace the rows that the sample has of the cluster and its window; coverage is written last."""
    window = recorded.span(cluster)
    for name in sorted(TABLES, key="coverage".__eq__):
        rows = recorded.read(name, cluster=cluster, missing_ok=True)
        for source, mine in rows.drop(columns=["cluster", "week"]).groupby("source"):
            content = mine.drop(columns="source")
            if TABLES[name].identity:
                sample.merge(name, content, cluster=cluster, source=str(source))
            else:
                sample.write(name, content, window, cluster=cluster, source=str(source))


def forget_places(folder: Path) -> None:
    """Remove the folder in which delta-rs created each table from the tables' logs; rows and versions stay the same."""
    for log in folder.rglob("_delta_log/*.json"):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        noted = [one["commitInfo"]["operationParameters"] for one in actions if "commitInfo" in one]
        if [one.pop("location") for one in noted if "location" in one]:
            lines = (json.dumps(one, separators=(",", ":"), ensure_ascii=False) for one in actions)
            log.write_text("\n".join(lines))


if __name__ == "__main__":
    copy(Store(sys.argv[2]), Store(SAMPLE), sys.argv[1])
    forget_places(SAMPLE)
