"""Records: what `app.canonical.record` makes of a class, beside what a frozen dataclass would be."""

from dataclasses import dataclass, field, replace

import pytest

from app.canonical.record import record


@record
class Point:
    x: int
    secret: str = field(default="", repr=False)
    note: str = field(default="", compare=False)


@record(kw_only=True)
class Named:
    name: str

    def __repr__(self) -> str:
        return "somebody"


@record
class Bare:
    pass


@dataclass(frozen=True, slots=True)
class Model:
    x: int
    secret: str = field(default="", repr=False)
    note: str = field(default="", compare=False)


MEMBERS = [(1, "s", "a"), (1, "s", "b"), (2, "s", "a"), (1, "t", "a")]


def test_records_are_equal_where_frozen_dataclasses_are():
    for one in MEMBERS:
        for other in MEMBERS:
            assert (Point(*one) == Point(*other)) is (Model(*one) == Model(*other))
    assert len({Point(*one) for one in MEMBERS}) == len({Model(*one) for one in MEMBERS}) == 3
    assert Bare() == Bare()
    assert len({Bare(), Bare()}) == 1
    assert Point(1) != Model(1)
    assert Point(1) != Bare()


def test_the_text_of_a_record_is_that_of_a_dataclass_and_hides_what_that_hides():
    assert repr(Point(1, "s")) == repr(Model(1, "s")).replace("Model", "Point") == "Point(x=1, note='')"
    assert repr(Named(name="Ann")) == "somebody"


def test_a_record_has_its_own_members_only_and_takes_them_by_name_where_it_says_so():
    assert replace(Point(1), x=2) == Point(2)
    with pytest.raises(AttributeError):
        Point(1).y = 1
    with pytest.raises(TypeError):
        Named("Ann")
