"""How far weeks spread: rows that lean on their kind, weeks that move all alike, moves apart from siblings."""

from __future__ import annotations

import numpy as np
import pytest

from aurora_analysis.analysis.workload_change import weekly_variation


def test_a_spread_leans_on_its_kind():
    """By chance tiny variances grow, large ones shrink; 200 rows that spread alike tell their spread well."""
    logs = np.random.default_rng(3).normal(0, 0.05, (200, 5))
    found, _, _ = weekly_variation.spreads(logs, ["calls"] * 200)
    own = logs.var(axis=1, ddof=1)
    assert found.variance.std() < 0.7 * own.std()
    assert found.variance == pytest.approx(0.0025, rel=0.1)
    assert (found.df > 100).all()


def test_weeks_that_move_all_rows_alike_are_worth_no_more_than_their_number():
    """However many rows there are, they tell of eight weeks only; what rows do apart is told by all of them."""
    rng = np.random.default_rng(5)
    weeks = rng.normal(0, 0.05, 8)
    own, apart, common = weekly_variation.spreads(weeks + rng.normal(0, 0.005, (200, 8)), ["calls"] * 200)
    assert own.variance == pytest.approx(weeks.var(ddof=1) + 0.005**2, rel=0.1)
    assert ((own.df > 6) & (own.df < 9)).all()
    assert apart.variance == pytest.approx(0.005**2, rel=0.1)
    assert (apart.df > 100).all()
    assert common.variance == pytest.approx(weeks.var(ddof=1), rel=0.1)
    assert (common.df == 7).all()


def test_a_kind_of_its_own_keeps_its_own_spread():
    """Two rows are no kind to lean on; a row without weeks has no spread."""
    own, apart, _ = weekly_variation.spreads(np.array([[0.0, 0.1, 0.2], [np.nan] * 3]), ["a", "b"])
    assert own.variance[0] == pytest.approx(0.01)
    assert np.isnan(own.variance[1])
    assert own.df[0] == 2
    assert np.isnan(apart.variance).all()


def test_unlike_variances_lend_little():
    """Where spreads differ by orders of magnitude, each row stands nearly alone."""
    rng = np.random.default_rng(4)
    logs = np.exp(rng.normal(0, 2, 300))[:, None] * rng.normal(0, 0.05, (300, 8))
    found, _, _ = weekly_variation.spreads(logs, ["calls"] * 300)
    assert found.df.max() < 7 + 2


def test_a_row_that_moves_does_not_move_its_kind():
    """Four rows that stay and one that jumps: alike they did nothing; another kind is not asked."""
    logs = np.array([[0.0], [0.0], [0.0], [0.0], [9.0], [5.0]])
    assert weekly_variation.alike(logs, [*"aaaaab"]).ravel().tolist() == [0, 0, 0, 0, 0, 5]


def test_an_effect_is_as_sure_as_its_error():
    """The interval of a p-value of 5 % ends where the move's own p-value is 5 %."""
    move = weekly_variation.Effect(np.array([0.0]), np.array([0.1]), np.array([7.0]))
    edge = weekly_variation.Effect(move.half(0.05), move.se, move.df)
    assert edge.p == pytest.approx(0.05)
