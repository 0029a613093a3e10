"""Runs the contract suite for every engine: to add one, add its case to `tests/engine_cases.py`.

A file of this suite tests the module of its name, `test_log` tests `slow_log`; an engine that lacks a module so far is
left out of its file.
"""

from __future__ import annotations

import pytest
from engine_cases import CASES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each engine that has the module under test."""
    if "engine" in metafunc.fixturenames:
        room = metafunc.module.__name__.rpartition("test_")[2]
        module = {"log": "slow_log", "modules": "fingerprint"}.get(room, room)
        cases = [case for case in CASES if case.has(module)]
        metafunc.parametrize("engine", cases, ids=lambda case: case.name)
