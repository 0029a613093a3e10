"""Let S3 fail while commands run on a Dask cluster: a study of `dev.py bench faults`."""

from __future__ import annotations

import os
import random
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import dask_cluster
import pandas as pd
import s3_server
from _dask_faults import MOST_RUNS, ROOT, Run, published, running, so_far
from dask_cluster import DaskCluster
from s3_server import S3, Fault

from aurora_analysis import Store
from aurora_analysis.tables import TABLES

BUCKET, LOGS = "kept", 3
SHARE_BUSY, SHARE_SLOW, SLOW_S = 0.3, 0.1, 2.0
LONGEST_S = 900.0
"""A command that has not ended by then hangs [s]: a refused request is repeated for most of a minute."""

MOST_PRINTED = 8
"""Rows of a table that differ, printed for each."""

ONCE = ("metrics", "db_load", "statement_metrics", "slow_queries", "events", "coverage", "histograms")
"""Tables whose windows are compared."""

REASON = re.compile(
    "503|SlowDown|access is denied|is not permitted|does not answer|allow s3:|still refused|Service Unavailable"
)
"""What one line says of each fault."""


@dataclass(frozen=True)
class Command:
    """A command, the prefixes that it needs, and what it leaves at an address."""

    name: str
    words: Callable[[str], list[str]]
    content: Callable[[str], Any]
    prefixes: Callable[[str], Sequence[str]]


def tables(place: str) -> dict[str, pd.DataFrame]:
    """Return the rows of a store, in one order."""
    store, found = Store(place), {}
    for cluster in store.clusters():
        for name in TABLES:
            rows = store.read(name, cluster=cluster)
            texts = rows.astype(object).where(rows.notna(), None).astype(str)
            order = texts.sort_values(list(texts.columns), kind="stable").index
            if len(rows):
                found[name] = rows.loc[order].reset_index(drop=True)
    return found


def same(one: Mapping[str, pd.DataFrame], other: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the tables that differ."""
    return [name for name in sorted(one.keys() | other.keys()) if not _equal(one.get(name), other.get(name))]


def _equal(one: pd.DataFrame | None, other: pd.DataFrame | None) -> bool:
    return one is not None and other is not None and one.astype(str).equals(other.astype(str))


def differences(one: Mapping[str, pd.DataFrame], other: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the tables that differ, each with some of its rows."""
    nothing = pd.DataFrame()
    return [
        "\n      ".join([name, *differing_rows(one.get(name, nothing), other.get(name, nothing))])
        for name in same(one, other)
    ]


def differing_rows(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Return the rows that only one of two tables has, marked `-` and `+`, without the columns in which all agree."""
    if one.empty or other.empty:
        return [f"{len(one)} and {len(other)} rows"]
    sides = [pd.DataFrame(rows.astype(str)) for rows in (one, other)]
    rows = sides[0].merge(sides[1], how="outer", indicator="side").query("side != 'both'")
    rows = rows[[name for name in rows if name == "side" or len({*rows[name]}) > 1]].head(MOST_PRINTED)
    marks = rows.pop("side").astype(str).map({"left_only": "-", "right_only": "+"})
    return [f"{mark} {' | '.join(values)}" for mark, values in zip(marks, rows.to_numpy().tolist())]


def half_windows(found: Mapping[str, pd.DataFrame], whole: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return what the coverage marks as received although its rows are not those of a run without a fault."""
    problems = []
    received = found["coverage"].dropna(subset=["received"]) if "coverage" in found else pd.DataFrame()
    for row in received.itertuples():
        if row.table not in ONCE or row.table == "coverage":
            continue
        spec = TABLES[row.table]
        slices = []
        for frames in (found, whole):
            rows = frames.get(row.table, pd.DataFrame(columns=spec.column_names()))
            inside = (rows[spec.time] >= row.time) & (rows[spec.time] < row.end)
            own = rows["source"] == row.source.partition(" s3://")[0]
            mine = (rows["instance"] == row.instance) | pd.isna(row.instance)
            slices.append(rows[inside & own & mine].reset_index(drop=True))
        if not _equal(*slices):
            problems.append(f"half a window of {row.table}: {len(slices[0])} of {len(slices[1])} rows")
    return problems


def pages(client: Any, place: str) -> Any:
    """Return the objects of a report, and what stopped its notebooks."""
    import json

    prefix = place.removeprefix(f"s3://{BUCKET}/") + "/"
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    names = [one["Key"].removeprefix(prefix) for one in listed]
    if "findings.json" not in names:
        return names
    document = json.loads(client.get_object(Bucket=BUCKET, Key=f"{prefix}findings.json")["Body"].read())
    return sorted(names), [(one["page"], one["error"]) for one in document["notebooks"]]


def commands(s3: S3, now: str) -> list[Command]:
    """Put logs and a store into the bucket, and return the commands that use them."""
    client = boto3.client("s3")
    text = (ROOT / "tests/slow_logs/aurora_mysql_3.log").read_bytes()
    # A log's two executions are of one year, so that its window contains the rows of no other log.
    text = text.replace(b"2023-11-30T", b"2026-03-02T")
    for number in range(LOGS):
        client.put_object(Bucket=BUCKET, Key=f"logs/{number:02}.log", Body=text.replace(b"2026-", b"20%02d-" % (10 + number)))  # fmt: skip
    sample = ROOT / "data/sample"
    for path in sample.glob("*/cluster=lab/**/*"):
        if path.is_file():
            client.put_object(Bucket=BUCKET, Key=f"sample/{path.relative_to(sample)}", Body=path.read_bytes())
    span = ["--start", "2026-11-09T00:00", "--end", "2026-11-09T01:00", "--now", now]
    target = ["--cluster", "a", "--instance", "b"]
    of_table = [
        f"{name}/cluster=" for name in ("metrics", "db_load", "slow_queries", "statements", "coverage")
    ]
    lab = ["--store", f"s3://{BUCKET}/sample", "--cluster", "lab", "--notebook", "latency"]
    return [
        Command("ingest", lambda place: ["ingest", f"s3://{BUCKET}/logs/", *target, "--store", place], tables,
                lambda place: ["logs/01", *of_table[2:]]),
        Command("fetch", lambda place: ["fetch", "--cluster", "shop", "--store", place, *span], tables,
                lambda place: of_table),
        Command("report", lambda place: ["report", *lab, "--output", place], lambda place: pages(client, place),
                lambda place: ["sample/metrics", "sample/coverage", place.removeprefix(f"s3://{BUCKET}/")]),
    ]  # fmt: skip


FAULTS = ("busy", "outage", "slow", "denied")


def fault(kind: str, prefixes: Sequence[str], requests: int, rng: random.Random) -> Fault:
    """Return a fault of a kind that begins at a random one of the first 80 % of a command's requests."""
    after = rng.randrange(max(1, requests * 4 // 5))
    return {
        "busy": Fault("busy", SHARE_BUSY, after=after),
        "outage": Fault("busy", 1.0, after=after),
        "slow": Fault("slow", SHARE_SLOW, "", SLOW_S, after),
        "denied": Fault("denied", 1.0, rng.choice(list(prefixes)), after=after),
    }[kind]


def problems(kind: str, code: int, lines: list[str]) -> list[str]:
    """Return what is wrong with the end of a command that met a fault."""
    text = "\n".join(lines)
    if found := [each for each in ("Traceback", "panicked", "<Error>", "RUST_BACKTRACE") if each in text]:
        return [f"the output has {found}: {text[-400:]}"]
    if code == 0:
        return []
    if kind == "slow" or code != 1:
        return [f"exit code {code}: {lines[-2:]}"]
    return [] if REASON.search(text) else [f"no reason: {lines[-3:]}"]


@contextmanager
def on_dask(variables: Mapping[str, str], attempts: int) -> Iterator[tuple[S3, DaskCluster]]:
    """Run S3 and a Dask cluster that reaches AWS and S3, as this process then does, too; a request is tried so often."""
    with tempfile.TemporaryDirectory() as folder, s3_server.running(BUCKET) as s3:
        both = {**s3.variables, **variables, "AWS_MAX_ATTEMPTS": str(attempts)}
        with (
            patch.dict(os.environ, both),
            dask_cluster.running(Path(folder), variables=both, threads=2) as cluster,
        ):
            yield s3, cluster


def ended(run: Run) -> int | None:
    """Return the exit code of a command; None if it hangs."""
    try:
        return run.process.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        return None


def study(
    cluster: DaskCluster,
    s3: S3,
    now: str,
    chosen: tuple[Sequence[str], Sequence[str], int],
    rng: random.Random,
) -> bool:
    """Meet each command with each fault until so many runs have met it, print a line for each pair, and return whether all was well."""
    wanted_names, kinds, repeats = chosen
    is_good = True
    for command in commands(s3, now):
        if wanted_names and command.name not in wanted_names:
            continue
        whole, requests = _whole(command, cluster, s3)
        for kind in [one for one in FAULTS if one in kinds or not kinds]:
            found: list[str] = []
            hits = finished = number = 0
            while hits < repeats and number < MOST_RUNS * repeats:
                place = f"s3://{BUCKET}/{command.name}-{kind}-{number}"
                s3.put(fault(kind, command.prefixes(place), requests, rng))
                with running([*command.words(place), "--dask", cluster.address], {}) as run:
                    code = ended(run)
                hits += s3.lift() > 0
                finished += code == 0
                found += ["hangs"] if code is None else problems(kind, code, run.lines)
                left = command.content(place)
                if command.content is tables:
                    found += half_windows(left, whole)
                if code != 0:
                    with running([*command.words(place), "--dask", cluster.address], {}) as run:
                        code = ended(run)
                    found += [] if code == 0 else [f"the next run exits with {code}: {run.lines[-2:]}"]
                    left = command.content(place)
                if command.content is tables:
                    differ = differences(left, whole)
                else:
                    differ = [] if left == whole else [str(left)]
                found += [f"other content than without a fault: {each}" for each in differ]
                number += 1
                so_far(f"s3 {command.name} {kind}", number, hits, found)
            is_good &= published(
                f"s3 {command.name:7} {kind:7} {number} runs, {hits} met the fault, {finished} finished in spite of it, "
                "the others at the next run",
                found,
            )
    return is_good


def _whole(command: Command, cluster: DaskCluster, s3: S3) -> tuple[Any, int]:
    """Run a command without a fault; return what it leaves, and the number of its requests to S3."""
    place = f"s3://{BUCKET}/whole-{command.name}"
    s3.lift()
    with running([*command.words(place), "--dask", cluster.address], {}) as run:
        code = ended(run)
    if code != 0:
        raise SystemExit(f"{command.name} without a fault exits with {code}: {run.lines[-3:]}")
    requests = s3.requests()
    return command.content(place), requests
