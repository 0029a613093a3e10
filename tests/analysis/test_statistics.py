"""The shared statistics give the textbook figures."""

import numpy as np
import pytest

from aurora_analysis.analysis.statistics import adjusted, jackknife_se


def test_adjusted_p_values_follow_benjamini_and_hochberg():
    """By hand: .01·4/1, .02·4/2, .03·4/3 and .5; a missing p-value does not count as a test."""
    given = [0.03, 0.01, np.nan, 0.02, 0.5]
    assert adjusted(given) == pytest.approx([0.04, 0.04, np.nan, 0.04, 0.5], nan_ok=True)


def test_jackknife_of_a_mean_is_its_classical_standard_error():
    """Leaving out one value of a sample in turn reproduces s / sqrt(n)."""
    values = np.array([1.0, 4.0, 2.0, 8.0, 5.0])
    replicates = (values.sum() - values) / 4
    expected = values.std(ddof=1) / np.sqrt(5)
    assert jackknife_se(replicates) == pytest.approx(expected)


def test_a_block_that_does_not_count_leaves_the_standard_error():
    """NaN replicates are skipped, column by column, and do not count as blocks."""
    replicates = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, np.nan]])
    found = jackknife_se(replicates)
    assert found == pytest.approx([np.sqrt(2 / 3 * 2), np.sqrt(1 / 2 * 0.5)])
