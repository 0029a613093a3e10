"""Week-to-week variation: variances shrunk to their group, common moves, and idiosyncratic moves."""

from __future__ import annotations

import numpy as np
import pytest

from aurora_analysis.analysis.workload_change import weekly_variation


def test_a_variance_is_shrunk_towards_its_group():
    """Variances that are tiny by chance grow, large ones shrink; 200 equal rows estimate their variance well."""
    logs = np.random.default_rng(3).normal(0, 0.05, (200, 5))
    found, _, _ = weekly_variation.variations(logs, ["calls"] * 200)
    own = logs.var(axis=1, ddof=1)
    assert found.variance.std() < 0.7 * own.std()
    assert found.variance == pytest.approx(0.0025, rel=0.1)
    assert (found.df > 100).all()


def test_common_weeks_have_as_many_degrees_of_freedom_as_weeks():
    """Many rows still see eight weeks only; the idiosyncratic part is estimated from all rows."""
    rng = np.random.default_rng(5)
    weeks = rng.normal(0, 0.05, 8)
    own, apart, common = weekly_variation.variations(weeks + rng.normal(0, 0.005, (200, 8)), ["calls"] * 200)
    assert own.variance == pytest.approx(weeks.var(ddof=1) + 0.005**2, rel=0.1)
    assert ((own.df > 6) & (own.df < 9)).all()
    assert apart.variance == pytest.approx(0.005**2, rel=0.1)
    assert (apart.df > 100).all()
    assert common.variance == pytest.approx(weeks.var(ddof=1), rel=0.1)
    assert (common.df == 7).all()


def test_a_small_group_keeps_its_own_variance():
    """Two rows are too few to shrink; a row without weeks has no variance."""
    own, apart, _ = weekly_variation.variations(np.array([[0.0, 0.1, 0.2], [np.nan] * 3]), ["a", "b"])
    assert own.variance[0] == pytest.approx(0.01)
    assert np.isnan(own.variance[1])
    assert own.df[0] == 2
    assert np.isnan(apart.variance).all()


def test_dissimilar_variances_shrink_little():
    """Variances that differ by orders of magnitude have a weak prior."""
    rng = np.random.default_rng(4)
    logs = np.exp(rng.normal(0, 2, 300))[:, None] * rng.normal(0, 0.05, (300, 8))
    found, _, _ = weekly_variation.variations(logs, ["calls"] * 300)
    assert found.df.max() < 7 + 2


def test_a_row_that_moves_does_not_move_its_group():
    """Four rows stay and one jumps: the common move is 0; another group does not count."""
    logs = np.array([[0.0], [0.0], [0.0], [0.0], [9.0], [5.0]])
    assert weekly_variation.common_moves(logs, [*"aaaaab"]).ravel().tolist() == [0, 0, 0, 0, 0, 5]


def test_interval_and_p_value_agree():
    """The interval of a p-value of 5 % ends where the move's own p-value is 5 %."""
    move = weekly_variation.Effect(np.array([0.0]), np.array([0.1]), np.array([7.0]))
    edge = weekly_variation.Effect(move.half_width(0.05), move.se, move.df)
    assert edge.p == pytest.approx(0.05)
