"""Runs the contract suite for every engine: to add one, add its case to `tests/engine_cases.py`."""

from __future__ import annotations

import pytest
from engine_cases import CASES, Case


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def engine(request: pytest.FixtureRequest) -> Case:
    """One engine."""
    return request.param
