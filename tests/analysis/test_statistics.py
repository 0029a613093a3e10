"""The shared statistics give the textbook figures."""

import numpy as np
import pytest
import scipy

from aurora_analysis.analysis.statistics import (
    adjusted,
    block_df,
    detectable,
    false_coverage_alpha,
    jackknife_se,
)


def test_adjusted_p_values_follow_benjamini_and_hochberg():
    """The values are computed by hand; a missing p-value does not count as a test."""
    given = [0.03, 0.01, np.nan, 0.02, 0.5]
    assert adjusted(given) == pytest.approx([0.04, 0.04, np.nan, 0.04, 0.5], nan_ok=True)


def test_interval_levels_follow_benjamini_and_yekutieli():
    """Two of four discoveries halve the level; without a discovery it is Bonferroni's; without a test it stays."""
    assert false_coverage_alpha([0.01, 0.02, 0.3, np.nan, 0.5]) == pytest.approx(0.05 * 2 / 4)
    assert false_coverage_alpha([0.2, 0.3]) == pytest.approx(0.025)
    assert false_coverage_alpha([np.nan]) == 0.05


@pytest.mark.parametrize(("df", "alpha"), [(2, 0.05), (4, 0.001), (12, 0.05), (1e6, 0.0001)])
def test_the_detectable_effect_is_that_of_the_noncentral_t(df, alpha):
    """Its power is 80 % to a third of a point; a missing error gives no effect."""
    critical = scipy.stats.t.ppf(1 - alpha / 2, df)
    assert scipy.stats.nct.sf(critical, df, detectable(1.0, df, alpha)) == pytest.approx(0.8, abs=0.003)
    assert np.isnan(detectable(np.nan, df, alpha))


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


def test_equal_blocks_have_their_number_less_one_degrees_of_freedom():
    """Blocks without data do not count, column by column."""
    weights = np.array([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [0.0, 1.0]])
    assert block_df(weights) == pytest.approx([3, 4])


def test_a_block_that_dominates_leaves_few_degrees_of_freedom():
    """Half of the weight in one of five blocks counts as 3.2 equal blocks; below two nothing is claimed."""
    assert block_df(np.array([4.0, 1.0, 1.0, 1.0, 1.0])) == pytest.approx(8**2 / 20 - 1)
    assert block_df(np.array([100.0, 1.0, 1.0])) == 2
    assert block_df(np.zeros(3)) == 2


@pytest.mark.parametrize("hours_spread", [0.5, 1.0])
def test_the_interval_of_a_ratio_over_few_unequal_blocks_covers(hours_spread):
    """With 5 blocks, 95 % intervals cover a ratio of sums in at least 92 % of 2,000 draws (lognormal hours and rates)."""
    rng = np.random.default_rng(1)
    hours = rng.lognormal(0, hours_spread, (5, 2000))
    grown = hours * rng.lognormal(-(0.3**2) / 2, 0.3, hours.shape)
    ratio = grown.sum(axis=0) / hours.sum(axis=0)
    error = jackknife_se((grown.sum(axis=0) - grown) / (hours.sum(axis=0) - hours))
    covered = np.abs(ratio - 1) <= scipy.stats.t.ppf(0.975, block_df(hours)) * error
    assert covered.mean() >= 0.92
