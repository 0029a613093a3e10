"""On a real InnoDB, whatever its sessions are called: who held purge is named, and who did not is not."""

from __future__ import annotations

from attribution import harmless_share, judged

from aurora_analysis import Store
from aurora_analysis.store import location


def test_the_committed_recording():
    """The sample's forty minutes, against what its schedule says truly ran."""
    found = judged(Store(location.sample()))
    assert found["precision"] >= 0.9
    assert found["recall"] >= 0.9
    assert found["unknown recall"] >= 0.75


def test_the_control_holds_no_purge():
    """As long and as often as the extracts, and never the holder of more than a sliver of the growth."""
    assert harmless_share(Store(location.sample())) <= 0.02
