"""Sessions that held back purge on a real InnoDB are named, and others are not, whatever their users are called."""

from __future__ import annotations

from holder_agreement import harmless_share, judged

from aurora_analysis import Store
from aurora_analysis.store import location


def test_the_committed_recording():
    """The sample's forty minutes, checked against its known schedule."""
    found = judged(Store(location.sample()))
    assert found["precision"] >= 0.9
    assert found["recall"] >= 0.9
    assert found["unknown recall"] >= 0.75


def test_the_control_does_not_hold_back_purge():
    """It runs as long and as often as the extracts, and is held responsible for at most 2 % of the growth."""
    assert harmless_share(Store(location.sample())) <= 0.02
