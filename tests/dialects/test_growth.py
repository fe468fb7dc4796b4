"""Twice the request, twice the work: every dialect, both ways, for each way in which a request can grow.

Work is counted in lines of ``app/`` that run and in bytes of the body that goes out; where all of it is in functions of C, in
seconds of CPU, far more than it takes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from app.dialects import dialect
from app.dialects.gemini.options import VERTEX
from app.dialects.shared.losses import MAX_LOSSES, Losses
from app.dialects.shared.tool_forms import free_text
from app.errors import GatewayError
from tests.dialects import generic

APP = str(Path(__file__).parents[2] / "app")
SERVERS = ("responses", "messages", "gemini", "cohere")
TARGETS = {
    # wire: model, options
    "chat": ("gpt-4o", None),
    "responses": ("gpt-4o", None),
    "messages": ("claude-sonnet-4-5", None),
    "gemini": ("gemini-2.5-flash", None),
    "gemini, reduced schema": ("gemini-2.0-flash", VERTEX),
    "converse": ("amazon.nova-pro-v1:0", None),
    "cohere": ("command-a-03-2025", None),
}
HI = {"role": "user", "content": "hi"}


def _tools(schema: Any, count: int = 1) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"f{i}", "parameters": schema}} for i in range(count)]


def _call(index: int) -> dict[str, Any]:
    function = {"name": "f", "arguments": json.dumps({"a": index})}
    return {"id": f"call_{index}", "type": "function", "function": function}


def _nested(depth: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"in": _nested(depth - 1)} if depth else {}}


GROWTH: dict[str, Callable[[int], dict[str, Any]]] = {
    # way of growing: a chat body of size n
    "unknown members": lambda n: {"messages": [HI], **{f"member_{i}": i for i in range(n)}},
    "members of a message": lambda n: {"messages": [{**HI, **{f"member_{i}": i for i in range(n)}}]},
    "members of parts": lambda n: {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", f"m{i}": i} for i in range(n)]}
        ]
    },
    "messages of one side": lambda n: {"messages": [HI] * n},
    "turns": lambda n: {"messages": [HI, {"role": "assistant", "content": "ho"}] * n + [HI]},
    "system messages": lambda n: {"messages": [HI, {"role": "system", "content": "be brief"}] * n},
    "parts": lambda n: {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * n}]},
    "calls": lambda n: {
        "messages": [HI, {"role": "assistant", "content": None, "tool_calls": [_call(i) for i in range(n)]}]
        + [{"role": "tool", "tool_call_id": f"call_{i}", "content": "4"} for i in reversed(range(n))]
    },
    "calls of one id": lambda n: {
        "messages": [
            message
            for _ in range(n)
            for message in (
                HI,
                {"role": "assistant", "content": None, "tool_calls": [_call(0)]},
                {"role": "tool", "tool_call_id": "call_0", "content": "4"},
            )
        ]
    },
    "tools": lambda n: {"messages": [HI], "tools": _tools({"type": "object"}, n)},
    "members of a schema": lambda n: {
        "messages": [HI],
        "tools": _tools({"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(n)}}),
    },
    "keywords of schemas": lambda n: {
        "messages": [HI],
        "tools": _tools({"type": "object", "properties": {f"p{i}": {f"x-{i}": 1} for i in range(n)}}),
    },
    "references": lambda n: {
        "messages": [HI],
        "tools": _tools(
            {
                "type": "object",
                "$defs": {"d": {"type": "object", "properties": {"a": {"type": "string"}}}},
                "properties": {f"p{i}": {"$ref": "#/$defs/d"} for i in range(n)},
            }
        ),
    },
}
FEW = {"calls": 100, "tools": 60}


def lines_run(work: Callable[[], object]) -> int:
    """Run ``work``; return how many lines of ``app/`` it ran."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if event == "line":
            count += 1
        elif not frame.f_code.co_filename.startswith(APP):
            return None
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


def _translate(body: dict[str, Any], wire: str, server: str = "chat") -> tuple[Any, Losses]:
    """Decode a body of ``server`` and encode it for ``wire``; a refusal is an answer, too."""
    model, options = TARGETS[wire]
    losses = Losses(server, target=model)
    context = generic.client_context(model, options=options, losses=losses)
    try:
        request = dialect(server).decode_request({"model": model, **body}, generic.server_context())
        return dialect(wire.partition(",")[0]).encode_request(request, context).body, losses
    except GatewayError as error:
        return {"error": error.message}, losses


@pytest.mark.parametrize("wire", TARGETS)
@pytest.mark.parametrize("kind", GROWTH)
def test_twice_the_request_costs_twice_the_work(kind, wire):
    size = FEW.get(kind, 200)
    _translate(GROWTH[kind](2), wire)  # what is imported at first use
    once = lines_run(lambda: _translate(GROWTH[kind](size), wire))
    twice = lines_run(lambda: _translate(GROWTH[kind](2 * size), wire))
    assert twice < 2.2 * once + 500


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    "kind", ["unknown members", "turns", "parts", "calls", "tools", "members of a schema"]
)
def test_a_server_half_reads_twice_the_request_for_twice_the_work(kind, server):
    def read(size: int) -> Callable[[], object]:
        body, _ = _translate(GROWTH[kind](size), server)
        assert "error" not in body, body
        return lambda: dialect(server).decode_request({"model": "m", **body}, generic.server_context())

    size = FEW.get(kind, 200)
    read(2)()
    once, twice = lines_run(read(size)), lines_run(read(2 * size))
    assert twice < 2.2 * once + 500


ENDLESS = {
    # texts at which a search that begins again at each quote or blank takes minutes
    "a string without end": "[" * 101 + '\\"' * 60_000,
    "blanks after a string that goes on": '{"input":"' + " " * 60_000 + '"x',
}


@pytest.mark.parametrize("wire", TARGETS)
@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_the_arguments_of_a_call_are_looked_through_once(text, wire):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
    result = {"role": "tool", "tool_call_id": "c", "content": text}
    _translate(GROWTH["calls"](2), wire)
    began = time.thread_time()
    _translate({"messages": [HI, {"role": "assistant", "tool_calls": [call]}, result]}, wire)
    free_text(text)
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("wire", TARGETS)
def test_a_number_of_an_absurd_exponent_is_no_internal_error(wire):
    text = '{"a":1e-99999999999999999999}'
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
    result = {"role": "tool", "tool_call_id": "c", "content": text}
    body, _ = _translate({"messages": [HI, {"role": "assistant", "tool_calls": [call]}, result]}, wire)
    assert "error" not in body


@pytest.mark.parametrize("holder", ["{},", "0,"])
@pytest.mark.parametrize("wire", TARGETS)
def test_json_in_a_text_is_read_up_to_as_many_elements_as_a_body_may_have(wire, holder, monkeypatch):
    """The parser yields to nobody, and a body's own limit counts a text as one element."""
    monkeypatch.setattr("app.dialects.shared.lenient_json.MAX_ELEMENTS", 1_000)
    read = []
    monkeypatch.setattr("json.loads", lambda text, **options: read.append(len(text)) or {})

    for count in (900, 1_100):
        text = f'{{"a":[{holder * count}0]}}'
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
        result = {"role": "tool", "tool_call_id": "c", "content": text}
        _translate({"messages": [HI, {"role": "assistant", "tool_calls": [call]}, result]}, wire)
        free_text(text)
        assert max(read, default=0) < 900 * len(holder) + 100


def _tree(reference: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"left": {"$ref": reference}, "right": {"$ref": reference}}}


def _doubling(steps: int) -> dict[str, Any]:
    """A schema of which each step refers twice to the next."""
    steps_of = {f"d{i}": _tree(f"#/$defs/d{i + 1}") for i in range(steps)}
    return {**_tree("#/$defs/d0"), "$defs": {**steps_of, f"d{steps}": {"type": "string"}}}


def _often(definition: dict[str, Any]) -> dict[str, Any]:
    """A schema of which many properties refer to one definition."""
    properties = {f"p{i}": {"$ref": "#/$defs/d"} for i in range(600)}
    return {"type": "object", "$defs": {"d": definition}, "properties": properties}


EXPLOSIVE = {
    "a binary tree": {**_tree("#")},
    "a tree of definitions": {**_tree("#/$defs/t"), "$defs": {"t": _tree("#/$defs/t")}},
    "two that hold each other": {**_tree("#/$defs/a"), "$defs": {"a": _tree("#/$defs/b"), "b": _tree("#/$defs/a")}},
    "a chain that doubles": _doubling(30),
    "any of itself": {"type": "object", "anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"type": "null"}]},
    "a reference to itself": {"$ref": "#"},
    "a long list referred to often": {
        "type": "object",
        "$defs": {"e": {"enum": [f"value {i}" for i in range(600)]}},
        "properties": {f"p{i}": {"$ref": "#/$defs/e"} for i in range(600)},
    },
    "a large default referred to often": _often({"type": "object", "default": {f"m{i}": "a" for i in range(600)}}),
    "a long name referred to often": _often({"type": "object", "properties": {"n" * 15_000: {"type": "string"}}}),
    "a chain of references": {
        "type": "object",
        "$defs": {f"d{i}": {"properties": {"in": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(600)},
        "properties": {"in": {"$ref": "#/$defs/d0"}},
    },
    "branches that all differ": {
        "anyOf": [{"properties": {"p": {"const": i}}, "required": [f"n{i}"]} for i in range(300)]
    },
    "branches that all refer": {
        "$defs": {"d": {"anyOf": [{"required": [f"n{i}" for i in range(300)]}]}},
        "anyOf": [{"$ref": "#/$defs/d"}] * 600,
    },
    "branches that need much": {
        "anyOf": [{"required": [f"n{i}" for i in order]} for order in (range(1_500), range(1_500, 3_000))]
    },
}  # fmt: skip


@pytest.mark.parametrize("wire", TARGETS)
@pytest.mark.parametrize("schema", EXPLOSIVE.values(), ids=EXPLOSIVE)
def test_a_schema_cannot_grow_without_end(schema, wire):
    body = {"messages": [HI], "tools": _tools(schema, 20), "model": "m"}
    outgoing: list[Any] = []
    lines = lines_run(lambda: outgoing.append(_translate(body, wire)[0]))
    assert lines < 800_000
    assert len(json.dumps(outgoing)) < 8 * len(json.dumps(body)) + 1_200_000


def _namespace(tools: list[dict[str, Any]], about: str) -> dict[str, Any]:
    return {"type": "namespace", "name": "files", "description": about, "tools": tools}


NAMESPACES: dict[str, Callable[[int], dict[str, Any]]] = {
    "names that are one when written legally": lambda n: {
        "tools": [{"type": "function", "name": f"f{chr(0x4E00 + i)}"} for i in range(n)]
    },
    "calls of tools in a namespace": lambda n: {
        "tools": [_namespace([{"type": "function", "name": f"f{i}"} for i in range(n)], "files")],
        "input": [
            {"type": "function_call", "call_id": f"c{i}", "name": f"f{i}", "arguments": "{}"}
            for i in range(n)
        ],
    },
    "choices of one namespace": lambda n: {
        "tools": [_namespace([{"type": "function", "name": f"f{i}"} for i in range(n)], "files")],
        "tool_choice": {"type": "allowed_tools", "tools": [{"type": "namespace", "name": "files"}] * n},
    },
}


@pytest.mark.parametrize("kind", NAMESPACES)
def test_tools_in_namespaces_cost_twice_the_work_for_twice_the_request(kind):
    def read(size: int) -> Callable[[], object]:
        body = {"model": "m", "input": "hi", **NAMESPACES[kind](size)}
        return lambda: dialect("responses").decode_request(body, generic.server_context())

    read(2)()
    once, twice = lines_run(read(200)), lines_run(read(400))
    assert twice < 2.2 * once + 500


def test_a_long_description_of_a_namespace_is_not_written_for_each_of_its_tools():
    tools = [{"type": "function", "name": f"f{i}"} for i in range(400)]
    body = {"model": "m", "input": "hi", "tools": [_namespace(tools, "a" * 1_000_000)]}
    request = dialect("responses").decode_request(body, generic.server_context())
    assert [len(tool.description or "") for tool in request.tools] == [1_000_000] + [0] * 399


def test_a_schema_that_holds_itself_is_written_out_once_and_told():
    body, losses = _translate({"messages": [HI], "tools": _tools(_tree("#"))}, "gemini, reduced schema")
    (function,) = body["tools"][0]["functionDeclarations"]
    once = {"type": "object", "properties": {side: {"type": "object"} for side in ("left", "right")}}
    for side in ("left", "right"):
        member = function["parameters"]["properties"][side]
        assert {name: member[name] for name in once} == once
    assert any("$ref" in loss.message for loss in losses.items)


@pytest.mark.parametrize("wire", TARGETS)
def test_warnings_are_told_up_to_a_number_and_then_counted(wire):
    _, losses = _translate(GROWTH["unknown members"](5_000), wire)
    if losses.items:  # a wire that is sent what it does not know has none
        assert len(losses.items) == MAX_LOSSES + 1
        assert losses.items[-1].message == "and 4900 more"
        assert losses.items[-1].param is None
