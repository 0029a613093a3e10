"""Server parameters: which matter, their defaults, and how to fix each gap."""

from __future__ import annotations

from aurora_analysis.tables import TABLES


def test_every_default_is_of_a_parameter_that_matters(engine):
    """A default stands in where a parameter group sets nothing."""
    settings = engine.module("settings")
    assert set(settings.DEFAULTS) <= settings.PARAMETERS
    assert all(isinstance(value, str) for value in settings.DEFAULTS.values())


def test_every_recommendation_passes_its_own_check(engine):
    """`doctor` accepts the value that it recommends, and an analysis reads the parameter."""
    settings = engine.module("settings")
    for check in (*settings.SLOW_LOG_CHECKS, *settings.METRIC_CHECKS):
        assert check.is_good(check.recommended), check.name
        assert check.consequence
        assert check.name in settings.PARAMETERS


def test_the_recommended_settings_leave_no_obstacle_to_the_log(engine):
    """A cluster that follows every recommendation has slow-log files."""
    settings = engine.module("settings")
    good = {check.name: check.recommended for check in settings.SLOW_LOG_CHECKS}
    assert settings.slow_log_obstacle(good) is None


def test_parameters_are_columns_of_instances(engine):
    """The store keeps them under names of its own; a parameter that is not set is None, not a default."""
    settings = engine.module("settings")
    columns = settings.instance_columns(settings.DEFAULTS)
    assert set(columns) <= set(TABLES["instances"].column_names())
    assert set(settings.instance_columns({}).values()) == {None}
