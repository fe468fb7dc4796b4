"""JSON at the edge: what clients may not send, what upstreams may, what goes out."""

from __future__ import annotations

import json as stdlib
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import GatewayError
from app.wire import json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def refusal(data: bytes) -> str:
    with pytest.raises(GatewayError) as caught:
        json.loads(data)
    assert (caught.value.kind.name, caught.value.status) == ("bad_request", 400)
    return caught.value.message


NOT_JSON = {
    "empty": b"",
    "cut": b'{"model":',
    "two values": b"{} {}",
    "NaN": b'{"t":NaN}',
    "Infinity": b'{"t":Infinity}',
    "minus Infinity": b'{"t":-Infinity}',
    "infinite number": b'{"t":1e999}',
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without BOM": '{"a":1}'.encode("utf-16-le"),
    "Latin-1": '{"a":"é"}'.encode("latin-1"),
    "lone surrogate": b'{"a":"\\ud800"}',
    "lone low surrogate": b'{"a":"\\udc00 x"}',
    "surrogates in bytes": b'{"a":"\xed\xa0\x80"}',
    "trailing comma": b"[1,]",
    "single quotes": b"{'a':1}",
    "control character": b'{"a":"\x01"}',
}


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_no_json_is_a_bad_request(data: bytes) -> None:
    assert "The body is not" in refusal(data)


@pytest.mark.parametrize(
    "digits",
    [str(2**63), str(-(2**63)), str(2**64), "-1" + "0" * 19, "1" + "0" * 300, "1" + "0" * 5000],
    ids=len,
)
def test_a_whole_number_past_64_bits_is_refused(digits: str) -> None:
    message = refusal(b'{"seed": %b}' % digits.encode())
    assert "an integer outside" in message or "not valid JSON" in message


@pytest.mark.parametrize(
    "text", ["9223372036854775807", "-9223372036854775807", "0.12345678901234567890123", "1e300"]
)
def test_a_number_within_range_is_taken(text: str) -> None:
    assert json.loads(text.encode()) == stdlib.loads(text)


def test_depth_100_is_taken_and_101_refused() -> None:
    assert json.loads(b"[" * 100 + b"]" * 100) is not None
    for opener, closer in ((b"[", b"]"), (b'{"a":', b"}")):
        assert refusal(opener * 101 + b"1" + closer * 101) == "The JSON is nested deeper than 100 levels."
    assert "nested deeper" in refusal(b"[" * 100_000 + b"]" * 100_000)
    assert "nested deeper" in refusal(b"[" * 100_000)


@settings(max_examples=200)
@given(
    st.integers(98, 103), st.integers(0, 3), VALUES, st.sampled_from(["", "[", "}", '\\"[']), st.booleans()
)
def test_the_depth_of_a_small_body_is_found_as_that_of_a_large_one(
    depth: int, place: int, other: Any, text: str, is_cut: bool
) -> None:
    nested: Any = text
    for level in range(depth):
        nested = [nested, other] if level % 4 == place else {"a": text, "b": nested}
    data = stdlib.dumps(nested).encode()
    data = data[:-1] if is_cut else data
    with pytest.MonkeyPatch.context() as patch:
        outcomes = []
        for size in (json.MAX_WALKED, 0):
            patch.setattr(json, "MAX_WALKED", size)
            try:
                outcomes.append(repr(json.loads(data)))
            except GatewayError as error:
                outcomes.append(error.message)
    assert outcomes[0] == outcomes[1]
    assert depth <= 100 or "nested deeper" in outcomes[0]


@pytest.mark.parametrize(
    "text",
    ["[" * 500, '\\"[' * 500, "\\\\" * 3, '\\\\\\"' + "{" * 300, "{}[]," * 200, '\\\\","b":"' + "[" * 500],
)
def test_brackets_within_strings_have_no_depth(text: str) -> None:
    data = b'{"input":"%b","deep":[[1]]}' % text.encode()
    assert json.loads(data) == stdlib.loads(data)


def test_a_million_members_are_refused_at_once() -> None:
    data = b"{" + b",".join(b'"k%d":0' % number for number in range(10**6)) + b"}"
    started = time.process_time()
    assert refusal(data) == "The JSON has more than 500000 members and elements."
    assert time.process_time() - started < 1


def test_a_long_list_of_token_numbers_is_taken() -> None:
    data = stdlib.dumps({"model": "m", "input": list(range(300_000))}).encode()
    assert len(json.loads(data)["input"]) == 300_000


TWICE = [
    b'{"model":"a","model":"b"}',
    b'{"stream":true,"x":{"y":[1]},"stream":false}',
    b'{ "input" : 1 , "input" : 2 }',
    b'{"messages":[],"messages":[]}',
    b'{"model":"a","\\u006dodel":"b"}',
    b'{"\\u006d\\u006f\\u0064\\u0065\\u006c":"a","model":"b"}',
    b'{"model":"a","x":"\\u003a","model":"b"}',
    b'{"model":"a","model":"b","y":"\\u003A\\u003a"}',
    b'{"a\\u003ab":1,"model":"a","model":"b"}',
]


@pytest.mark.parametrize("data", TWICE)
@pytest.mark.parametrize("copied", [True, False])
def test_a_governing_member_may_stand_once(
    data: bytes, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not copied:  # as if it were a large body
        monkeypatch.setattr(json, "MAX_COPY", 0)
    assert "appears more than once" in refusal(data)


ONCE = [
    b'{"tools":[{"input":1},{"input":2}],"input":"x","model":"m"}',
    b'{"a":1,"a":2,"model":"m"}',
    b'{"model":"m","x":{"model":1,"model":2}}',
    b'{"say \\"model":1,"model":"m","text":"\\"model\\":\\"x\\",\\"model\\":"}',
    b'{"model":"a \\u003a b","Model":"x"}',
    b'["model","model"]',
]


@pytest.mark.parametrize("data", ONCE)
@pytest.mark.parametrize("copied", [True, False])
def test_other_repeats_are_none_of_our_business(
    data: bytes, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not copied:
        monkeypatch.setattr(json, "MAX_COPY", 0)
    assert json.loads(data) == stdlib.loads(data)


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
@settings(max_examples=100)
def test_what_the_standard_library_writes_is_read_back(value: Any, ascii: bool, indent: int | None) -> None:
    data = stdlib.dumps(value, ensure_ascii=ascii, indent=indent, allow_nan=False).encode(
        "utf-8", "surrogatepass"
    )
    assert json.loads(data) == json.loads_lenient(data) == stdlib.loads(data)


@given(VALUES)
@settings(max_examples=100)
def test_what_we_write_is_read_back(value: Any) -> None:
    for written in (json.dumps(value), json.dumps_ascii(value)):
        assert json.loads(written) == value


@given(st.text() | st.sampled_from(["a\u2028b\u2029", "x\x85y", "\r\n", "\x0b\x0c\x1c\x1d\x1e"]))
@settings(max_examples=100)
def test_a_line_of_a_stream_stays_one_line(text: str) -> None:
    assert len(json.dumps_ascii({"delta": text}).decode().splitlines()) == 1


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_any_bytes_give_a_value_or_a_bad_request(data: bytes) -> None:
    assert kind_of_fault(json.loads, data) in (None, "bad_request")
    assert kind_of_fault(json.loads_lenient, data) in (None, "InvalidJSON")


def kind_of_fault(load: Callable[[bytes], Any], data: bytes) -> str | None:
    try:
        load(data)
    except GatewayError as error:
        return error.kind.name
    except ValueError as error:
        return type(error).__name__
    return None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xef\xbb\xbf {} ", {}),
        (b'{"a":NaN,"b":[-Infinity,1e999]}', {"a": None, "b": [None, None]}),
        (b'{"a":"x\\ud800","\\udc00":1}', {"a": "x\ufffd", "\ufffd": 1}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_an_upstream_is_forgiven(data: bytes, value: Any) -> None:
    assert json.loads_lenient(data) == json.loads(data, strict=False) == value


def test_an_upstream_may_count_without_bound() -> None:
    assert json.loads_lenient(b'{"n":18446744073709551616}')["n"] == pytest.approx(2**64)


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b'{"a":"\xff"}', b"{", b"[" * 401 + b"]" * 401, b"[" * 100_000]
)
def test_an_upstream_is_not_forgiven_everything(data: bytes) -> None:
    with pytest.raises(json.InvalidJSON):
        json.loads_lenient(data)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_without_json_form_is_an_error_and_not_null(number: float) -> None:
    for value in (number, [1, {"a": number, "b": None}], (number,)):
        with pytest.raises(ValueError):
            json.dumps(value)


def test_what_goes_out_is_compact_utf8() -> None:
    value = {"a": None, "é": [1, 1.5, True, "\u2028"], "big": 10**30}
    assert (
        json.dumps(value)
        == '{"a":null,"é":[1,1.5,true,"\u2028"],"big":1000000000000000000000000000000}'.encode()
    )
    assert json.dumps("lone \ud800") == '"lone \ufffd"'.encode()


def test_what_has_no_json_form_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        json.dumps({"a": b"bytes"})


def test_a_providers_answer_has_bounds_too() -> None:
    most = json.MAX_HOLDERS_LENIENT
    assert len(json.loads_lenient(b"[" + b"{}," * (most - 2) + b"{}]")) == most - 1
    assert json.loads_lenient(b'["' + b"[" * (most + 1) + b'"]') == ["[" * (most + 1)]
    with pytest.raises(json.InvalidJSON, match="objects and arrays"):
        json.loads_lenient(b"[" + b"{}," * most + b"{}]")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"[" + b"1," * json.MAX_ELEMENTS_LENIENT + b"1]", "elements"),
        (b"[" + b'"",' * json.MAX_STRINGS_LENIENT + b'""]', "strings"),
        (b"{" + b'"" :1,' * json.MAX_MEMBERS_LENIENT + b'"":1}', "members"),
    ],
    ids=["numbers", "strings", "members"],
)
def test_a_providers_answer_of_too_many_values_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(json.InvalidJSON, match=what):
        json.loads_lenient(data)


def test_log_probabilities_of_many_tokens_are_not_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOLDERS", "MEMBERS", "STRINGS", "ELEMENTS"):
        monkeypatch.setattr(json, f"MAX_{name}_LENIENT", 1_000)
    entry = {"token": "a", "logprob": -12.345671653747559, "bytes": [97]}
    tokens = [{**entry, "top_logprobs": [entry] * 20}] * 50
    assert json.loads_lenient(stdlib.dumps(tokens, separators=(",", ":")).encode()) == tokens
    for short, what in ((b"[],", "objects"), (b"1,", "elements"), (b'"",', "strings")):
        with pytest.raises(json.InvalidJSON, match=what):
            json.loads_lenient(b"[" + short * 20_000 + b"1]")
    with pytest.raises(json.InvalidJSON, match="members"):
        json.loads_lenient(b"{" + b'"abcdef":1.2,' * 20_000 + b'"":1}')


def test_what_stands_in_a_providers_strings_counts_for_nothing() -> None:
    text = ",[{" * json.MAX_ELEMENTS_LENIENT
    assert json.loads_lenient(stdlib.dumps([text]).encode()) == [text]
    quotes = '":' * (2 * json.MAX_STRINGS_LENIENT + 1)
    assert json.loads_lenient(stdlib.dumps([quotes]).encode()) == [quotes]


@pytest.mark.parametrize("short", [b"1,", b'"":1,'])
def test_a_body_of_too_many_elements_of_any_kind_is_refused(short: bytes) -> None:
    opening, end = (b"{", b'"":1}') if b":" in short else (b"[", b"1]")
    json.loads(opening + short * (json.MAX_ELEMENTS - 10) + end)
    with pytest.raises(GatewayError, match="500000 members and elements"):
        json.loads(opening + short * (json.MAX_ELEMENTS + 10) + end)


def test_a_body_of_too_many_strings_is_refused_before_its_structure_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []
    monkeypatch.setattr(json, "structure_of", lambda data: looked.append(len(data)) or b"")
    with pytest.raises(GatewayError, match="members and elements"):
        json.loads(b"{" + b'"a":"b",' * 2 * json.MAX_ELEMENTS + b'"a":"b"}')
    assert looked == []
    text = '"' * 6 * json.MAX_ELEMENTS  # in a string they are none
    assert json.loads(stdlib.dumps([text, ["[]" * 100]]).encode()) == [text, ["[]" * 100]]
    assert looked != []
