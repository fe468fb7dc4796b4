"""The quick look at a body and marshmallow's schema say the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema

from app.surfaces.body.schemas import schemas as all_schemas
from app.surfaces.body.schemas.base import Strict

SCHEMAS = all_schemas()
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 200)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-3, max_value=200)
    | st.sampled_from(
        ["", "auto", "none", "medium", "user", "tool", "text", "function", "json_schema", "mp3", "x" * 70]
    )
)
_NAMES = st.sampled_from(
    ["role", "content", "type", "text", "id", "name", "function", "parameters", "call_id", "output"]
    + [
        "tool_calls",
        "tool_call_id",
        "image_url",
        "url",
        "arguments",
        "format",
        "schema",
        "effort",
        "max_tokens",
    ]
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=8,
)
_SOUND = {
    "model": "openai/gpt-4o-mini",
    "messages": [{"role": "user", "content": "hello"}],
    "input": "hello",
    "temperature": 1,
    "metadata": {"a": "b"},
    "items": [],
}


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=50)
@given(data=st.data())
def test_a_body_is_taken_just_when_the_schema_finds_no_fault(name, data):
    schema = SCHEMAS[name]
    names = st.sampled_from([*schema.load_fields, "unknown_member"])
    changed = data.draw(st.dictionaries(names, _VALUES, max_size=4))
    left_out = data.draw(st.sets(st.sampled_from(sorted(_SOUND)), max_size=2))
    body = {**{n: v for n, v in _SOUND.items() if n not in left_out}, **changed}
    assert schema.accepts(body) == (not Schema.validate(schema, body))


@pytest.mark.parametrize("name", SCHEMAS)
def test_nothing_in_a_schema_is_hidden_from_the_quick_look(name):
    schema = SCHEMAS[name]
    assert all(isinstance(field, Strict) and not field.validators for field in schema.load_fields.values())
    assert not any(schema._hooks.values())
    assert {field.data_key for field in schema.load_fields.values()} == {None}
