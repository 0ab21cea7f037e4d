"""Values are frozen, compared and hashed by what they hold, and checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from core.value import Value, field, replace


class Point(Value):
    x: int
    y: int = 0
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)
    raw: bytes | None = field(default=None, compare=False, repr=False)


class Named(Point):
    name: str = ""


class Other(Value):
    x: int
    y: int = 0


def test_fields_come_by_place_or_by_name_with_their_defaults() -> None:
    point = Point(1, notes={"a": "b"})
    assert (point.x, point.y, point.notes, point.raw) == (1, 0, {"a": "b"}, None)
    assert Point(1).notes is not Point(1).notes
    assert Named(1, 2, name="n") == Named(1, 2, {}, None, "n")


def test_values_compare_by_what_they_hold_and_by_their_class() -> None:
    assert Point(1, raw=b"a") == Point(1, raw=b"b") != Point(2)
    assert Point(1) != Other(1) and Point(1) != Named(1)
    assert len({Point(1), Point(1, notes={"x": "y"}), Point(1)}) == 2
    assert hash(Point(1)) == hash(Point(1, notes={"x": "y"}))


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError, match="frozen"):
        Point(1).x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del Point(1).x
    assert replace(Point(1, 2), y=3) == Point(1, 3)


@pytest.mark.parametrize("make", [lambda: Point(), lambda: Point(1, z=2), lambda: Point(1, 2, {}, None, 5)])
def test_wrong_fields_are_refused(make: object) -> None:
    with pytest.raises(TypeError):
        make()  # type: ignore[operator]


def test_a_value_prints_its_fields() -> None:
    assert repr(Point(1, raw=b"secret")) == "Point(x=1, y=0, notes={})"
