"""Wait events: each class has parts of names that lead to it."""

from __future__ import annotations

from aurora_analysis import engines


def test_every_class_can_be_reached(engine):
    """No part of a name is empty, which would match every event, and none stands in two classes."""
    classes = engine.module("waits").WAIT_CLASSES
    parts = [part for several in classes.values() for part in several]
    assert all(classes.values()) and all(parts)
    assert len(parts) == len(set(parts))
    assert "CPU" in classes


def test_no_class_hides_a_later_one(engine):
    """The first class that matches wins: the name of a later class is not part of an earlier one's."""
    reached = {}
    classes = engine.module("waits").WAIT_CLASSES
    for name, parts in classes.items():
        for part in parts:
            reached[part] = next(
                first for first, several in classes.items() if any(one in part for one in several)
            )
            assert reached[part] == name, part


def test_the_classes_of_all_engines_hold_those_of_each(engine):
    """A frame of wait events needs no engine: another engine's parts hide none of this engine's events."""
    merged = engines.wait_classes()
    for name, parts in engine.module("waits").WAIT_CLASSES.items():
        for part in parts:
            first = next(each for each, several in merged.items() if any(one in part for one in several))
            assert first == name, part
