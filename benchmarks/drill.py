"""Repeat drills in the labs, and check what must hold whatever the machine's speed.

`python3 dev.py bench drill` takes about ten minutes, mostly waiting. On PostgreSQL it runs each fault --repeats times, on MariaDB
crash and disk. A failover and a crash must lose no acknowledged write, the topology-aware client must follow a failover before the
plain one, which keeps the former address for its cache's time, and stops and lags of 4 s must be measured as such. A standby that
has not followed for a second is promoted once per repeat: the lost writes must be about those of that second. Then the
command is killed at --kills random moments, and must leave no process. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pandas as pd
from faults import command, ran

from aurora_analysis.lab import drill_mysql, drill_postgresql
from aurora_analysis.live import drill
from aurora_analysis.live.drill import DrillOptions, Place

DNS_CACHE_S = 5.0
FAULT_S = 4.0
SLACK_S = 3.0
"""What a machine that others share may add to a time [s]."""


def measured(running: Callable[[], AbstractContextManager[Place]], faults: tuple[str, ...], chosen: argparse.Namespace) -> pd.DataFrame:  # fmt: skip
    """Run faults in random order; returns the rows of `drills`."""
    client = drill.ClientOptions(dns_cache_s=DNS_CACHE_S, recycle_s=DNS_CACHE_S)
    with running() as place:
        schema = "public" if place.engine_name == "postgresql" else drill_mysql.DATABASE
        options = DrillOptions(
            faults, "lab", repeats=chosen.repeats, interval_s=2.0, observe_s=30.0, fault_s=FAULT_S,
            seed=chosen.seed, schema=schema, client=client,
        )  # fmt: skip
        rows = drill.run_drill(options, place, None, lambda line: None)
    time_s = rows["settled_s"].where(rows["fault"] != "lag", rows["worst_staleness_s"])
    summary = rows.assign(time_s=time_s).groupby(["fault", "client"])
    shown = summary.agg(
        runs=("run", "size"), median_s=("time_s", "median"), slowest_s=("time_s", "max"), errors=("errors", "median"),
        acknowledged=("writes_acknowledged", "sum"), lost=("writes_lost", "sum"), former=("former_writer_reads", "sum"),
        connections_per_s=("connections_per_s", "max"),
    )  # fmt: skip
    print(f"{place.engine_name}\n{shown.round(2).to_string()}", flush=True)
    return rows


def differences(rows: pd.DataFrame, chosen: argparse.Namespace) -> list[str]:
    """What does not hold in the rows of drills."""
    found = []
    if not rows["took_effect"].fillna(False).all():
        found.append("a fault did not take effect")
    if len(rows) != 3 * chosen.repeats * rows["fault"].nunique():
        found.append(f"{len(rows)} rows")
    if rows["writes_lost"].isna().any() or rows["writes_lost"].sum():
        found.append("writes were lost, or not checked")
    times = rows.set_index(["fault", "run", "client"]).sort_index()
    if "failover" in set(rows["fault"]):
        settled = times.loc["failover", "settled_s"].unstack()
        if not (settled["topology"] < settled["plain"]).all():
            found.append("the plain client followed a failover before the topology-aware one")
        if not settled["plain"].between(DNS_CACHE_S, DNS_CACHE_S + SLACK_S).all():
            found.append(f"the plain client did not keep the former address for {DNS_CACHE_S:g} s")
    stopped = times.loc["disk", "settled_s"]
    if not stopped.between(FAULT_S - 0.5, FAULT_S + SLACK_S).all():
        found.append(f"a stop of {FAULT_S:g} s was measured as {stopped.min():.1f} to {stopped.max():.1f} s")
    if "lag" in set(rows["fault"]):
        age = times.loc["lag", "worst_staleness_s"]
        if not age.between(FAULT_S - 1.0, FAULT_S + SLACK_S).all():
            found.append(f"a lag of {FAULT_S:g} s was measured as {age.min():.1f} to {age.max():.1f} s")
    return found


def losses(chosen: argparse.Namespace) -> list[str]:
    """Promote a standby that no longer follows; the writes acknowledged since then must be those that are lost."""
    found = []
    with drill_postgresql.running(is_synchronous=False) as place:
        inject, stopped_s = place.inject, 1.0

        def behind(fault: str, seconds: float, writer: str) -> drill.Injected:
            reader = next(name for name in place.instances if name != writer)
            with place.server(reader).connect() as connection:
                connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
                connection.execute("SELECT pg_reload_conf()")
            time.sleep(stopped_s)
            return inject(fault, seconds, writer)

        setattr(place, "inject", behind)  # noqa: B010  (mypy refuses the plain assignment)
        client = drill.ClientOptions(dns_cache_s=1.0, recycle_s=2.0)
        options = DrillOptions(
            ("failover",), "lab", repeats=chosen.repeats, interval_s=1.0, observe_s=15.0, client=client
        )
        rows = drill.run_drill(options, place, None, lambda line: None)
    per_s = client.workers / client.pause_s
    lost = rows["writes_lost"].astype(float)
    print(
        f"a standby {stopped_s:g} s behind: {lost.min():.0f} to {lost.max():.0f} lost writes per client, at most {per_s:.0f} per s"
    )
    if not lost.between(0.3 * per_s * stopped_s, 2.0 * per_s * stopped_s).all():
        found.append("the lost writes are not those of the time in which the standby did not follow")
    return found


def kills(chosen: argparse.Namespace) -> list[str]:
    """Kill the command at random moments: its servers end with it."""
    rng, found = random.Random(chosen.seed), []
    with tempfile.TemporaryDirectory() as store:
        for number in range(chosen.kills):
            engine = ("postgresql", "mysql")[number % 2]
            words = command("drill", "crash", "--lab", "--engine", engine, "--store", store)
            is_done, said = ran(words, dict(os.environ), rng.uniform(1, 20))
            if is_done or said:
                found.append(f"{engine}: {said}")
    print(f"{chosen.kills} kills, {len(found)} problems", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=5, help="of each fault [default: 5]")
    parser.add_argument("--kills", type=int, default=6, help="[default: 6]")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    pair = measured(drill_postgresql.running, ("failover", "crash", "reader-restart", "lag", "disk"), chosen)
    one = measured(drill_mysql.running, ("crash", "disk"), chosen)
    found = [*differences(pair, chosen), *differences(one, chosen), *losses(chosen), *kills(chosen)]
    for problem in found:
        print(f"    {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
