"""A template finds the strings of bytes that repeat, and takes nothing else for a repetition."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.wire.json_template import JsonTemplate, template_of

_TEXTS = st.text(st.sampled_from('ab"\\{}:,\n\u2028é\U0001f600 '), max_size=6)


def _body(text: str, padding: str, ascii_only: bool) -> bytes:
    value = {"id": 1, "padding": padding, "delta": {"text": text, "logprobs": None}}
    return json.dumps(value, ensure_ascii=ascii_only).encode()


def _template() -> JsonTemplate:
    template = template_of(_body("some text", "xyz", True), ["some text", "xyz"], ["text", "padding"])
    assert template is not None
    return template


@given(_TEXTS, _TEXTS, st.booleans())
@example('","delta', "", True)
@example("\\", '", "x": "', False)
def test_strings_are_found_however_they_are_written(text: str, padding: str, ascii_only: bool) -> None:
    found = _template().rows(_body(text, padding, ascii_only))
    assert found in (None, [[text, padding]])
    assert found is not None or '"' in text + padding or "\U0001f600" in text + padding
    again = _template().filled([text, padding])
    assert json.loads(again) == json.loads(_body(text, padding, ascii_only))


@given(st.integers(0, 10**15 - 1), _TEXTS)
def test_numbers_are_found_where_their_member_is(number: int, text: str) -> None:
    data = b'{"at": 7, "text": "some text", "part": 17, "number": 7, "last": 7}'
    template = template_of(data, ["some text", 7], ["text", "number"])
    assert template is not None
    again = template.filled([text, number])
    assert json.loads(again) == {"at": 7, "text": text, "part": 17, "number": number, "last": 7}
    assert template.rows(again) == [[text, number]]


@pytest.mark.parametrize(
    "written", ["07", "-7", "7.0", "7e1", '"7"', "", "null", "1" * 16, "7, 8", "+7", "٧"]
)
def test_a_number_that_is_not_plain_is_none(written: str) -> None:
    template = template_of(b'{"number": 7, "text": "one"}', ["one", 7], ["text", "number"])
    assert template is not None
    assert template.rows(f'{{"number": {written}, "text": "one"}}'.encode()) is None


@pytest.mark.parametrize(
    "data", [b'{"number": 7, "in": {"number": 7}}', b'{"number": 70}', b'{"number": 7.5}']
)
def test_a_number_that_stands_elsewhere_makes_no_template(data: bytes) -> None:
    assert template_of(data, [7], ["number"]) is None


@given(st.lists(st.sampled_from([b'"', b"\\", b"a", b",", b'"delta": ', b"\n", b"\xff", b'", "x": "'])))
def test_what_is_found_is_what_all_of_the_bytes_say(pieces: list[bytes]) -> None:
    template = template_of(b'{"id": 1, "text": "one"}', ["one"], ["text"])
    assert template is not None
    data = b'{"id": 1, "text": "%b"}' % b"".join(pieces)
    found = template.rows(data)
    if found is not None:
        assert json.loads(data) == {"id": 1, "text": found[0][0]}


@given(st.lists(st.tuples(_TEXTS, _TEXTS), min_size=1, max_size=4))
def test_bodies_that_repeat_in_a_row_are_found_one_by_one(rows: list[tuple[str, str]]) -> None:
    template = template_of(
        _body("some text", "xyz", True) + b"\n\n", ["some text", "xyz"], ["text", "padding"]
    )
    assert template is not None
    bodies = [_body(text, padding, True) + b"\n\n" for text, padding in rows]
    one_by_one = [template.rows(body) for body in bodies]
    found = template.rows(b"".join(bodies))
    assert found == (None if None in one_by_one else [row for rows in one_by_one if rows for row in rows])


@pytest.mark.parametrize("data", [b'{"a": 1}', b"", b'{"id": 1, "text": "one"', b'{"id": 2, "text": "one"}'])
def test_other_bytes_are_no_repetition(data: bytes) -> None:
    template = template_of(b'{"id": 1, "text": "one"}', ["one"], ["text"])
    assert template is not None
    assert template.rows(data) is None


def test_half_a_character_is_left_to_those_who_join_them() -> None:
    template = template_of(b'{"text": "one"}', ["one"], ["text"])
    assert template is not None
    assert template.rows(b'{"text": "\\ud83d"}') is None


@pytest.mark.parametrize("data", [b'{"id": "one", "text": "one"}', b'{"text": "\\u006fne"}'])
def test_a_string_whose_place_is_not_plain_makes_no_template(data: bytes) -> None:
    assert template_of(data, ["one"], ["text"]) is None
