"""The commands. Only here are clients and engines made, and only here is anything printed.

Imports of pandas, Delta and papermill wait inside the commands, so that `digest` and `--help` start at once.
"""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis import Window, __version__, window
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from aurora_analysis.config import Cluster, Config
    from aurora_analysis.engines.mysql.fingerprint import SqlMode
    from aurora_analysis.fetch.plan import Plan
    from aurora_analysis.fetch.rates import Rate
    from aurora_analysis.fetch.run import Outcome as Done
    from aurora_analysis.live.experiment import Servers, TrialOptions
    from aurora_analysis.live.status import PurgeStatus
    from aurora_analysis.report.runner import Outcome
    from aurora_analysis.store import Store


class _Commands(click.Group):
    """A group whose commands turn an `Error` into one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except Error as problem:
            click.echo(f"aurora-analysis: {problem}", err=True)
            sys.exit(2)
        except OSError as problem:
            if problem.errno != errno.ENOSPC:
                raise
            where = problem.filename or f"the output, or of {tempfile.gettempdir()}"
            click.echo(f"aurora-analysis: The disk of {where} is full: make room, or set TMPDIR.", err=True)
            sys.exit(1)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__)
def main() -> None:
    """Does that query on the Aurora reader slow the writer, by how much, and how sure are we?"""


STORE_HELP = (
    "Store to read: folder or s3:// prefix "
    "[default: AURORA_ANALYSIS_STORE, else `store` in the settings file, else the bundled sample]."
)
WRITE_HELP = "Store to write: folder or s3:// prefix [default: AURORA_ANALYSIS_STORE, else `store` in the settings file]."


class _Name(click.ParamType):
    """A name that is not empty: an unset shell variable would otherwise name a cluster of no name."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not str(value).strip():
            self.fail("the name is empty. Is a shell variable unset?", param, ctx)
        return str(value)


NAME = _Name()

WINDOW = [
    click.option("--week", default="", help="An ISO week, as in 2026-W46, Monday 00:00 in --timezone."),
    click.option("--last-week", is_flag=True, help="The last whole ISO week."),
    click.option("--start", default="", help="UTC, inclusive, with --end."),
    click.option("--end", default="", help="UTC, exclusive."),
    click.option("--timezone", default="", help="For people; data stay UTC [default: UTC]."),
]


@dataclass(frozen=True)
class _Span:
    """The options that name a window."""

    start: str
    end: str
    week: str
    last_week: bool
    timezone: str

    def window(self, now: datetime | None = None) -> Window | None:
        """The window that they name, or None."""
        if sum([bool(self.start or self.end), bool(self.week), self.last_week]) > 1:
            raise Error("Name one window: --week, or --last-week, or --start with --end.")
        if self.week:
            return window.week(self.week, self.timezone or "UTC")
        if self.last_week:
            return window.last_week(self.timezone or "UTC", now=now)
        if bool(self.start) != bool(self.end):
            raise Error("A window has two ends: give --start with --end.")
        return Window(self.start, self.end) if self.start else None


def _windowed(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name a window; the command takes them as one argument, `span`."""

    @functools.wraps(command)
    def with_span(**given: Any) -> None:
        names = [one.name for one in fields(_Span)]
        command(span=_Span(**{name: given.pop(name) for name in names}), **given)

    for option in reversed(WINDOW):
        with_span = option(with_span)
    return with_span


@main.command()
@click.option("--store", "location", default="", help=STORE_HELP)
@click.option(
    "--cluster", "clusters", type=NAME, multiple=True, help="Repeat for several [default: all of the store]."
)
@click.option(
    "--all", "every", is_flag=True, help="Every cluster of the settings; one that is broken stops no other."
)
@click.option(
    "--config", "settings", default="", help="Settings [default: aurora-analysis.toml, if it is there]."
)
@_windowed
@click.option("--notebook", "notebooks", multiple=True, help="Name or file; repeat [default: the suite].")
@click.option("-p", "--parameter", "pairs", multiple=True, metavar="NAME=VALUE", help="Of the notebooks.")
@click.option(
    "--versions",
    "earlier",
    type=click.Path(path_type=Path),
    help="Run an earlier report again, on the data it read: its findings.json. Other options still count.",
)
@click.option("--output", default="", help="Folder or s3:// prefix of the one report [default: report].")
@click.option(
    "--archive", default="", help="Keep the report beside earlier ones in this folder or s3:// prefix."
)
@click.option("--record", "recorded", is_flag=True, help="Write the findings into the store too.")
@click.option(
    "--fail-on",
    type=click.Choice(["act", "watch"]),
    help="Exit code 3 where a finding is so severe, or more.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Notebooks at a time, 350 MB each [default: cores].")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=600, show_default=True, help="Of a cell [s]."
)
def report(
    location: str,
    clusters: tuple[str, ...],
    every: bool,
    settings: str,
    span: _Span,
    notebooks: tuple[str, ...],
    pairs: tuple[str, ...],
    earlier: Path | None,
    output: str,
    archive: str,
    recorded: bool,
    fail_on: str | None,
    jobs: int | None,
    timeout: float,
) -> None:
    """Run the notebooks for a window of each cluster: HTML pages, index.html, findings.json.

    Without a window: the newest seven days that the store holds of each cluster. Exit code 1: a notebook did not
    finish, or a cluster could not be read; the report says so and holds the rest.
    """
    from aurora_analysis import config
    from aurora_analysis.report import build, index, publish

    read = config.load(settings)
    asked = {
        "store": location if earlier else _store_to_read(location, settings),
        "clusters": _every(clusters, read) if every else clusters,
        "window": span.window(),
        "notebooks": notebooks,
        "timezone": span.timezone,
        "parameters": _pairs(pairs),
        "keep_going": every,
        "settings": read.origin,
    }
    run = index.recorded(earlier) if earlier else {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # cron and systemd leave no half report
    place = publish.place(output, archive, _bucket_client)
    request = build.requested(asked, run)
    told, page = publish.report(request, place, recorded=recorded, jobs=jobs, timeout_s=timeout, done=_tell)
    click.echo(page)
    sys.exit(index.exit_code(told, fail_on))


def _every(clusters: tuple[str, ...], read: Config) -> tuple[str, ...]:
    """The clusters of the settings."""
    if clusters:
        raise Error("Name clusters with --cluster, or take --all of the settings: not both.")
    if not read.clusters:
        raise Error(
            f"{read.origin or 'aurora-analysis.toml'} names no cluster: write [clusters.NAME] for each, or use --cluster."
        )
    return tuple(read.clusters)


def _bucket_client() -> Any:
    """boto3's client for reports on S3."""
    import boto3

    return boto3.session.Session().client("s3")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Overwrite notebooks there that differ.")
def notebooks(folder: Path, force: bool) -> None:
    """Copy the suite into a folder, to open in JupyterLab."""
    from aurora_analysis.report import suite

    for copied in suite.copy(folder, force=force):
        click.echo(copied)


@main.command()
@click.option(
    "--cluster", type=NAME, required=True, help="Its name in the store; [clusters.NAME] of the settings file."
)
@click.option("--store", "location", default="", help=WRITE_HELP)
@_windowed
@click.option("--instance", "instances", type=NAME, multiple=True, help="Repeat for several [default: all].")
@click.option("--source", "sources", multiple=True, help="Repeat for several [default: all].")
@click.option("--dry-run", is_flag=True, help="Count the calls and what they cost; bring nothing.")
@click.option(
    "--config", "settings", default="", help="Settings [default: aurora-analysis.toml, if it is there]."
)
@click.option("--region", default="", help="Of the cluster [default: the settings', else boto3's].")
@click.option("--profile", default="", help="Of ~/.aws/config [default: the settings', else boto3's].")
@click.option(
    "--now", "pretended", default="", hidden=True, help="The moment to take for now, for a simulated cluster."
)
def fetch(
    cluster: str,
    location: str,
    span: _Span,
    instances: tuple[str, ...],
    sources: tuple[str, ...],
    dry_run: bool,
    settings: str,
    region: str,
    profile: str,
    pretended: str,
) -> None:
    """Bring everything AWS knows about a cluster in a window into the store; what is there already is not asked for.

    Exit code 1: something could not be had; a line and `store coverage` say what, and the next fetch asks again.
    """
    from aurora_analysis import config, executors
    from aurora_analysis.fetch import plan, rates, run, summary
    from aurora_analysis.store import Store

    asked = span.window(_now(pretended))
    if asked is None:
        raise Error("Name a window: --last-week, or --week, or --start with --end.")
    read = config.load(settings)
    where = read.cluster(cluster, region=region, profile=profile)
    named = plan.source_names(sources)
    options = plan.FetchOptions(where, asked, _now(pretended), named, instances, read.fetch.examples)
    opened = Store(_store_to_write(location, settings))
    limits = rates.by_service(read.rates)
    clients = _clients(where, limits, read.fetch.threads)
    planned = plan.plan(clients, opened, options)
    for line in summary.forecast(planned, limits, read.prices):
        click.echo(line, err=not dry_run)
    if dry_run:
        return
    _give_back_memory()
    with executors.threads(rates.workers(limits, read.fetch.threads)) as pools:
        outcomes = run.fetch(planned, clients, opened, pools, _progress(planned))
    for line in summary.summary(planned, outcomes, limits):
        click.echo(line)
    sys.exit(bool(summary.failures(planned, outcomes)))


@main.command()
@click.option("--cluster", type=NAME, help="Its name in the settings file, or its identifier.")
@click.option(
    "--config", "settings", default="", help="Settings [default: aurora-analysis.toml, if it is there]."
)
@click.option("--region", default="", help="Of the cluster [default: the settings', else boto3's].")
@click.option("--profile", default="", help="Of ~/.aws/config [default: the settings', else boto3's].")
@click.option("--now", "pretended", default="", hidden=True, help="The moment to take for now.")
@click.option(
    "--sql",
    "servers",
    multiple=True,
    metavar="URL",
    help="Ask a server what live evidence it grants; repeat.",
)
def doctor(
    cluster: str | None, settings: str, region: str, profile: str, pretended: str, servers: tuple[str, ...]
) -> None:
    """What of a cluster is reachable, permitted and enabled, and the exact fix of each gap.

    Exit code 1: there is a gap.
    """
    if servers:
        _grants(servers)
        return
    if not cluster:
        raise Error("Name what to look at: --cluster NAME, or --sql URL for the grants of a server.")
    from aurora_analysis import config
    from aurora_analysis.fetch import doctor as diagnosing
    from aurora_analysis.fetch import rates, survey

    read = config.load(settings)
    where = read.cluster(cluster, region=region, profile=profile)
    clients = _clients(where, rates.by_service(read.rates), read.fetch.threads)
    found = survey.describe(clients, where.identifier)
    checks = diagnosing.checks(found, diagnosing.probe(clients, found, _now(pretended)))
    click.echo("\n".join(diagnosing.table(checks)))
    sys.exit(any(check.state in {"gap", "refused"} for check in checks))


def _grants(servers: tuple[str, ...]) -> None:
    """Each probe of each server: granted or not, and the statement that grants it."""
    from aurora_analysis.engines.mysql import live

    probes = [live.Probe(_engine(url), f"server {n}", "writer") for n, url in enumerate(servers, 1)]
    try:
        found = [grant for probe in probes for grant in live.grants(probe)]
    except live.ConnectionLost as problem:
        raise Error(f"A server does not answer: {problem}.") from None
    finally:
        for probe in probes:
            probe.close()
    click.echo("\n".join(live.table(found)))
    sys.exit(any(grant.state == "not granted" for grant in found))


PATIENCE_S = 5.0
"""A server that is silent for longer is taken for lost: our own statements are broken off after two seconds."""


def _engine(
    url: str, *, iam: bool = False, ca: str = "", region: str = "", patience_s: float = 0.0
) -> Engine:
    """An engine for live evidence: PyMySQL, no pool; an IAM token is made at each connect, and goes over TLS alone.

    A server that is silent for `patience_s` longer than PATIENCE_S is taken for lost.
    """
    import sqlalchemy

    from aurora_analysis.engines.mysql import live

    arguments: dict[str, Any] = {"connect_timeout": 5, "read_timeout": PATIENCE_S + patience_s}
    if ca:
        arguments["ssl"] = {"ca": ca, "check_hostname": True}
    elif iam:
        raise Error("An IAM token is sent over TLS alone: name the bundle of RDS certificates with --ca.")
    engine = sqlalchemy.create_engine(
        live.url(url, os.environ), connect_args=arguments, poolclass=sqlalchemy.NullPool
    )
    if iam:
        import boto3

        live.with_tokens(engine, boto3.client("rds", region_name=region or None).generate_db_auth_token)
    return engine


def _give_back_memory() -> None:
    """Let allocators keep less of what was freed.

    pyarrow's own pool keeps 50 MiB, glibc's arenas of many threads 20, and 25 more what glibc learns to keep: that it
    asks the system for large blocks one by one, and gives them back, ends with the first that is freed.
    """
    import ctypes

    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    if hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)


M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
"""Of malloc.h. A threshold that is set, to glibc's own first one, stays as it is."""


def _now(pretended: str) -> datetime:
    return Window(pretended, "9999-01-01").start if pretended else datetime.now(UTC)


def _store_to_read(flag: str, settings: str = "") -> str:
    """The store that a command reads; standard error says when it is the sample, because nothing names a store."""
    from aurora_analysis.store import location

    found = location.resolve(flag, settings=settings)
    if found.is_default:
        click.echo(SAMPLE_OPENED, err=True)
    return found.place


SAMPLE_OPENED = (
    "No store is named (--store, AURORA_ANALYSIS_STORE, `store` in aurora-analysis.toml): opening the bundled sample, "
    "which holds simulated and recorded clusters."
)


def _store_to_write(flag: str, settings: str = "") -> str:
    """The store that a command writes; never the sample."""
    from aurora_analysis.store import location

    return location.writable(flag, settings=settings).place


def _clients(where: Cluster, rates: Mapping[str, Rate], threads: int) -> dict[str, Any]:
    """boto3's clients, each within its service's rate."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    from aurora_analysis.fetch.rates import limit_rate, skip_json_shaping

    retries = {"mode": "standard", "max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", "8"))}
    how = Config(
        retries=retries, max_pool_connections=2 * threads, user_agent_extra=f"aurora-analysis/{__version__}"
    )
    try:
        session = boto3.session.Session(profile_name=where.profile or None, region_name=where.region or None)
        made = {service: session.client(service, config=how) for service in rates}
    except BotoCoreError as problem:
        raise Error(
            f"{str(problem).rstrip('.')}: name --region and --profile, or set them up for boto3."
        ) from None
    return {
        service: skip_json_shaping(limit_rate(client, rates[service])) for service, client in made.items()
    }


def _progress(plan: Plan) -> Callable[[Done], None]:
    """One line a source, on stderr: redrawn as it grows on a terminal, told once where there is none."""
    counts = plan.counts()
    done = dict.fromkeys(counts, 0)
    drawn = False

    def tell(outcome: Done) -> None:
        nonlocal drawn
        source = outcome.chunk.source
        done[source] += 1
        if sys.stderr.isatty():
            lines = [f"\x1b[K{name}: {done[name]} of {count}" for name, count in counts.items()]
            click.echo((f"\x1b[{len(lines)}F" if drawn else "") + "\n".join(lines), err=True)
            drawn = True
        elif done[source] == counts[source]:
            click.echo(f"{source}: {done[source]} of {counts[source]}", err=True)

    return tell


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE, as a mapping."""
    for pair in given:
        if "=" not in pair:
            raise Error(f"-p {pair} names no value: write -p NAME=VALUE.")
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in given)}


def _tell(outcome: Outcome) -> None:
    """One line a notebook, on stderr."""
    how = f"did not finish: {outcome.error}" if outcome.error else f"{len(outcome.findings)} findings"
    click.echo(f"{outcome.cluster} {outcome.notebook}: {how} ({outcome.seconds:.1f} s)", err=True)


def _sql_mode(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where a literal ends; the command takes them as one argument, `mode`."""

    @click.option("--no-backslash-escapes", is_flag=True, help="The sql_mode has NO_BACKSLASH_ESCAPES.")
    @click.option("--ansi-quotes", is_flag=True, help="The sql_mode has ANSI_QUOTES.")
    @functools.wraps(command)
    def with_mode(*, no_backslash_escapes: bool, ansi_quotes: bool, **arguments: Any) -> None:
        from aurora_analysis.engines.mysql.fingerprint import SqlMode

        command(mode=SqlMode(not no_backslash_escapes, ansi_quotes), **arguments)

    return with_mode


ORDERS = ("time", "calls", "mean", "p95", "max", "lock", "examined", "sent")


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--since", default="", help="UTC, inclusive: executions that ended from then on.")
@click.option("--until", default="", help="UTC, exclusive.")
@click.option("--user", default="", help="Only this user's.")
@click.option(
    "--order-by",
    type=click.Choice(ORDERS),
    default="time",
    show_default=True,
    help="The largest first; jsonl has the log's order.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="How many statements [default: 20; json: all]; jsonl: executions.",
)
@click.option("--format", "form", type=click.Choice(["text", "json", "jsonl"]), default="text")
@click.option("--with-sql", is_flag=True, help="The statements' texts too, literals and all (jsonl).")
@click.option("--processes", type=click.IntRange(min=1), help="[default: 1; from 256 MB on, up to 4]")
@_sql_mode
def digest(
    files: tuple[str, ...],
    since: str,
    until: str,
    user: str,
    order_by: str,
    limit: int | None,
    form: str,
    with_sql: bool,
    processes: int | None,
    mode: SqlMode,
) -> None:
    """A ranked profile of slow logs: plain, gzipped, or - for standard input."""
    from aurora_analysis.engines.mysql.slow_log import Account
    from aurora_analysis.sources import log_files, profile, profile_page

    selection = profile.parse_selection(since, until, user)
    total = sum(log_files.size(name) or 0 for name in files)
    if form == "jsonl":
        account = Account()
        lines = profile.lines(files, account, selection=selection, mode=mode, with_sql=with_sql)
        for line in itertools.islice(lines, limit):
            click.echo(line)
        log_files.check(account, *files)
        if not account.is_whole:
            click.echo(f"# {account}", err=True)
        return
    with tempfile.TemporaryFile() as overflow:
        found = profile.profile_files(
            files,
            overflow,
            processes=processes or profile.processes_for(total),
            selection=selection,
            mode=mode,
            progress=_share_read(total),
        )
        log_files.check(found.account, *files)
        told = profile.summary(found, order_by=order_by, limit=limit or (20 if form == "text" else None))
    click.echo(json.dumps(told, ensure_ascii=False) if form == "json" else profile_page.text(told))


def _share_read(total: int) -> Callable[[int], None]:
    """Tells on a terminal how much of a big log was read."""
    read = 0

    def tell(size: int) -> None:
        nonlocal read
        read += size
        if sys.stderr.isatty() and total > 64_000_000:
            click.echo(
                f"\r{min(1, read / total):4.0%} of {total / 1e6:,.0f} MB\x1b[K", err=True, nl=read >= total
            )

    return tell


@main.command("fingerprint")
@_sql_mode
def fingerprint_command(mode: SqlMode) -> None:
    """SQL on standard input, separated by ; and a newline → digest, tab, fingerprint."""
    from aurora_analysis.engines.mysql.fingerprint import split, statement
    from aurora_analysis.sources import log_files

    text = log_files.stdin().read().decode("utf-8", "replace")
    for sql in split(text, mode):
        if sql.strip():
            found = statement(sql, mode)
            click.echo(f"{found.digest}\t{found.fingerprint}")


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--cluster", type=NAME, required=True, help="The cluster's name in the store.")
@click.option("--instance", type=NAME, required=True, help="The instance that wrote the log.")
@click.option("--store", "location", default="", help=WRITE_HELP)
@_sql_mode
def ingest(files: tuple[str, ...], cluster: str, instance: str, location: str, mode: SqlMode) -> None:
    """Slow logs of one instance → store: plain, gzipped, or - for standard input. Logs that overlap merge."""
    from aurora_analysis.sources import log_files

    store = _store_to_write(location)
    for name in files:
        account = log_files.ingest(name, store, cluster=cluster, instance=instance, mode=mode)
        click.echo(f"{name}: {account}", err=True)


class _Length(click.ParamType):
    """A length of time, as in 5s, 30m, 1h [s]."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        unit = LENGTHS.get(value[-1:], 0)
        try:
            length = float(value[:-1]) * unit
        except ValueError:
            length = 0
        if length <= 0:
            self.fail(f"{value!r} is no length of time: write it as 5s, 30m or 1h.", param, ctx)
        return length


LENGTHS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@main.group()
def lab() -> None:
    """A private InnoDB server to try all this on, and a simulated cluster."""


@lab.command("record")
@click.option("--store", "location", default="", help=WRITE_HELP)
@click.option("--minutes", type=click.FloatRange(min=0.5), default=30, show_default=True)
@click.option("--days", type=click.IntRange(min=2), help="Record so many compressed days instead.")
@click.option(
    "--day-length", type=_Length(), default="4m", show_default=True, help="Real time of such a day."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the trial's draw and of the load.")
@click.option("--cluster", type=NAME, default="lab", show_default=True)
@click.option(
    "--block-s", type=float, default=75, show_default=True, help="Length of a block of the trial [s]."
)
def lab_record(
    location: str,
    minutes: float,
    days: int | None,
    day_length: float,
    seed: int,
    cluster: str,
    block_s: float,
) -> None:
    """Start a private InnoDB server, load it, switch sessions on and off at random, and record all that is seen.

    With --days it records compressed days: what the server really does in --day-length is told as a day. Ctrl-C
    ends it early and keeps what was recorded.
    """
    from aurora_analysis.lab import compressed
    from aurora_analysis.lab.record import RecordingOptions, record
    from aurora_analysis.store import Store

    store = Store(_store_to_write(location))

    def progress(line: str) -> None:
        click.echo(line, err=True)

    if days is None:
        options = RecordingOptions(60 * minutes, seed, cluster=cluster, block_s=block_s)
        recorded = record(store, options, progress=progress)
    else:
        recorded = compressed.run(
            store, days=days, day_length_s=day_length, seed=seed, cluster=cluster, progress=progress
        )
    click.echo(f"recorded {recorded} as cluster {cluster} of {store.location}")


@lab.command("trial")
@click.option("--store", "location", default="", help=WRITE_HELP)
@click.option("--minutes", type=click.FloatRange(min=1), default=10, show_default=True)
@click.option("--run", "run_s", type=_Length(), default="15s", show_default=True, help="Of a block's run.")
@click.option("--washout", "wait_s", type=_Length(), default="10s", show_default=True, help="After each run.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@click.option("--cluster", type=NAME, default="trial", show_default=True)
def lab_trial(location: str, minutes: float, run_s: float, wait_s: float, seed: int, cluster: str) -> None:
    """Start a private InnoDB server with a queue, and try on it a query that holds a read view: see `experiment`."""
    from aurora_analysis.lab import server
    from aurora_analysis.lab import trial as ours
    from aurora_analysis.live.experiment import Servers
    from aurora_analysis.store import Store

    options = ours.options(
        ours.HOLDS_A_VIEW, minutes=minutes, run_s=run_s, washout_s=wait_s, seed=seed, cluster=cluster
    )
    store = Store(_store_to_write(location))
    with server.running({"performance_schema": True}) as started:
        ours.prepare(started)
        _run_trial(options, Servers([started.engine()]), store)


@lab.command()
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same fortnight.")
@click.option("--store", "location", default="", help=WRITE_HELP)
def simulate(seed: int, location: str) -> None:
    """Write the simulated fortnight of cluster `shop`: a writer, two readers, and what is planted."""
    from aurora_analysis.lab import shop
    from aurora_analysis.store import Store

    opened = Store(_store_to_write(location))
    shop.write(opened, seed)
    click.echo(f"{shop.CLUSTER} (simulated, seed {seed}): {opened.span(shop.CLUSTER)} in {opened.location}")


@main.group("baseline")
def baseline_group() -> None:
    """Windows that are kept under a name, for later ones to be compared with."""


CLUSTER = click.option("--cluster", type=NAME, required=True, help="The cluster's name in the store.")
STORE = click.option("--store", "location", default="", help=STORE_HELP)


@baseline_group.command("save")
@click.argument("name")
@CLUSTER
@STORE
@_windowed
@click.option("--note", default="", help="Why it is kept.")
def baseline_save(
    name: str,
    cluster: str,
    location: str,
    span: _Span,
    note: str,
) -> None:
    """Keep a window under NAME; a NAME that is there already then stands for this window."""
    from aurora_analysis.store import Store, baseline

    kept = span.window()
    if kept is None:
        raise Error("Name the window to keep: --week, or --last-week, or --start with --end.")
    baseline.save(Store(_store_to_write(location)), name, kept, cluster=cluster, note=note)
    click.echo(f"{name}: {kept}")


@baseline_group.command("list")
@CLUSTER
@STORE
def baseline_list(cluster: str, location: str) -> None:
    """The baselines of a cluster, oldest window first."""
    from aurora_analysis.store import Store, baseline

    for row in baseline.saved(Store(_store_to_read(location)), cluster=cluster).to_dict("records"):
        click.echo(f"{row['name']}: {Window(row['start'], row['end'])}  {row['note'] or ''}".rstrip())


@baseline_group.command("show")
@click.argument("name")
@CLUSTER
@STORE
def baseline_show(name: str, cluster: str, location: str) -> None:
    """The window that NAME keeps, and what the store has of it."""
    from aurora_analysis.store import Store, baseline

    opened = Store(_store_to_read(location))
    kept = baseline.window(opened, name, cluster=cluster)
    click.echo(f"{name}: {kept}")
    rows = opened.coverage(kept, cluster=cluster)
    click.echo(rows[["source", "instance", "table", "time", "end", "note"]].to_string(index=False))


@baseline_group.command("drop")
@click.argument("name")
@CLUSTER
@STORE
def baseline_drop(name: str, cluster: str, location: str) -> None:
    """Forget NAME; its window's data stay."""
    from aurora_analysis.store import Store, baseline

    baseline.drop(Store(_store_to_write(location)), name, cluster=cluster)


SERVERS = [
    click.option(
        "--writer",
        required=True,
        metavar="URL",
        help="mysql://user@host:3306/, of the writer; the password is in it or in AURORA_ANALYSIS_PASSWORD.",
    ),
    click.option("--reader", "readers", multiple=True, metavar="URL", help="Of each reader; repeat."),
    click.option("--iam", is_flag=True, help="Log in by IAM token, made at each connect; needs --ca."),
    click.option("--ca", default="", help="The bundle of RDS certificates: connections are by TLS."),
    click.option("--region", default="", help="Of the IAM token [default: boto3's]."),
]


def _servers(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name servers. The password is the URL's, else AURORA_ANALYSIS_PASSWORD."""
    for option in reversed(SERVERS):
        command = option(command)
    return command


@main.command()
@_servers
@click.option("--cluster", type=NAME, default="live", show_default=True, help="Its name in the store.")
@click.option("--store", "location", default="", help=WRITE_HELP)
@click.option("--every", type=_Length(), default="5s", show_default=True)
@click.option("--for", "lasting", type=_Length(), default="1h", show_default=True)
def watch(
    writer: str,
    readers: tuple[str, ...],
    iam: bool,
    ca: str,
    region: str,
    cluster: str,
    location: str,
    every: float,
    lasting: float,
) -> None:
    """Who holds up purge, now: samples of every instance into the store, and a table of how purge stands.

    Ctrl-C ends it and keeps what was seen. The statement that would end the holder is shown, never run.
    """
    from aurora_analysis.engines.mysql.live import Probe
    from aurora_analysis.live.watch import Watch, stopped_by_signals
    from aurora_analysis.store import Store

    if every < 1:
        raise Error("--every is below a second: a server is asked once a second at most.")
    opened = Store(_store_to_write(location))
    engines = [_engine(url, iam=iam, ca=ca, region=region) for url in (writer, *readers)]
    names = [f"{cluster}-writer", *(f"{cluster}-reader-{n}" for n in range(1, len(readers) + 1))]
    roles = ["writer", *("reader" for _ in readers)]
    probes = [Probe(*one) for one in zip(engines, names, roles)]
    with stopped_by_signals() as stopping:
        watching = Watch(probes, opened, cluster=cluster, every_s=every)
        watching.run(lasting, on_sample=_shown(), stopping=stopping)
    if watching.problem:
        click.echo(f"aurora-analysis: {watching.unwritten_message()}", err=True)
        sys.exit(1)


@main.command()
@_servers
@click.option("--sql", "file", required=True, type=click.File(encoding="utf-8"), help="The query to try.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True)
@click.option(
    "--run", "run_s", type=_Length(), default="2m", show_default=True, help="Length of a block's run."
)
@click.option(
    "--washout", "wait_s", type=_Length(), help="After each run [default: twice the measured drain]."
)
@click.option("--baseline", "quiet_s", type=_Length(), help="Before the trial [default: six runs' length].")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@click.option("--plan", "only_plan", is_flag=True, help="Baseline and plan; no trial.")
@click.option("--clone", is_flag=True, help="The servers are a clone's.")
@click.option("--lab", "is_lab", is_flag=True, help="The servers are a lab's.")
@click.option(
    "--production", "production", is_flag=True, help="The servers are production's, and I want this."
)
@click.option("--compare-with", default="", help="Production's cluster in the store, for a clone's load.")
@click.option("--canary", "database", default="", help="A database for a table of ours: times a small write.")
@click.option("--max-history", type=float, default=1_000_000, show_default=True, help="Break off above it.")
@click.option("--max-slowdown", type=float, default=5.0, show_default=True, help="Of the canary, likewise.")
@click.option("--max-lag", type=_Length(), default="10s", show_default=True, help="Of a reader, likewise.")
@click.option(
    "--writer-load",
    "load_file",
    type=click.File(encoding="utf-8"),
    help="Statements to run on a clone's writer.",
)
@click.option(
    "--rate", type=click.FloatRange(min=0.1), default=50.0, show_default=True, help="Of these [1/s]."
)
@click.option("--cluster", type=NAME, default="trial", show_default=True, help="Its name in the store.")
@click.option("--store", "location", default="", help=WRITE_HELP)
def experiment(**given: Any) -> None:
    """A randomised on/off trial of a query on a reader: what does it do to the writer?

    Ctrl-C ends it and keeps what was seen; the same command, within a day, goes on with the blocks that are left.
    Exit code 1: it was broken off, at a limit or a fault.
    """
    from aurora_analysis.live import experiment as trials
    from aurora_analysis.store import Store

    chosen = [name for name in ("clone", "is_lab", "production") if given[name]]
    if len(chosen) != 1:
        raise Error("Say whose servers these are: --clone, --lab, or --production if it must be.")
    if given["load_file"] and given["production"]:
        raise Error("--writer-load writes: it is for a clone or the lab, never for production.")
    named = {name: given[name] for name in ("iam", "ca", "region")}
    servers = [given["writer"], *given["readers"]]
    options = trials.TrialOptions(
        query=trials.read_only_query(given["file"].read()),
        workload=Path(given["file"].name).stem,
        hours=given["hours"],
        cluster=given["cluster"],
        run_s=given["run_s"],
        washout_s=given["wait_s"],
        quiet_s=given["quiet_s"],
        seed=given["seed"],
        clone=given["clone"],
        production=given["compare_with"],
        canary_database=given["database"],
        writer_load=given["load_file"].read() if given["load_file"] else "",
        writer_load_rate=given["rate"],
        limits=trials.Limits(given["max_history"], given["max_slowdown"], 1000 * given["max_lag"]),
    )
    engines = trials.Servers(
        control=[_engine(url, **named) for url in servers],
        query=[_engine(url, **named, patience_s=options.run_s) for url in servers],
    )
    _run_trial(options, engines, Store(_store_to_write(given["location"])), only_plan=given["only_plan"])


def _run_trial(options: TrialOptions, servers: Servers, opened: Store, *, only_plan: bool = False) -> None:
    """Run a trial with its messages on stderr; exit code 1 if it stopped early."""
    from aurora_analysis.live import experiment as trials

    stop_reason = trials.run_trial(
        options,
        servers,
        opened,
        detectable=_detectable,
        only_plan=only_plan,
        progress=lambda line: click.echo(line, err=True),
    )
    sys.exit(1 if stop_reason else 0)


def _detectable(latency: list[float], blocks: int, run_s: float) -> float:
    """The inference is the analysis's; the trial itself knows none."""
    from aurora_analysis.analysis import experiment as inferring

    return inferring.detectable_pct(latency, blocks=blocks, run_s=run_s)


def _shown() -> Callable[[list[str], PurgeStatus], None]:
    """Print new events and the status of purge: a table that is redrawn on a terminal, else one line per sample."""
    from aurora_analysis.live.status import line, table

    drawn = 0

    def show(events: list[str], now: PurgeStatus) -> None:
        nonlocal drawn
        if not sys.stdout.isatty():
            click.echo("\n".join([*events, line(now)]))
            return
        rows = [row[: shutil.get_terminal_size().columns - 1] for row in table(now)]
        back = f"\x1b[{drawn}F\x1b[J" if drawn else ""
        click.echo(back + "\n".join([*events, *rows]))
        drawn = len(rows)

    return show


@main.group()
def store() -> None:
    """What a store holds, and its upkeep."""


@store.command()
@click.option(
    "--store",
    "location",
    default="",
    help="Folder or s3:// prefix [default: AURORA_ANALYSIS_STORE, else the sample].",
)
def coverage(location: str) -> None:
    """What was fetched, recorded or ingested, and what was lost."""
    from aurora_analysis.store import Store

    opened = Store(_store_to_read(location))
    for cluster in opened.clusters():
        span = opened.span(cluster)
        rows = opened.coverage(span, cluster=cluster)
        click.echo(f"{cluster}: {span}")
        click.echo(
            rows[
                ["source", "instance", "table", "time", "end", "expected", "received", "lost", "note"]
            ].to_string(index=False)
        )


@store.command()
@click.option("--store", "location", default="", help=WRITE_HELP)
def compact(location: str) -> None:
    """Rewrite the tables into few files; versions that no recorded report names are forgotten."""
    from aurora_analysis.store import Store

    Store(_store_to_write(location)).compact()


@store.command()
@click.option("--store", "location", default="", help=WRITE_HELP)
@click.option("--keep-days", type=click.IntRange(min=1), default=400, show_default=True)
def prune(location: str, keep_days: int) -> None:
    """Forget observations that are older, but for the windows of baselines and what newer recorded reports read."""
    from datetime import timedelta

    from aurora_analysis.store import Store

    before = (datetime.now(UTC) - timedelta(days=keep_days)).date()
    for table, rows in Store(_store_to_write(location)).prune(before).items():
        click.echo(f"{table}: {rows} rows from before {before}")
