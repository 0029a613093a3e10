"""Calibration: simulated writers with planted effects, and gates that the verdicts must pass."""
