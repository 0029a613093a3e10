"""Every option of the commands, defined once: its name, type and help text.

Options that belong together reach a command as one dataclass.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from aurora_analysis.cli import output
from aurora_analysis.errors import Error

if TYPE_CHECKING:
    from aurora_analysis import Window, config
    from aurora_analysis.engines.sql_mode import SqlMode

    NumberType = click.ParamType[float]
else:
    NumberType = click.ParamType  # generic only in recent releases of click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def together(name: str, kind: type[Any], *options: Decorator) -> Decorator:
    """Return a decorator that adds options and passes them to the command as one dataclass, `name`.

    A field without an option keeps its default.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def collected(**values: Any) -> Any:
            given = {each.name: values.pop(each.name) for each in fields(kind) if each.name in values}
            return command(**{name: kind(**given)}, **values)

        with_options: Callable[..., Any] = collected
        for option in reversed(options):
            with_options = option(with_options)
        return with_options

    return decorated


def exit_codes(one: str = "", three: str = "") -> str:
    """Return the last paragraph of a command's help: when it exits with which code."""
    codes = ["0 done", f"1 {one}" * bool(one), "2 the input is wrong", f"3 {three}" * bool(three)]
    return f"Exit codes: {'; '.join(code for code in codes if code)}."


UNREAD = "some entries have an unknown form, or one of several files is no slow log"
"""When `digest`, `ingest` and `workloads suggest` exit with 1."""


class Number(click.FloatRange):
    """A number within bounds; not nan, which no limit would ever exceed, and not infinite."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with a usage error."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_DAYS = 1000
"""Longest duration that an option takes [d]; timers fail at much longer ones."""


class Duration(NumberType):
    """A duration such as 5s, 30m, 1h or 1d; its value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the duration [s], or fail with a usage error."""
        if isinstance(value, float):
            return value
        try:
            seconds = float(value[:-1]) * SECONDS.get(value[-1:], 0)
        except ValueError:
            seconds = 0
        if not seconds > 0:
            self.fail(f"{value!r} is not a duration: write it as 5s, 30m, 1h or 1d.", param, ctx)
        if seconds > LONGEST_DAYS * SECONDS["d"]:
            self.fail(f"{value!r} is longer than {LONGEST_DAYS} days.", param, ctx)
        return seconds


# The store and the settings


@dataclass(frozen=True)
class StoreOptions:
    """--store and --config: where the data are."""

    location: str
    settings: str

    def to_read(self) -> str:
        """Return the store to read; standard error says when it is the sample because nothing names a store."""
        from aurora_analysis.store import location as locations

        found = locations.resolve(self.location, settings=self.settings)
        if found.is_default:
            click.echo(locations.SAMPLE_OPENED, err=True)
        return found.place

    def to_write(self) -> str:
        """Return the store to write; never the sample."""
        from aurora_analysis.store import location as locations

        return locations.writable(self.location, settings=self.settings).place

    def config(self) -> config.Config:
        """Return the settings."""
        from aurora_analysis import config

        return config.load(self.settings)


CONFIG = click.option(
    "--config",
    "settings",
    default="",
    help="Settings file [default: AURORA_ANALYSIS_CONFIG, else aurora-analysis.toml here or in a folder above].",
)


def _set_quiet(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    ctx.meta[output.IS_QUIET] = is_wanted


QUIET = click.option(
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_set_quiet,
    help="Print no progress. Results, warnings and errors are printed.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")


def _with_quiet(option: Decorator) -> Decorator:
    return lambda command: option(QUIET(command))


STORE = _with_quiet(
    together(
        "store_options",
        StoreOptions,
        click.option(
            "--store",
            "location",
            default="",
            help="Store: a folder or an s3:// prefix [default: AURORA_ANALYSIS_STORE, else `store` in the settings file; "
            "without either, commands that only read open the bundled sample and the others refuse].",
        ),
        CONFIG,
    )
)


DASK = click.option(
    "--dask",
    default="",
    metavar="ADDRESS",
    help="Run the work on the Dask cluster of this scheduler, as tcp://host:8786 [default: AURORA_ANALYSIS_DASK, else "
    "`dask` in the settings file; without either, on this machine].",
)


# Clusters and instances

CLUSTER_HELP = "Name of the cluster in the store, and of [clusters.NAME] in the settings file."
INSTANCE_HELP = "Name of the instance, as in its endpoint."


def cluster(default: str | None = None, *, required: bool = False) -> Decorator:
    """Return --cluster for one cluster."""
    # click takes an explicit default of None for a value, so that `required` would not be enforced.
    given: dict[str, Any] = {} if default is None else {"default": default, "show_default": True}
    return click.option("--cluster", metavar="NAME", required=required, help=CLUSTER_HELP, **given)


CLUSTERS = click.option(
    "--cluster",
    "clusters",
    metavar="NAME",
    multiple=True,
    show_default="all in the store; repeat the option for several",
    help=CLUSTER_HELP,
)
ALL = click.option(
    "--all",
    "all_clusters",
    is_flag=True,
    help="Every cluster of the settings file. A cluster that fails does not stop the others.",
)
INSTANCE = click.option("--instance", metavar="NAME", required=True, help=INSTANCE_HELP)
INSTANCES = click.option(
    "--instance",
    "instances",
    metavar="NAME",
    multiple=True,
    show_default="all of the cluster; repeat the option for several",
    help=INSTANCE_HELP,
)


@dataclass(frozen=True)
class AwsOptions:
    """--region and --profile: how boto3 connects."""

    region: str
    profile: str


REGION = click.option(
    "--region",
    default="",
    help="AWS region of the cluster [default: AURORA_ANALYSIS_REGION, else the settings file's, else boto3's].",
)
PROFILE = click.option(
    "--profile",
    default="",
    help="Profile in ~/.aws/config [default: AURORA_ANALYSIS_PROFILE, else the settings file's, else boto3's].",
)
AWS = together("aws", AwsOptions, REGION, PROFILE)


# Time


@dataclass(frozen=True)
class WindowOptions:
    """The options that name a window."""

    week: str
    last_week: bool
    start: str
    end: str
    timezone: str

    def __post_init__(self) -> None:
        """Refuse a wrong window before the command imports anything that takes seconds."""
        from aurora_analysis import window

        window.zone(self.timezone or "UTC")
        self.window()

    def window(self, now: datetime | None = None) -> Window | None:
        """Return the window that the options name, or None if they name none."""
        from aurora_analysis import window

        if sum([bool(self.start or self.end), bool(self.week), self.last_week]) > 1:
            raise Error("Name one window: --week, or --last-week, or --start with --end.")
        if self.week:
            return window.week(self.week, self.timezone or "UTC")
        if self.last_week:
            return window.last_week(self.timezone or "UTC", now=now)
        if bool(self.start) != bool(self.end):
            raise Error("A window has two ends: give --start with --end.")
        return window.Window(self.start, self.end) if self.start else None

    def required(self, now: datetime | None = None) -> Window:
        """Return the window that the options name; refuse if they name none."""
        found = self.window(now)
        if found is None:
            raise Error("Name a window: --week, or --last-week, or --start with --end.")
        return found


WINDOW = together(
    "span",
    WindowOptions,
    click.option(
        "--week",
        default="",
        help="ISO week such as 2026-W46, from Monday 00:00 to Monday 00:00 in --timezone.",
    ),
    click.option("--last-week", is_flag=True, help="The last complete ISO week in --timezone."),
    click.option("--start", default="", help="Start of the window in UTC, inclusive; needs --end."),
    click.option("--end", default="", help="End of the window in UTC, exclusive; needs --start."),
    click.option(
        "--timezone",
        default="",
        help="Time zone for weeks, weekdays and axes, such as Europe/Berlin. Stored times are UTC [default: UTC].",
    ),
)
NOW = click.option(
    "--now",
    "pretended_now",
    default="",
    hidden=True,
    help="Time to use instead of the clock, for a simulated cluster.",
)


def moment(pretended_now: str) -> datetime:
    """Return the time to use as now (UTC): the one of --now, else the clock's."""
    from aurora_analysis.window import LATEST, Window

    return Window(pretended_now, LATEST).start if pretended_now else datetime.now(UTC)


# SQL and servers


@dataclass(frozen=True)
class SqlModeOptions:
    """The server's sql_mode, as far as it decides where a literal ends."""

    no_backslash_escapes: bool
    ansi_quotes: bool

    def mode(self, log_timezone: str = "") -> SqlMode:
        """Return the mode for the lexer, and the log's time zone."""
        from aurora_analysis.engines.sql_mode import SqlMode

        return SqlMode(not self.no_backslash_escapes, self.ansi_quotes, zone_name(log_timezone))


def zone_name(text: str) -> str:
    """Return the name of a time zone that exists; an empty text names none.

    Raises
    ------
    Error
        If there is none of this name.
    """
    if not text:
        return ""
    from zoneinfo import ZoneInfo  # most commands name no time zone

    try:
        return str(ZoneInfo(text))
    except (KeyError, ValueError, OSError):
        raise Error(f"{text!r} is not a time zone: write a name such as Europe/Berlin.") from None


SQL_MODE = together(
    "sql_mode",
    SqlModeOptions,
    click.option(
        "--no-backslash-escapes",
        is_flag=True,
        help="Read SQL as under the server's sql_mode NO_BACKSLASH_ESCAPES.",
    ),
    click.option("--ansi-quotes", is_flag=True, help="Read SQL as under the server's sql_mode ANSI_QUOTES."),
)
LOG_TIMEZONE = click.option(
    "--log-timezone",
    default="",
    help="PostgreSQL's log_timezone, such as Europe/Berlin, if the log's times do not say UTC.",
)
FILES = click.argument("files", nargs=-1, required=True, metavar="FILE…")


@dataclass(frozen=True)
class ServerOptions:
    """The servers to connect to, and how."""

    writer: str
    readers: tuple[str, ...]
    iam: bool
    ca: str
    region: str
    data_api: str = ""
    secret: str = ""

    @property
    def urls(self) -> list[str]:
        """The writer's URL unless it is sampled through the Data API, then the readers'."""
        return [*filter(None, (self.writer,)), *self.readers]

    def in_region(self, store_options: StoreOptions, cluster: str) -> ServerOptions:
        """Return the same servers with the region that signs IAM tokens: flag, environment, then settings file."""
        if not self.iam:
            return self
        return replace(self, region=store_options.config().cluster(cluster, region=self.region).region)


CA = click.option(
    "--ca",
    default="",
    help="File with the RDS certificate bundle; connections then need TLS, and the server is verified.",
)

IAM = click.option(
    "--iam", is_flag=True, help="Log in with a fresh IAM token for each connection; needs --ca."
)

READERS = (
    click.option(
        "--reader",
        "readers",
        multiple=True,
        metavar="URL",
        help="A reader, as mysql://user@host:3306/; repeat for several.",
    ),
    IAM,
    CA,
    REGION,
)


def writer(*, required: bool) -> Decorator:
    """Return --writer."""
    return click.option(
        "--writer",
        required=required,
        default=None if required else "",
        metavar="URL",
        help="The writer, as mysql://user@host:3306/. The password is the URL's, else AURORA_ANALYSIS_PASSWORD.",
    )


SERVERS = together("servers", ServerOptions, writer(required=True), *READERS)


# Recordings and trials


def seed(default: int = 0) -> Decorator:
    """Return --seed."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        help="Random seed: the same seed gives the same random draws.",
    )


def run_length(default: str) -> Decorator:
    """Return --run."""
    return click.option(
        "--run",
        "run_s",
        type=Duration(),
        default=default,
        show_default=True,
        help="How long the query runs in each block.",
    )


def washout(default: str | None = None) -> Decorator:
    """Return --washout; without a default it is measured."""
    return click.option(
        "--washout",
        "washout_s",
        type=Duration(),
        default=default,
        show_default=default
        or "twice the time that cleanup took in the baseline, or --run if nothing had to be cleaned up",
        help="Pause after each block, in which purge or vacuum catches up.",
    )


def engine() -> Decorator:
    """Return --engine, for input and servers whose engine nothing else names."""
    return click.option(
        "--engine",
        type=click.Choice(["mysql", "postgresql"]),
        default="mysql",
        show_default=True,
        help="The engine of the SQL, or of the lab's servers.",
    )


def minutes(default: float, *, least: float) -> Decorator:
    """Return --minutes."""
    return click.option(
        "--minutes",
        type=Number(min=least),
        default=default,
        show_default=True,
        help="Length of the recording or trial, in minutes.",
    )
