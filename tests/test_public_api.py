"""Tab completion offers the public API and nothing else."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import aurora_analysis
from aurora_analysis import plots


def test_the_package_offers_its_api_and_its_rooms():
    """Typing `from aurora_analysis import <TAB>` lists four names and the modules that a notebook uses."""
    public = [
        "Observations",
        "Store",
        "Window",
        "analysis",
        "config",
        "observe",
        "parameters",
        "plots",
        "store",
    ]
    assert dir(aurora_analysis) == public


@pytest.mark.parametrize("name", dir(aurora_analysis))
def test_every_offered_name_can_be_imported(name):
    """A name is an attribute of the package or one of its modules, and has a docstring."""
    try:
        offered = getattr(aurora_analysis, name)
    except AttributeError:
        offered = importlib.import_module(f"aurora_analysis.{name}")
    if name != "analysis":
        assert inspect.getdoc(offered)


def test_the_all_of_the_package_is_importable():
    """`from aurora_analysis import *` gives the classes and `observe`."""
    assert sorted(aurora_analysis.__all__) == ["Observations", "Store", "Window", "observe"]
    assert all(callable(getattr(aurora_analysis, name)) for name in aurora_analysis.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """The message names the package and the attribute."""
    with pytest.raises(AttributeError, match=r"'aurora_analysis' has no attribute 'nosuch'"):
        aurora_analysis.nosuch  # noqa: B018


def test_plots_offers_its_figures_and_nothing_else():
    """Each offered name is a function from a frame to Axes that is defined in a module of `plots`."""
    assert dir(plots) == sorted(plots.__all__)
    for name in dir(plots):
        figure = getattr(plots, name)
        assert inspect.isfunction(figure), name
        assert figure.__module__.startswith("aurora_analysis.plots."), name
        assert "Axes" in str(inspect.signature(figure).return_annotation), name
        assert inspect.getdoc(figure), name


def test_every_public_figure_function_is_offered():
    """A figure function of a topic's module is either offered by `plots` or used by other figures only."""
    offered = {getattr(plots, name) for name in plots.__all__}
    for topic in sorted(
        {each.name for each in pkgutil.iter_modules(plots.__path__)} - {"style", "fonts", "notes"}
    ):
        module = importlib.import_module(f"aurora_analysis.plots.{topic}")
        figures = {
            each
            for name, each in inspect.getmembers(module, inspect.isfunction)
            if each.__module__ == module.__name__ and not name.startswith("_")
        }
        missing = sorted(each.__name__ for each in figures - offered)
        assert not missing, (
            f"import these from plots.{topic} in plots/__init__.py, and list them in __all__: {missing}"
        )
