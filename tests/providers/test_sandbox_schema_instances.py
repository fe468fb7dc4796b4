"""JSON made to fit a schema: judged by the jsonschema package, which knows nothing of ours."""

import contextlib
import json
import re
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import jsonschema
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.providers.sandbox.assignments import parse_assignments
from app.providers.sandbox.schema_instances import make_arguments, make_instance
from app.providers.sandbox.schemas import RootSchema, UnsupportedSchema, WorkLimit

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "email": {"type": "string", "format": "email"},
        "role": {"enum": ["admin", "guest"]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
        "home": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": "string", "pattern": r"^\d{5}$"}},
            "required": ["city", "zip"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "age", "email", "role", "tags", "home"],
    "additionalProperties": False,
}
PET = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
            "required": ["kind", "lives"],
        },
        {
            "type": "object",
            "properties": {"kind": {"const": "dog"}, "barks": {"type": "boolean"}},
            "required": ["kind", "barks"],
        },
    ]
}
LIST = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "given_text", "holds"),
    [
        (PERSON, "name=Ann, age=30, role=guest", {"name": "Ann", "age": 30, "role": "guest"}),
        (PERSON, "name=5", {"name": "5"}),
        (PERSON, "age=7, role=king", {"age": 18, "role": "admin"}),
        (PERSON, "home.city=Rome, home.zip=00118", {"home": {"city": "Rome", "zip": "00118"}}),
        (PERSON, "tags=[a, b, c]", {"tags": ["a", "b", "c"]}),
        (PERSON, "tags=a", {"tags": ["a", "some tags"]}),
        (PERSON, "tags=[a, a, b]", {"tags": ["a", "b"]}),
        (PERSON, "unknown=1", {"name": "some name"}),
        (PET, "kind=dog", {"kind": "dog", "barks": True}),
        (PET, "lives=9", {"kind": "cat", "lives": 9}),
        (LIST, "value=3, next.value=4", {"value": 3}),
        ({"type": "object"}, "a=1, b=x", {"a": 1, "b": "x"}),
        ({"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}, "n=null", {"n": None}),
        ({"type": "object", "properties": {"s": {"type": "string", "minLength": 40}}}, "", {}),
        (
            {"type": "object", "properties": {"x": {"type": "number", "multipleOf": 0.01}}},
            "x=2.5",
            {"x": 2.5},
        ),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "a=1, b=x", {"a": 1}),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"properties": {"a": {"minimum": 10}, "b": {"type": "string"}}, "required": ["b"]},
                ]
            },
            "a=12",
            {"a": 12},
        ),
    ],
)
def test_a_filled_schema_holds_what_was_given_and_fits(schema, given_text, holds):
    value = make_instance(schema, parse_assignments(given_text))
    jsonschema.validate(value, schema)
    assert holds.items() <= value.items()


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    barks: bool = True


class Tree(pydantic.BaseModel):
    name: str
    left: Optional["Tree"]
    right: Optional["Tree"]
    leaves: list["Tree"]


class Everything(pydantic.BaseModel):
    """What clients write with pydantic; its fields have every keyword that it emits."""

    code: Annotated[str, pydantic.Field(pattern=r"^[A-Z]{3}-\d{4}$")]
    long: Annotated[str, pydantic.Field(pattern=r"^\w+@\w+\.com$", min_length=20)]
    short: Annotated[str, pydantic.Field(max_length=3)]
    price: Decimal
    limited: Annotated[Decimal, pydantic.Field(max_digits=5, decimal_places=2)]
    share: Annotated[float, pydantic.Field(gt=0, lt=1)]
    sevens: Annotated[int, pydantic.Field(multiple_of=7, ge=10, le=14)]
    debt: Annotated[float, pydantic.Field(le=-2.5)]
    many: Annotated[float, pydantic.Field(ge=1e300)]
    day: date
    moment: datetime
    span: timedelta
    key: UUID
    colour: Colour
    one_of: Literal["a", 3, None]
    number_or_text: int | str | None
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]
    counts: dict[str, int]
    named: Annotated[dict[str, Cat], pydantic.Field(min_length=2, max_length=3)]
    by_pattern: dict[Annotated[str, pydantic.Field(pattern=r"^x_\d+$")], int]
    by_colour: dict[Colour, int]
    pair: tuple[int, str]
    tail: Annotated[tuple[int, ...], pydantic.Field(min_length=2, max_length=4)]
    different: Annotated[set[int], pydantic.Field(min_length=3)]
    all_colours: Annotated[set[Colour], pydantic.Field(min_length=2)]
    codes: Annotated[set[Annotated[str, pydantic.Field(pattern="^[A-Z]{2}$")]], pydantic.Field(min_length=3)]
    tree: Tree
    anything: Any
    json_value: pydantic.JsonValue
    maybe: int | None = None
    usual: Colour = Colour.BLUE


def test_a_schema_of_pydantic_gets_a_value_that_its_model_takes():
    schema = Everything.model_json_schema()
    value = make_instance(schema)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)
    made = Everything.model_validate(value)
    assert (made.usual, made.sevens, made.share) == (Colour.BLUE, 14, 0.5)
    assert made.tree.left is not None


EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
HOST = r"^(?=.{1,253}\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[-0-9a-zA-Z]{0,61}[0-9a-zA-Z])?)*\.?$"
DURATION = r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$"
TIME = r"^(?:(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?)$"


@pytest.mark.parametrize(
    "schema",
    [
        # zod: formats with a pattern, records, intersections, tuples of draft 7, never
        {"type": "string", "format": "email", "pattern": EMAIL},
        {"type": "string", "format": "hostname", "pattern": HOST},
        {"type": "string", "format": "duration", "pattern": DURATION},
        {"type": "string", "pattern": TIME},
        {"type": "string", "allOf": [{"pattern": "^ab.*"}, {"pattern": ".*yz$"}]},
        {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "number"}},
        {"allOf": [{"properties": {"a": {"type": "number"}}, "required": ["a"]},
                   {"properties": {"a": {"minimum": 3}, "b": {"type": "string"}}, "required": ["b"]}]},
        {"type": "array", "items": [{"type": "string"}, {"type": "number"}], "additionalItems": False},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        {"anyOf": [{"not": {}}, {"type": "boolean"}]},
        {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#"}},
                   {"type": "object", "additionalProperties": {"$ref": "#"}}]},
        # others
        {"oneOf": [{"type": "string"}, {"type": "number"}]},
        {"$ref": "#/anyOf/1", "anyOf": [True, {"type": "integer", "minimum": 4}]},
        {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"const": 5}}},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "integer", "exclusiveMinimum": 10, "maximum": 11},
        {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$", "minLength": 40, "maxLength": 40},
        {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}},
        {"minimum": 4},
        {"items": {"type": "boolean"}},
        {"items": [], "maxItems": 3},
        {"const": {"deep": [1, None]}},
        {},
        True,
    ],
)  # fmt: skip
def test_a_schema_of_another_client_is_fitted(schema):
    validator = jsonschema.validators.validator_for({}, jsonschema.Draft202012Validator)
    if isinstance(schema, dict) and isinstance(schema.get("items"), list):
        validator = jsonschema.Draft7Validator
    validator(schema, format_checker=jsonschema.FormatChecker()).validate(make_instance(schema))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"not": {}},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$ref": "https://example.com/schema"},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 10**9},
        {"type": "object", "minProperties": 10**9},
        {"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]},
        {"type": "array", "items": {"enum": [1]}, "uniqueItems": True, "minItems": 2},
        {"minimum": 10**400, "multipleOf": 0.3},
    ],
)
def test_a_schema_that_no_value_fits_is_refused(schema):
    with pytest.raises(UnsupportedSchema):
        make_instance(schema)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("contains", {"const": 5}),
        ("dependentRequired", {"a": ["b"]}),
        ("unevaluatedProperties", False),
        ("if", {"required": ["a"]}),
        ("pattern", r"(a)\1"),
        ("patternProperties", {"(?i)a": {}}),
        ("exclusiveMinimum", True),  # draft 4
        ("type", "file"),
        ("required", True),
        ("items", 5),
    ],
)
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda part: part, "#"),
        (lambda part: {"properties": {"in": part}}, "#/properties/in"),
        (
            lambda part: {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/D"}], "$defs": {"D": part}},
            "#/anyOf/1/$ref=#/$defs/D",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name_and_place(keyword, value, wrap, place):
    with pytest.raises(UnsupportedSchema, match=re.escape(place)) as caught:
        make_instance(wrap({keyword: value}))
    assert keyword in str(caught.value)


def _executed_lines(work: Callable[[], object]) -> int:
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


NARROW = {"type": "array", "minItems": 900, "uniqueItems": True, "items": {"enum": list(range(900))}}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}, f"a={'a' * 5000}!"),
        ({"properties": {"a": {"type": "string", "pattern": "^a*$"}}}, f"a={'a' * 20_000}"),
        (NARROW, ""),
        ({"type": "array", "minItems": 900, "items": {"const": list(range(900))}, "uniqueItems": True}, ""),
        ({"type": "array", "minItems": 900, "items": {"type": "string", "minLength": 9_000}}, ""),
        ({"type": "array", "minItems": 900, "items": {"type": "array", "minItems": 900, "items": {}}}, ""),
        ({"anyOf": [{"enum": list(range(300))}] * 300, "type": "string"}, ""),
        ({"oneOf": [{"properties": {"a": {"const": i}}, "required": ["a"]} for i in range(900)]}, ""),
        ({"$defs": {"t": {"properties": {"l": {"$ref": "#/$defs/t"}, "r": {"$ref": "#/$defs/t"}},
                          "required": ["l", "r"]}}, "$ref": "#/$defs/t"}, ""),
        ({"allOf": [{"required": [f"m{i}" for i in range(500)]}] * 500}, ""),
    ],
)  # fmt: skip
def test_the_work_for_one_schema_is_bounded(schema, text):
    def make():
        with contextlib.suppress(UnsupportedSchema):
            assert len(json.dumps(make_instance(schema, parse_assignments(text)))) < 2**20

    assert _executed_lines(make) < 3_000_000


@pytest.mark.parametrize(
    ("parameters", "given_text", "arguments"),
    [
        (PERSON["properties"]["home"], "city=Paris", {"city": "Paris", "zip": "00000"}),
        (
            {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}},
            "a=1",
            {"a": "1"},
        ),
        ({"type": "object", "properties": {"b": {"type": "integer"}}}, "b=x, c=2", {"b": "x", "c": 2}),
        (None, "a=b, c=5, d=true, e=2.5, f='5'", {"a": "b", "c": 5, "d": True, "e": 2.5, "f": "5"}),
        (False, "a=1", {"a": 1}),
        (
            {"type": "object", "properties": {"z": {}, "y": {}}, "required": ["z"]},
            "y=1",
            {"y": 1, "z": "some z"},
        ),
    ],
)
def test_a_calls_arguments_are_those_given_and_what_is_required(parameters, given_text, arguments):
    assert make_arguments(parameters, parse_assignments(given_text)) == arguments


SCALARS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={"minLength": st.integers(0, 5), "maxLength": st.integers(5, 40), "description": st.text()},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": st.integers(-50, 0),
            "maximum": st.integers(20, 90),
            "multipleOf": st.sampled_from([1, 2, 5]),
        },
    ),
    st.fixed_dictionaries(
        {"enum": st.lists(st.one_of(st.integers(), st.text(), st.none()), min_size=1, max_size=4)}
    ),
    st.fixed_dictionaries({"const": st.one_of(st.booleans(), st.text(), st.floats(-1e6, 1e6))}),
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
    st.just({"type": "string", "format": "date"}),
    st.sampled_from([r"^\d{4}$", r"^[a-z]+-[A-Z]{2}$", r"(foo|bar)+", r"^\w{3,6}$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern}
    ),
)
NAMES = st.sampled_from(["a", "b", "c", "name", "some-name", "x y"])


def _containers(inner):
    objects = st.dictionaries(NAMES, inner, max_size=4).flatmap(
        lambda members: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(members),
                "required": st.lists(st.sampled_from(sorted(members)), unique=True)
                if members
                else st.just([]),
            },
            optional={"additionalProperties": st.booleans()},
        )
    )
    arrays = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner},
        optional={"minItems": st.integers(0, 3), "maxItems": st.integers(3, 5)},
    )
    return st.one_of(
        objects,
        arrays,
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        inner.map(lambda schema: {"$defs": {"It": schema}, "allOf": [schema]}),
    )


SCHEMAS = st.recursive(SCALARS, _containers, max_leaves=8)
GIVEN = st.dictionaries(
    NAMES,
    st.one_of(
        st.integers(),
        st.text(max_size=5),
        st.lists(st.integers(), max_size=2),
        st.dictionaries(NAMES, st.booleans(), max_size=2),
    ),
    max_size=3,
)


@settings(max_examples=100)
@given(SCHEMAS, GIVEN)
def test_whatever_the_schema_the_value_fits_it(schema, members):
    jsonschema.Draft202012Validator(schema).validate(make_instance(schema))
    jsonschema.Draft202012Validator(schema).validate(make_instance(schema, members))


@settings(max_examples=100)
@given(
    SCHEMAS,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=6)),
        lambda v: st.one_of(st.lists(v, max_size=3), st.dictionaries(NAMES, v, max_size=3)),
        max_leaves=6,
    ),
)
def test_a_value_is_accepted_exactly_where_the_other_validator_accepts_it(schema, value):
    root = RootSchema(schema, WorkLimit())
    assert root.accepts(value, schema) == jsonschema.Draft202012Validator(schema).is_valid(value)


KEYWORDS = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "required",
        "enum",
        "anyOf",
        "allOf",
        "oneOf",
        "not",
        "$ref",
        "if",
        "then",
        "minimum",
        "pattern",
        "minItems",
        "default",
        "examples",
        "prefixItems",
        "contains",
        "patternProperties",
        "dependentRequired",
        "multipleOf",
        "maxProperties",
        "format",
    ]
)
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(["object", "array", "string", "#", "#/properties"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYWORDS, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=100)
@example({"properties": {"type": None}, "maxProperties": None}, None)
@given(ANYTHING, ANYTHING)
def test_no_json_as_a_schema_breaks_it(schema, given_value):
    try:
        value = make_instance(schema, given_value)
    except UnsupportedSchema:
        value = None
    json.dumps([value, make_arguments(schema, given_value if isinstance(given_value, dict) else {})])
