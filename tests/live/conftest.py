"""Tests of live evidence run in real time: a failure on a machine that was too slow is a skip that says so."""

import pytest
from machine import _measured, meter, pytest_pyfunc_call

__all__ = ["_measured", "meter", "pytest_pyfunc_call"]


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    """What a watch keeps on this machine goes into the test's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
