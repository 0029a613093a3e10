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


@dataclass(frozen=True)
class Objectives:
    """What is acceptable of the writer: the most that each metric's minute mean should be, in the metric's unit."""

    limits: Mapping[str, float] = field(default_factory=dict)
    budget_pct: float = 1.0  # of the minutes of a window may be over a limit: 100 minutes of a week


@dataclass(frozen=True)
class Config:
    """All settings. `origin` is the file that they came from, or empty."""

    store: str = ""
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    rates: Rates = Rates()
    prices: Prices = Prices()
    fetch: Fetch = Fetch()
    objectives: Objectives = Objectives()
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


SECTIONS: dict[str, type] = {"rates": Rates, "prices": Prices, "fetch": Fetch}


def load(path: str | os.PathLike[str] = "", *, environ: Mapping[str, str] | None = None) -> Config:
    """The settings of a file (default: AURORA_ANALYSIS_CONFIG, else aurora-analysis.toml here), under the environment."""
    environ = os.environ if environ is None else environ
    named = str(path or environ.get(f"{PREFIX}CONFIG", ""))
    found = Path(named or FILE)
    if not named and not found.exists():
        return _read({}, environ, "")
    return _read(_toml(found), environ, str(found))


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
    known = {"store", "clusters", "objectives", *SECTIONS}
    _check_keys(content, known, origin, "")
    sections: dict[str, Any] = {
        name: _section(kind, content.get(name, {}), environ, origin, name) for name, kind in SECTIONS.items()
    }
    clusters = _table(content.get("clusters", {}), origin, "clusters")
    return Config(
        store=environ.get(f"{PREFIX}STORE", "") or _value("", content.get("store", ""), origin, "store"),
        clusters={name: _cluster(name, table, origin) for name, table in clusters.items()},
        objectives=_objectives(content.get("objectives", {}), origin),
        origin=origin,
        **sections,
    )


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
    if isinstance(value, int | float) and value <= 0:
        raise Error(f"{origin}: {key} is {value!r}; a number above 0 is expected.")
    return value


def _from_text(default: Any, text: str, variable: str) -> Any:
    try:
        return _value(default, type(default)(text), "environment", variable)
    except ValueError:
        raise Error(f"environment: {variable} is {text!r}; {_expected(default)} is expected.") from None


def _expected(default: Any) -> str:
    return {str: "text", float: "a number", int: "a whole number"}[type(default)]
