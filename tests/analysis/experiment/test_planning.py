"""The detectable effect of a planned trial shrinks with its length."""

from __future__ import annotations

import numpy as np

from aurora_analysis.analysis import experiment


def test_more_blocks_detect_a_smaller_effect():
    """Four times as many blocks halve the detectable effect, about."""
    calm = np.exp(np.random.default_rng(1).normal(0, 0.2, 1200)).tolist()
    few, many = (experiment.detectable_pct(calm, blocks=blocks, run_s=60) for blocks in (20, 80))
    assert 0.4 < many / few < 0.6


def test_too_short_a_baseline_has_no_detectable_effect():
    """Three run lengths, or a latency that never varies, give no number."""
    varying = np.exp(np.random.default_rng(1).normal(0, 0.2, 180)).tolist()
    assert np.isnan(experiment.detectable_pct(varying, blocks=20, run_s=60))
    assert np.isnan(experiment.detectable_pct([5.0] * 600, blocks=20, run_s=60))
