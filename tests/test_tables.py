"""The tables say what they are, once."""

import re

import pytest

from aurora_analysis import tables
from aurora_analysis.store.frames import ARROW_TYPES

UNIT_SUFFIX = re.compile(r"_(s|ms|days|trx_id|id)$")


@pytest.mark.parametrize("table", tables.TABLES.values(), ids=lambda table: table.name)
def test_every_column_has_a_type_and_a_meaning(table):
    """And its time and identity are columns of it."""
    names = table.column_names()
    assert len(set(names)) == len(names)
    assert {table.time, *table.identity} <= set(names)
    assert all(column.type in ARROW_TYPES and column.meaning for column in table.columns)


@pytest.mark.parametrize("table", tables.TABLES.values(), ids=lambda table: table.name)
def test_a_duration_names_its_unit(table):
    """A real number that is a time says whether it is seconds, milliseconds or days."""
    durations = [
        column.name for column in table.columns if re.search(r"time|latency|lag|period", column.name)
    ]
    durations = [name for name in durations if {c.name: c.type for c in table.columns}[name] == "real"]
    assert all(UNIT_SUFFIX.search(name) for name in durations)
