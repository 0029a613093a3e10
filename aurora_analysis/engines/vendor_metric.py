"""The shape of an engine's metric maps: a vendor's name leads to our name and the conversion to our unit."""

from __future__ import annotations

from typing import NamedTuple


class VendorMetric(NamedTuple):
    """Our name of a vendor's metric.

    Attributes
    ----------
    name : str
        The name in `glossary.METRICS`, which states the unit.
    factor : float
        Multiplies the vendor's value to give our unit.
    statistics : tuple of str
        The CloudWatch statistics to request.
    """

    name: str
    factor: float = 1.0
    statistics: tuple[str, ...] = ("Average",)


class StatementStatistic(NamedTuple):
    """Our column of a statement statistic, and the factor that converts the vendor's value to its unit."""

    column: str
    factor: float = 1.0
