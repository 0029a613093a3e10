"""Serve a store's cluster as AWS until interrupted: `python tests/aws_endpoint --store data/sample`.

With --ledger it serves a made Aurora PostgreSQL cluster instead, for the three days before --now.

The first line on standard output is the URL, the second the moment that is now there: the end of the data,
unless --now says otherwise; then the variables by which boto3 finds it, and an empty line: it is ready.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from deltalake import DeltaTable

sys.path[0] = str(Path(__file__).parent.parent)

from aws_endpoint import MISBEHAVIOURS, Cluster, Endpoint, ledger  # noqa: E402
from aws_endpoint.extras import with_extras  # noqa: E402

TABLES = ("instances", "events", "metrics", "db_load", "statement_metrics", "slow_queries", "statements")
RETENTION_DAYS = 31
"""Of Performance Insights where the store does not say: enough for a fortnight and some."""


def frames(store: Path, cluster: str) -> dict[str, pd.DataFrame]:
    """Read the tables of a store that the endpoint serves, with nothing but Delta."""
    found = {
        name: DeltaTable(store / name / f"cluster={cluster}").to_pandas()
        for name in TABLES
        if (store / name / f"cluster={cluster}").exists()
    }
    found |= {name: _finest(rows) for name, rows in found.items() if "period_s" in rows}
    if found.get("instances", pd.DataFrame()).empty:
        raise SystemExit(f"{store} has no instances of a cluster {cluster!r}: name another with --cluster.")
    kept = found["instances"].get("pi_retention_days", pd.Series(index=found["instances"].index, dtype=float))
    return found | {"instances": found["instances"].assign(pi_retention_days=kept.fillna(RETENTION_DAYS))}


def _finest(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the shortest period of their metric: a service counts each of its figures at one period."""
    names = rows["name"] if "name" in rows else pd.Series("", rows.index)
    return rows[rows["period_s"] == rows.groupby(names)["period_s"].transform("min")]


def end_of(tables: dict[str, pd.DataFrame]) -> datetime:
    """The end of the last hour that has a metric."""
    last = tables["metrics"].time.max() if "metrics" in tables else tables["instances"].time.max()
    return (last + pd.Timedelta("1us")).ceil("h").to_pydatetime()


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="aws_endpoint", description=__doc__.split("\n", 1)[0])
    served = parser.add_mutually_exclusive_group(required=True)
    served.add_argument("--store", type=Path, help="folder of Delta tables")
    served.add_argument("--ledger", action="store_true", help="a made Aurora PostgreSQL cluster; needs --now")
    parser.add_argument("--cluster", default="shop")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--now", type=datetime.fromisoformat, help="UTC; default: where the data end")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per call")
    parser.add_argument("--rate", action="append", default=[], metavar="SERVICE=CALLS", help="calls a second")
    parser.add_argument(
        "--extras",
        action="store_true",
        help="add connections, endpoints, a serverless reader and backtracking",
    )
    parser.add_argument("--misbehave", action="append", default=[], choices=sorted(MISBEHAVIOURS))
    return parser.parse_args()


def made(now: datetime) -> tuple[Cluster, datetime]:
    """Return the made PostgreSQL cluster, whose data end at the last midnight."""
    end = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Cluster(ledger.NAME, ledger.tables(end - timedelta(days=3), end), exports=("postgresql",)), now


def stored(options: argparse.Namespace) -> tuple[Cluster, datetime]:
    """Return a cluster of a store, and the moment that is now there."""
    tables = frames(options.store, options.cluster)
    now = options.now.replace(tzinfo=UTC) if options.now else end_of(tables)
    tables, how = with_extras(tables) if options.extras else (tables, {})
    return Cluster(options.cluster, tables, **how), now


def main() -> None:
    """Serve until interrupted."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cluster, now = made(options.now.replace(tzinfo=UTC)) if options.ledger else stored(options)
    rates = {service: float(calls) for service, calls in (one.split("=") for one in options.rate)}
    endpoint = Endpoint(cluster, now, options.misbehave, options.latency, rates, options.port)
    with endpoint as aws:
        lines = [aws.url, f"{now:%Y-%m-%dT%H:%M:%SZ}"]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in aws.environment.items()] + [""]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.stdout.write(f"\n{len(aws.calls)} calls: {dict(aws.count())}\n")


if __name__ == "__main__":
    main()
