"""Settings: a flag, else the environment (AURORA_ANALYSIS_*), else aurora-analysis.toml, else the default.

Credentials are never here: boto3 finds them by its own chain.

```toml
store = "s3://bucket/aurora"

[clusters.shop]
identifier = "shop-prod"        # the DB cluster's identifier, where it differs from the name
region = "eu-central-1"
profile = "dba"                 # of ~/.aws/config

[rates]                         # calls a second
performance_insights = 20

[fetch]
threads = 4
examples = false                # true keeps one execution of each statement, literals and all

[workloads.snowflake]           # who belongs together on the readers: each field a glob, or several; all must fit
user = ["snowflake*", "sf_*"]

[[workloads.extracts]]          # or where one of several rules fits
host = "10.20.3.*"
database = "shop"
[[workloads.extracts]]
tags.app = "airflow"            # of a key=value comment

[jobs.nightly]                  # what the writer does itself: by the same fields,
user = "batch"
[jobs.backup]                   # or, where no log tells of it, by the local clock
daily = "02:00"
minutes = 40

[objectives]                    # what is acceptable: the most a metric's minute mean should be, on the writer
commit_latency_minute_mean_ms = 5
budget_pct = 1                  # of the minutes may be over it
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
from aurora_analysis.tables import METRICS

FILE = "aurora-analysis.toml"
PREFIX = "AURORA_ANALYSIS_"


@dataclass(frozen=True)
class Cluster:
    """A cluster by the name that the store gives it, and where AWS has it."""

    name: str
    identifier: str = ""
    region: str = ""
    profile: str = ""


@dataclass(frozen=True)
class Rates:
    """How many calls a second each service is asked for, retries included."""

    performance_insights: float = 20.0  # AWS publishes no limit: an assumption, so it is printed
    cloudwatch: float = 10.0  # a fiftieth of the account's 500 GetMetricData calls a second
    logs: float = 5.0  # FilterLogEvents: 5 to 25 a second by region, for the whole account
    rds: float = 10.0  # log portions cost the instance itself


@dataclass(frozen=True)
class Prices:
    """What the services ask for [USD for 1,000]; your region's price list has the last word."""

    performance_insights_calls: float = 0.01  # beyond the first million calls of a month
    cloudwatch_metrics: float = 0.01  # a metric asked for, not a call


@dataclass(frozen=True)
class Fetch:
    """How a fetch works."""

    threads: int = 4  # for each service, at most
    examples: bool = False  # of each digest one execution's text, whose literals may be anybody's secrets


@dataclass(frozen=True)
class Objectives:
    """What is acceptable of the writer: the most that each metric's minute mean should be, in the metric's unit."""

    limits: Mapping[str, float] = field(default_factory=dict)
    budget_pct: float = 1.0  # of the minutes of a window may be over a limit: 100 minutes of a week


FIELDS = ("user", "host", "digest", "database", "instance", "endpoint", "tags")
"""What a rule may ask of an execution. The endpoint is a custom one that may lead to its instance: no log tells by which
of them it came."""

Rule = Mapping[str, tuple[str, ...]]
"""Field → globs. It fits where each field fits one of its globs; a tag's field is `tags.<key>`."""


@dataclass(frozen=True)
class Daily:
    """A job that runs every day from `start` (local time) for so many minutes."""

    start: time
    minutes: float


@dataclass(frozen=True)
class Groups:
    """Who belongs together, by name, the first that fits: reader workloads and the writer's own jobs."""

    workloads: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    jobs: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    daily: Mapping[str, Daily] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """All settings. `origin` is the file that they came from, or empty."""

    store: str = ""
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    rates: Rates = Rates()
    prices: Prices = Prices()
    fetch: Fetch = Fetch()
    objectives: Objectives = Objectives()
    groups: Groups = Groups()
    origin: str = ""

    def cluster(self, name: str, *, region: str = "", profile: str = "") -> Cluster:
        """The cluster of that name; one that the file does not know is its own identifier."""
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
    """The settings of a file, under the environment; by default AURORA_ANALYSIS_CONFIG, else the nearest FILE.

    The nearest one is here or in a folder above, so that a notebook finds it wherever its kernel was started.
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
            f"Cannot read {path}: {problem.strerror}. Name the settings with --config, or leave it out."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise Error(f"{path} is no TOML: {problem}.") from None


def _read(content: dict[str, Any], environ: Mapping[str, str], origin: str) -> Config:
    known = {"store", "clusters", "objectives", *GROUPS, *SECTIONS}
    _check_keys(content, known, origin, "")
    sections: dict[str, Any] = {
        name: _section(kind, content.get(name, {}), environ, origin, name) for name, kind in SECTIONS.items()
    }
    clusters = _table(content.get("clusters", {}), origin, "clusters")
    return Config(
        store=environ.get(f"{PREFIX}STORE", "") or _store(content.get("store", ""), origin),
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
    """The objectives of a TOML text, or where it is empty those of the settings.

    >>> objectives("commit_latency_minute_mean_ms = 5").limits
    {'commit_latency': 5.0}
    """
    if not text.strip():
        return load().objectives
    try:
        return _objectives(tomllib.loads(text), "objectives")
    except tomllib.TOMLDecodeError as problem:
        raise Error(f"{text!r} is no TOML of objectives: {problem}.") from None


def _objectives(content: Any, origin: str) -> Objectives:
    table = dict(_table(content, origin, "objectives"))
    budget = _value(
        Objectives.budget_pct, table.pop("budget_pct", Objectives.budget_pct), origin, "budget_pct"
    )
    keys = {f"{name}_minute_mean_{_unit(unit)}": name for name, (unit, _) in METRICS.items()}
    for key in table:
        if key not in keys:
            raise Error(
                f"{origin}: [objectives] has {key!r}; write <metric>_minute_mean_<unit>, as in commit_latency_minute_mean_ms."
            )
    return Objectives(
        {keys[key]: _value(1.0, value, origin, f"objectives.{key}") for key, value in table.items()}, budget
    )


def groups(text: str = "") -> Groups:
    """The workloads and jobs of a TOML text, or where it is empty those of the settings.

    >>> groups("[workloads.etl]\\nuser = 'etl_*'").workloads
    {'etl': ({'user': ('etl_*',)},)}
    """
    if not text.strip():
        return load().groups
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise Error(f"{text!r} is no TOML of workloads and jobs: {problem}.") from None
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
    asked = table | {f"tags.{name}": globs for name, globs in tags.items()}
    if not asked:
        raise Error(
            f"{origin}: [{key}] asks for nothing, so all would belong to it; name one of {', '.join(FIELDS)}."
        )
    return {name: _globs(globs, origin, f"{key}.{name}") for name, globs in asked.items()}


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
    """A unit as a part of a name: ms, pct, per_s, bytes_per_s."""
    return unit.replace("%", "pct").replace("1/", "per_").replace("/", "_per_").replace(" ", "_")


def _table(content: Any, origin: str, key: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise Error(f"{origin}: {key} is {content!r}; a table is expected, as in [{key}].")
    return content


def _check_keys(table: Mapping[str, Any], known: set[str], origin: str, section: str) -> None:
    for key in table:
        if key not in known:
            place = f"[{section}]" if section else "the top level"
            raise Error(f"{origin}: {place} has no setting {key!r}; it knows {', '.join(sorted(known))}.")


def _value(default: Any, value: Any, origin: str, key: str) -> Any:
    """The value, if it is of the default's kind; a number must be above zero."""
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
