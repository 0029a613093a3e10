"""Convert the lab's samples and client timings into rows of the store's tables. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aurora_analysis import engines, histogram
from aurora_analysis.lab.sampler import InnodbSample
from aurora_analysis.lab.workload import STATEMENTS, RunTimes, Timing
from aurora_analysis.live.samples import OPEN_TRANSACTION, open_transaction
from aurora_analysis.tables import Needer
from aurora_analysis.window import Window

HISTOGRAM_PERIODS = 10
"""A period of latency histograms and statement metrics spans this many periods of the metrics."""

FINGERPRINT = engines.module("mysql", "fingerprint")

KINDS = ("commit", "dml", "select", "queue")
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
SAMPLED = (
    "history_list_length",
    "purge_boundary",
    "purge_finished",
    "trx_counter",
    "open_read_views",
    "active_transactions",
)


def metrics(
    samples: Sequence[InnodbSample],
    timings: pd.DataFrame,
    planned_rate: Mapping[int, float],
    period_s: int = 1,
) -> pd.DataFrame:
    """Rows of `metrics`, one per period: the server's samples, client timings, and the planned load.

    A period in which no execution of a kind ended has a throughput of 0 and no latency.

    Parameters
    ----------
    samples : sequence of InnodbSample
        Samples of the server.
    timings : DataFrame
        One row per execution, columns of `Timing`.
    planned_rate : mapping
        Start of each period [s since 1970] → planned load [1/s].
    period_s : int
        Length of a period [s].
    """
    values = [
        *((one.time, name, getattr(one.innodb, name)) for one in samples for name in SAMPLED),
        *((one.time, "cpu_utilization", one.cpu_pct) for one in samples if one.cpu_pct is not None),
    ]
    sampled = pd.DataFrame(values, columns=["start", "name", "value"]).assign(statistic="average")
    clients = client_metrics(timings, planned_rate, period_s)
    if sampled.empty:
        return clients
    times = _times(sampled["start"].astype("int64"))
    sampled = sampled.assign(time=times, period_s=float(period_s)).drop(columns="start")
    return pd.concat([_rounded(sampled), clients], ignore_index=True)


def client_metrics(
    timings: pd.DataFrame,
    planned_rate: Mapping[int, float],
    period_s: int = 1,
    kinds: Sequence[str] = KINDS,
) -> pd.DataFrame:
    """Rows of `metrics`, one per period: client timings of these kinds, and the planned load; see `metrics`."""
    planned = pd.DataFrame(planned_rate.items(), columns=["start", "value"]).assign(
        name="planned_rate", statistic="average"
    )
    timed = timings.assign(start=timings["ended_at"].astype("int64") // period_s * period_s)
    parts = [planned, *(_of_kind(timed, name, list(planned_rate), period_s) for name in kinds)]
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    times = _times(rows["start"].astype("int64"))
    return _rounded(rows.assign(time=times, period_s=float(period_s)).drop(columns="start"))


def _of_kind(timed: pd.DataFrame, name: str, starts: list[int], period_s: int) -> pd.DataFrame:
    """Throughput and mean latency per period of one kind of execution; for the queue also quantiles."""
    by_period = timed[timed["kind"] == name].groupby("start")["latency_ms"]
    columns = {("throughput", "average"): by_period.size().reindex(starts, fill_value=0) / period_s}
    columns["latency", "average"] = by_period.mean()
    if name == "queue":
        columns |= {("latency", label): by_period.quantile(q) for label, q in QUANTILES.items()}
    parts = [
        values.rename("value")
        .rename_axis("start")
        .reset_index()
        .assign(name=f"{name}_{what}", statistic=label)
        for (what, label), values in columns.items()
    ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _rounded(rows: pd.DataFrame) -> pd.DataFrame:
    """Round latencies and shares to four significant digits, the precision of client clocks; counts stay whole."""
    whole = rows["name"].isin(SAMPLED)
    return rows.assign(value=rows["value"].where(whole, _significant(rows["value"].to_numpy(dtype=float))))


def _significant(values: npt.NDArray[np.float64], digits: int = 4) -> npt.NDArray[np.float64]:
    size = np.where(
        values == 0, 1.0, 10.0 ** (np.floor(np.log10(np.abs(np.where(values == 0, 1, values)))) + 1 - digits)
    )
    return np.round(values / size) * size


def histograms(timings: pd.DataFrame, window: Window, period_s: int = 1) -> pd.DataFrame:
    """Rows of `histograms`: executions per latency bucket, by statement and ten periods."""
    known = _by_digest(timings, window, HISTOGRAM_PERIODS * period_s)
    known = known.assign(bucket=histogram.bucket(known["latency_ms"]))
    return known.groupby(["time", "period_s", "digest", "bucket"]).size().rename("count").reset_index()


def statement_metrics(timings: pd.DataFrame, window: Window, period_s: int = 1) -> pd.DataFrame:
    """Rows of `statement_metrics`: executions and mean latency, by statement and ten periods."""
    known = _by_digest(timings, window, HISTOGRAM_PERIODS * period_s)
    by_digest = known.groupby(["time", "period_s", "digest"])["latency_ms"]
    rows = by_digest.agg(calls="size", mean_latency_ms="mean").reset_index()
    mean = _significant(rows["mean_latency_ms"].to_numpy(dtype=float))
    return rows.assign(calls=rows["calls"].astype(float), mean_latency_ms=mean)


def _by_digest(timings: pd.DataFrame, window: Window, period_s: int) -> pd.DataFrame:
    """Add digest and period to each execution; the window's last period may be shorter."""
    digests = {name: FINGERPRINT.statement(_text(name)).digest for name in STATEMENTS}
    known = timings[timings["statement"].isin(digests)]
    first, last = int(window.start.timestamp()), int(window.end.timestamp())
    start = first + (known["ended_at"].astype("int64") - first) // period_s * period_s
    return known.assign(
        digest=known["statement"].map(digests),
        time=_times(start),
        period_s=(last - start).clip(upper=period_s).astype(float),
    )


def statements(window: Window) -> pd.DataFrame:
    """Rows of `statements` for the writer's statements, which span the window."""
    named = [FINGERPRINT.statement(_text(name)) for name in STATEMENTS]
    return pd.DataFrame(
        {
            "digest": [one.digest for one in named],
            "fingerprint": [one.fingerprint for one in named],
            "join_key": [FINGERPRINT.join_key(one.fingerprint) for one in named],
            "kind": [FINGERPRINT.kind(one.fingerprint) for one in named],
        }
    ).assign(
        first_seen=pd.Timestamp(window.start).as_unit("us"), last_seen=pd.Timestamp(window.end).as_unit("us")
    )


def _text(name: str) -> str:
    """Text of a statement with values, as the server logs it."""
    return STATEMENTS[name].text.replace("%s", "1")


def open_transactions(
    samples: Iterable[InnodbSample], instance_of: Callable[[str], str], leave_out: set[str]
) -> pd.DataFrame:
    """Rows of `open_transactions`, without those of the users in `leave_out`."""
    rows = [
        open_transaction(one.time, instance_of(found.user), found, one.innodb.views, "mysql")
        for one in samples
        for found in one.transactions or ()
        if found.user not in leave_out
    ]
    frame = pd.DataFrame(rows, columns=OPEN_TRANSACTION)
    times = {name: _times(frame[name].astype("int64")) for name in ("time", "started_at")}
    return frame.assign(**times, digest=frame["digest"].astype("str"))


def transaction_ages(
    samples: Iterable[InnodbSample], is_mine: Callable[[str], bool], period_s: int = 1
) -> pd.DataFrame:
    """Rows of `metrics`: age of one instance's oldest transaction [s], 0 without one, as CloudWatch publishes it.

    Parameters
    ----------
    samples : iterable of InnodbSample
        Samples of the server.
    is_mine : callable
        Whether a user's sessions are the instance's.
    period_s : int
        Length of a period [s].
    """
    rows = [
        (one.time, one.time - min([one.time, *(t.started_at for t in one.transactions if is_mine(t.user))]))
        for one in samples
        if one.transactions is not None
    ]
    frame = pd.DataFrame(rows, columns=["time", "value"], dtype=float)
    times = _times(frame["time"].astype("int64"))
    return frame.assign(
        time=times, name="oldest_transaction_age", statistic="maximum", period_s=float(period_s)
    )


def read_views(
    samples: Iterable[InnodbSample], roles: Mapping[str, str], instance_of: Callable[[str], str]
) -> pd.DataFrame:
    """Rows of `read_views`: the oldest transaction each instance's views may need, or the counter if none."""
    rows = [
        (one.time, instance, role, Needer.SESSION, _oldest(one, instance, instance_of))
        for one in samples
        if one.transactions is not None
        for instance, role in roles.items()
    ]
    frame = pd.DataFrame(rows, columns=["time", "instance", "role", "holder", "oldest_read_view_trx_id"])
    return frame.assign(time=_times(frame["time"].astype("int64")))


def _oldest(sample: InnodbSample, instance: str, instance_of: Callable[[str], str]) -> int:
    mine = {one.thread_id for one in sample.transactions or () if instance_of(one.user) == instance}
    views = [limit for thread, limit in sample.innodb.views.items() if thread in mine]
    return min(views, default=sample.innodb.trx_counter)


def with_runs(plan: pd.DataFrame, runs: Iterable[RunTimes]) -> pd.DataFrame:
    """Add to the plan when each run really started and ended."""
    known = pd.DataFrame([*runs], columns=list(RunTimes._fields)).set_index("row").reindex(plan.index)
    times = {
        name: pd.to_datetime((1e6 * known[name].astype(float)).round().astype("Int64"), unit="us", utc=True)
        for name in ("started_at", "ended_at")
    }
    return plan.assign(**times)


def slow_queries(rows: pd.DataFrame, window: Window, instance_of: Callable[[str], str]) -> pd.DataFrame:
    """Rows of `slow_queries` that ended in the window, each on the instance its user represents."""
    inside = rows[rows["ended_at"].between(window.start, window.end, inclusive="left")]
    return inside.assign(instance=inside["user"].map(instance_of))


def with_client_times(
    slow_queries: pd.DataFrame, plan: pd.DataFrame, within: pd.Timedelta, precision_s: float
) -> pd.DataFrame:
    """Replace the log's whole seconds by the client's exact times, for slow queries of planned runs.

    `plan` has the runs with their times. A slow query belongs to its user's run whose start differs from the logged
    start by at most `within`.
    """
    started = plan.dropna(subset="started_at").sort_values("started_at")
    found = pd.merge_asof(
        slow_queries.sort_values("started_at"),
        started[["started_at", "workload"]].assign(noted=started["started_at"]),
        on="started_at",
        left_by="user",
        right_by="workload",
        direction="nearest",
        tolerance=within,
    ).drop(columns="workload")
    is_planned, lasted = found["noted"].notna(), pd.to_timedelta(found["query_time_s"], unit="s")
    noted = {"started_at": found["noted"], "ended_at": (found["noted"] + lasted).dt.as_unit("us")}
    exact = {name: found[name].mask(is_planned, times) for name, times in noted.items()}
    precision = found["time_precision_s"].mask(is_planned, precision_s)
    return found.assign(**exact, time_precision_s=precision).drop(columns="noted")


def timed(timings: Iterable[Timing]) -> pd.DataFrame:
    """Convert executions into a frame."""
    frame = pd.DataFrame([*timings], columns=list(Timing._fields))
    return frame.astype({"ended_at": float, "latency_ms": float})


def _times(seconds: pd.Series) -> pd.Series:
    """Convert whole seconds since 1970 to UTC times."""
    return pd.to_datetime(seconds, unit="s", utc=True).astype("datetime64[us, UTC]")
