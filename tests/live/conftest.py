"""Tests of live evidence run in real time: a failure on a machine that was too slow is a skip that says so."""

from machine import _measured, meter, pytest_pyfunc_call

__all__ = ["_measured", "meter", "pytest_pyfunc_call"]
