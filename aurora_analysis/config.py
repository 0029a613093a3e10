"""Settings. Precedence: flag, environment (AURORA_ANALYSIS_*), aurora-analysis.toml, default.

Credentials are never in the settings: boto3 finds them by its own chain.

```toml
store = "s3://bucket/aurora"    # or a folder; a relative one is relative to this file's folder
dask = "tcp://scheduler:8786"   # run ingest, fetch and report on this cluster

[clusters.shop]
identifier = "shop-prod"        # the DB cluster's identifier, if it differs from the name
region = "eu-central-1"
profile = "dba"                 # in ~/.aws/config
pool = "shops"                  # pool each workload's effect over the clusters of this name, three or more

[rates]                         # calls a second
performance_insights = 20

[fetch]
threads = 4
examples = false                # true keeps one execution of each statement, literals and all

[workloads.snowflake]           # a workload on the readers: one glob or several per field; all fields must match
user = ["snowflake*", "sf_*"]

[[workloads.extracts]]          # or several rules; one of them must match
host = "10.20.3.*"
database = "shop"
[[workloads.extracts]]
application = "dbt"             # PostgreSQL's application_name
[[workloads.extracts]]
tags.app = "airflow"            # from a key=value comment in the SQL

[jobs.nightly]                  # a job on the writer, by the same fields,
user = "batch"
[jobs.backup]                   # or, if no log shows it, by the local clock
daily = "02:00"
minutes = 40

[objectives]                    # the highest acceptable minute mean of each metric on the writer
commit_latency_minute_mean_ms = 5
budget_pct = 1                  # percentage of minutes that may exceed a limit
failover_s = 30                 # a drill's clients must write again after this time
```
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import time
from pathlib import Path
from typing import Any, TypeVar

from aurora_analysis.errors import Error
from aurora_analysis.glossary import METRICS

FILE = "aurora-analysis.toml"
PREFIX = "AURORA_ANALYSIS_"


@dataclass(frozen=True)
class Cluster:
    """A cluster: its name in the store, its identifier, region and profile in AWS, and the pool of its effects."""

    name: str
    identifier: str = ""
    region: str = ""
    profile: str = ""
    pool: str = ""


@dataclass(frozen=True)
class Rates:
    """Highest call rate for each AWS service [1/s], retries included."""

    performance_insights: float = 20.0  # AWS publishes no limit: an assumption, so it is printed
    cloudwatch: float = 10.0  # a fiftieth of the account's 500 GetMetricData calls a second
    logs: float = 5.0  # FilterLogEvents: 5 to 25 a second by region, for the whole account
    rds: float = 10.0  # log portions cost the instance itself


@dataclass(frozen=True)
class Prices:
    """Prices of AWS calls [USD per 1,000]; the price list of your region is authoritative."""

    performance_insights_calls: float = 0.01  # beyond the first million calls of a month
    cloudwatch_metrics: float = 0.01  # per requested metric, not per call


@dataclass(frozen=True)
class Fetch:
    """The settings of a fetch."""

    threads: int = 4  # maximum per service
    examples: bool = False  # store one execution's text per digest; its literals may be secrets


FAILOVER_S = 30.0
"""Default objective of a failover [s]: Aurora often takes less, and a client should not add much to it."""


@dataclass(frozen=True)
class Objectives:
    """Service objectives of the writer: the highest acceptable minute mean of each metric, in its unit.

    `drills` has the longest acceptable time after each fault of a drill [s], by its name; a failover has a default.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    budget_pct: float = 1.0  # percentage of minutes that may exceed a limit: 1 % is 100 minutes a week
    drills: Mapping[str, float] = field(default_factory=lambda: {"failover": FAILOVER_S})


DRILL_OBJECTIVES = {
    "failover_s": "failover",
    "crash_s": "crash",
    "reader_restart_s": "reader-restart",
    "lag_s": "lag",
    "disk_s": "disk",
}
"""Key of an objective → fault of a drill."""


FIELDS = ("user", "host", "digest", "database", "application", "instance", "endpoint", "tags")
"""Fields that a rule may match. `endpoint` is a custom endpoint that includes the execution's instance: no log records
through which endpoint a session came. `application` is PostgreSQL's application_name."""

Rule = Mapping[str, tuple[str, ...]]
"""Field → globs. A rule matches if each field matches one of its globs; a tag's field is `tags.<key>`."""


@dataclass(frozen=True)
class Daily:
    """A job that runs every day from `start` (local time) for `minutes`."""

    start: time
    minutes: float


@dataclass(frozen=True)
class Groups:
    """Workloads on the readers and jobs on the writer, by name; the first whose rules match wins."""

    workloads: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    jobs: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    daily: Mapping[str, Daily] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """All settings. `origin` is the file that they were read from, or empty."""

    store: str = ""
    dask: str = ""
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    rates: Rates = Rates()
    prices: Prices = Prices()
    fetch: Fetch = Fetch()
    objectives: Objectives = Objectives()
    groups: Groups = Groups()
    origin: str = ""

    def cluster(self, name: str, *, region: str = "", profile: str = "") -> Cluster:
        """Return the cluster of this name; if the file does not list it, the name is its identifier."""
        known = self.clusters.get(name, Cluster(name))
        return replace(
            known,
            identifier=known.identifier or name,
            region=region or os.environ.get(f"{PREFIX}REGION", "") or known.region,
            profile=profile or os.environ.get(f"{PREFIX}PROFILE", "") or known.profile,
        )


GROUPS = ("workloads", "jobs")

SECTIONS: dict[str, type] = {"rates": Rates, "prices": Prices, "fetch": Fetch}


def load(path: str | os.PathLike[str] = "", *, environ: Mapping[str, str] | None = None) -> Config:
    """Return the settings of a file, with values from the environment in front.

    Parameters
    ----------
    path : str or path, optional
        The settings file. Default: AURORA_ANALYSIS_CONFIG, else the nearest `aurora-analysis.toml` in this folder or
        one above, so that a notebook finds it wherever its kernel was started.
    environ : mapping, optional
        Environment variables. Default: those of the process.

    Returns
    -------
    Config

    Raises
    ------
    Error
        If the named file cannot be read, or a setting is unknown or has a wrong value.
    """
    environ = os.environ if environ is None else environ
    named = str(path or environ.get(f"{PREFIX}CONFIG", ""))
    found = Path(named) if named else _nearest()
    return _read({}, environ, "") if found is None else _read(_toml(found), environ, str(found))


def _nearest() -> Path | None:
    if Path(FILE).exists():
        return Path(FILE)
    above = (folder / FILE for folder in Path.cwd().parents)
    return next((path for path in above if path.exists()), None)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise Error(
            f"Cannot read {path}: {problem.strerror}. Check --config and AURORA_ANALYSIS_CONFIG."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise Error(f"{path} is not valid TOML: {problem}.") from None


def _read(content: dict[str, Any], environ: Mapping[str, str], origin: str) -> Config:
    known = {"store", "dask", "clusters", "objectives", *GROUPS, *SECTIONS}
    _check_keys(content, known, origin, "")
    sections: dict[str, Any] = {
        name: _section(kind, content.get(name, {}), environ, origin, name) for name, kind in SECTIONS.items()
    }
    clusters = _table(content.get("clusters", {}), origin, "clusters")
    return Config(
        store=environ.get(f"{PREFIX}STORE", "") or _store(content.get("store", ""), origin),
        dask=environ.get(f"{PREFIX}DASK", "") or _value("", content.get("dask", ""), origin, "dask"),
        clusters={name: _cluster(name, table, origin) for name, table in clusters.items()},
        objectives=_objectives(content.get("objectives", {}), origin),
        groups=_groups(content, origin),
        origin=origin,
        **sections,
    )


def _store(content: Any, origin: str) -> str:
    """The store; a relative path is relative to the settings file's folder, wherever the command runs."""
    place: str = _value("", content, origin, "store")
    if not place or "://" in place:
        return place
    return os.path.normpath(Path(origin).absolute().parent / Path(place).expanduser())


Section = TypeVar("Section")


def _section(
    kind: type[Section], content: Any, environ: Mapping[str, str], origin: str, name: str
) -> Section:
    table = _table(content, origin, name)
    defaults = kind()
    _check_keys(table, {each.name for each in fields(kind)}, origin, name)  # type: ignore[arg-type]
    values = {}
    for key in (each.name for each in fields(kind)):  # type: ignore[arg-type]
        variable = f"{PREFIX}{name}_{key}".upper()
        if variable in environ:
            values[key] = _from_text(getattr(defaults, key), environ[variable], variable)
        elif key in table:
            values[key] = _value(getattr(defaults, key), table[key], origin, f"{name}.{key}")
    return kind(**values)


def _cluster(name: str, content: Any, origin: str) -> Cluster:
    table = _table(content, origin, f"clusters.{name}")
    keys = {each.name for each in fields(Cluster)} - {"name"}
    _check_keys(table, keys, origin, f"clusters.{name}")
    return Cluster(
        name, **{key: _value("", value, origin, f"clusters.{name}.{key}") for key, value in table.items()}
    )


def objectives(text: str = "") -> Objectives:
    """Return the objectives of a TOML text, or if it is empty those of the settings.

    >>> objectives("commit_latency_minute_mean_ms = 5").limits
    {'commit_latency': 5.0}
    """
    if not text.strip():
        return load().objectives
    try:
        return _objectives(tomllib.loads(text), "objectives")
    except tomllib.TOMLDecodeError as problem:
        raise Error(f"{text!r} is not valid TOML for objectives: {problem}.") from None


def _objectives(content: Any, origin: str) -> Objectives:
    table = dict(_table(content, origin, "objectives"))
    budget = _value(
        Objectives.budget_pct, table.pop("budget_pct", Objectives.budget_pct), origin, "budget_pct"
    )
    drills = {
        DRILL_OBJECTIVES[key]: _value(1.0, table.pop(key), origin, f"objectives.{key}")
        for key in DRILL_OBJECTIVES
        if key in table
    }
    keys = {f"{name}_minute_mean_{_unit(unit)}": name for name, (unit, _) in METRICS.items()}
    for key in table:
        if key not in keys:
            raise Error(
                f"{origin}: [objectives] has an unknown key {key!r}; write <metric>_minute_mean_<unit>, as in "
                f"commit_latency_minute_mean_ms, or one of {', '.join(DRILL_OBJECTIVES)}."
            )
    limits = {keys[key]: _value(1.0, value, origin, f"objectives.{key}") for key, value in table.items()}
    return Objectives(limits, budget, {**Objectives().drills, **drills})


def groups(text: str = "") -> Groups:
    r"""Return the workloads and jobs of a TOML text, or if it is empty those of the settings.

    >>> groups("[workloads.etl]\nuser = 'etl_*'").workloads
    {'etl': ({'user': ('etl_*',)},)}
    """
    if not text.strip():
        return load().groups
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise Error(f"{text!r} is not valid TOML for workloads and jobs: {problem}.") from None
    _check_keys(content, set(GROUPS), "workloads and jobs", "")
    return _groups(content, "workloads and jobs")


def _groups(content: Mapping[str, Any], origin: str) -> Groups:
    workloads, jobs = (_table(content.get(name, {}), origin, name) for name in GROUPS)
    by_clock = {
        name for name, job in jobs.items() if isinstance(job, dict) and {"daily", "minutes"} & set(job)
    }
    return Groups(
        {name: _rules(rules, origin, f"workloads.{name}") for name, rules in workloads.items()},
        {name: _rules(rules, origin, f"jobs.{name}") for name, rules in jobs.items() if name not in by_clock},
        {name: _daily(jobs[name], origin, f"jobs.{name}") for name in jobs if name in by_clock},
    )


def _rules(content: Any, origin: str, key: str) -> tuple[Rule, ...]:
    rules = content if isinstance(content, list) else [content]
    if not rules:
        raise Error(f"{origin}: {key} has no rule; write [{key}] with one of {', '.join(FIELDS)}.")
    return tuple(_rule(rule, origin, key) for rule in rules)


def _rule(content: Any, origin: str, key: str) -> Rule:
    table = dict(_table(content, origin, key))
    _check_keys(table, set(FIELDS), origin, key)
    tags = _table(table.pop("tags", {}), origin, f"{key}.tags")
    conditions = table | {f"tags.{name}": globs for name, globs in tags.items()}
    if not conditions:
        raise Error(
            f"{origin}: [{key}] has no condition, so it would match everything; set one of {', '.join(FIELDS)}."
        )
    return {name: _globs(globs, origin, f"{key}.{name}") for name, globs in conditions.items()}


def _globs(value: Any, origin: str, key: str) -> tuple[str, ...]:
    globs = value if isinstance(value, list) else [value]
    if not globs or not all(isinstance(glob, str) and glob for glob in globs):
        raise Error(f'{origin}: {key} is {value!r}; a glob is expected, as in "etl_*", or a list of them.')
    return tuple(globs)


def _daily(table: Mapping[str, Any], origin: str, key: str) -> Daily:
    _check_keys(table, {"daily", "minutes"}, origin, key)
    minutes = _value(1.0, table.get("minutes"), origin, f"{key}.minutes")
    try:
        return Daily(time.fromisoformat(table.get("daily", "")), minutes)
    except (TypeError, ValueError):
        raise Error(
            f'{origin}: {key}.daily is {table.get("daily")!r}; a local time is expected, as in "02:00".'
        ) from None


def _unit(unit: str) -> str:
    """Return a unit as part of a name: ms, pct, per_s, bytes_per_s."""
    return unit.replace("%", "pct").replace("1/", "per_").replace("/", "_per_").replace(" ", "_")


def _table(content: Any, origin: str, key: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise Error(f"{origin}: {key} is {content!r}; a table is expected, as in [{key}].")
    return content


def _check_keys(table: Mapping[str, Any], known: set[str], origin: str, section: str) -> None:
    for key in table:
        if key not in known:
            place = f"[{section}]" if section else "the top level"
            raise Error(
                f"{origin}: {place} has no setting {key!r}; valid settings are {', '.join(sorted(known))}."
            )


def _value(default: Any, value: Any, origin: str, key: str) -> Any:
    """Return the value if it has the default's type; a number must be above 0."""
    if isinstance(default, float) and isinstance(value, int | float) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(default):
        raise Error(f"{origin}: {key} is {value!r}; {_expected(default)} is expected.")
    if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
        raise Error(f"{origin}: {key} is {value!r}; a number above 0 is expected.")
    return value


def _from_text(default: Any, text: str, variable: str) -> Any:
    read = _is_true if isinstance(default, bool) else type(default)
    try:
        return _value(default, read(text), "environment", variable)
    except ValueError:
        raise Error(f"environment: {variable} is {text!r}; {_expected(default)} is expected.") from None


def _is_true(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _expected(default: Any) -> str:
    return {str: "text", float: "a number", int: "a whole number", bool: "true or false"}[type(default)]
