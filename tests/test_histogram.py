"""Histogram buckets represent every latency within 1 %."""

import numpy as np
import pytest

from aurora_analysis import histogram


def test_a_value_lies_within_its_buckets_bounds():
    """From microseconds to hours."""
    values = np.logspace(-2, 7, 1000)
    low, high = histogram.bounds(histogram.bucket(values))
    assert (low < values * (1 + 1e-6)).all()
    assert (values <= high * (1 + 1e-6)).all()


def test_the_middle_stands_for_every_value_within_1_percent():
    """The mapping of DDSketch guarantees it."""
    values = np.logspace(-2, 7, 1000)
    assert histogram.middle(histogram.bucket(values)) == pytest.approx(values, rel=0.0101)


def test_zero_and_below_share_the_lowest_bucket():
    """A clock that did not advance does not fail."""
    assert len(set(histogram.bucket([0.0, -1.0, 1e-3]))) == 1
