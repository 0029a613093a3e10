"""Every engine has the same modules, with the same functions."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
from engine_cases import CASES

from aurora_analysis import engines

MODULES = {
    "fingerprint": {"statement", "fingerprint", "join_key", "matching_key", "split", "tags", "digest", "kind", "FingerprintCache"},
    "slow_log": {"entries", "events", "ended", "batches", "read_slow_log", "to_tables", "is_slow_log", "library", "HEAD", "BOUNDARIES", "UNKNOWN", "COVERED", "logged", "refusal"},
    "statement_statistics": {"StatementSampler", "add_digests", "statement_metrics", "latency_histograms", "statements"},
    "live": {"QUERIES", "DRIVER_VARIABLES", "TAG", "STATEMENT_TIMEOUT_S", "Probe", "InstanceSample", "time_limit", "grants", "table", "url", "connect_arguments", "with_tokens", "reason"},
    "slow_log_table": {"SlowLogTail"},
    "trial_sessions": {"ISOLATION_LEVEL", "READ_ONLY", "CONNECTION_ID", "MODES", "ALL_MODES", "refusal", "set_modes", "cancel", "is_lock_error", "is_timeout", "canary"},
    "settings": {"TITLE", "LOG_TYPE", "LOG_TITLE", "PARAMETERS", "DEFAULTS", "SLOW_LOG_CHECKS", "METRIC_CHECKS", "files_kept", "ON_REPLICAS", "is_log_file", "slow_log_obstacle", "instance_columns"},
    "metrics": {"INSTANCE_METRICS", "CLUSTER_METRICS", "COUNTERS", "MORE_COUNTERS", "ADD_UP", "NO_HOLDER", "HOLDERS", "LOAD_DIMENSIONS", "STATEMENT_STATISTICS", "WRITER_METRIC", "READER_METRIC", "PUBLISHED_SINCE", "aurora_version"},
    "waits": {"WAIT_CLASSES"},
    "cleanup": {"holder", "boundary", "state", "writer", "backlog", "progress", "metrics", "views", "oldest_views", "instance_metrics", "relations", "writing_blocks", "WORDS"},
}  # fmt: skip
"""Module → names that other parts of the package use."""


def test_the_modules_have_the_names_that_others_use(engine):
    """A caller that changes engines changes no name."""
    for name in filter(engine.has, MODULES):
        assert MODULES[name] <= set(dir(engine.module(name))), name


def test_every_name_of_the_engine_leads_to_its_package(engine):
    """RDS, SQLAlchemy and the store have names of their own."""
    assert len({engines.module(name, "fingerprint") for name in engine.names}) == 1


def test_every_engine_package_has_a_case(engine):
    """An engine that can be named is held by this suite."""
    packages = {module.name for module in pkgutil.iter_modules(engines.__path__) if module.ispkg}
    assert packages == set(engines.PACKAGES.values()) == {case.name for case in CASES}


@pytest.mark.parametrize(
    "name", [module.name for module in pkgutil.walk_packages(engines.__path__, "aurora_analysis.engines.")]
)
def test_examples_in_docstrings_are_true(name):
    """An engine's functions return the values that their docstrings show."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0
