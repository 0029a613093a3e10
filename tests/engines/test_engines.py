"""Engine names: which are supported, and what the refusal of the others says."""

from __future__ import annotations

import doctest

import pytest

from aurora_analysis import engines
from aurora_analysis.engines import mysql
from aurora_analysis.engines.mysql import flavour
from aurora_analysis.errors import Error


@pytest.mark.parametrize("name", ["aurora-mysql", "aurora", "mysql", "mariadb"])
def test_every_name_of_the_mysql_family_is_one_engine(name):
    """RDS, the lab and SQLAlchemy each have their own names."""
    assert engines.of(name) is mysql


def test_every_name_of_postgresql_is_one_engine():
    """Aurora, RDS, SQLAlchemy and the lab each have their own names."""
    assert engines.of("aurora-postgresql") is engines.of("postgresql") is engines.of("postgres")
    assert engines.module("aurora-postgresql", "live") is engines.module("postgresql", "live")


@pytest.mark.parametrize(("name", "shown"), [("oracle-ee", "oracle-ee"), ("", "An unnamed engine")])
def test_an_unknown_engine_is_refused_with_what_is_supported(name, shown):
    """The line stands alone."""
    with pytest.raises(Error) as raised:
        engines.of(name)
    assert (
        str(raised.value)
        == f"{shown} is not supported: aurora-analysis reads Aurora MySQL, Aurora PostgreSQL, MySQL, MariaDB and "
        "PostgreSQL."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.11.19-MariaDB-log", "mariadb"),
        ("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64", "mariadb"),
        ("mariadb", "mariadb"),
        ("8.0.mysql_aurora.3.08.0", "mysql"),
        ("9.7.4", "mysql"),
        ("", "mysql"),
    ],
)
def test_the_version_text_decides_between_mariadb_and_mysql(text, expected):
    """MariaDB writes its name; everything else of the family behaves as MySQL."""
    assert flavour.of_version(text) == expected


def test_examples_in_docstrings_are_true():
    """The docstrings' examples run."""
    assert doctest.testmod(engines).failed == 0
