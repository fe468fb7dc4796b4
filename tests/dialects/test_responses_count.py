"""Counting a prompt's tokens by the Responses wire: the recorded bodies and answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.dialects.base import ClientContext, ServerContext
from app.dialects.responses.dialect import DIALECT
from app.errors import GatewayError


def test_the_recorded_counts_are_asked_for_and_read_alike(shared_dir: Path) -> None:
    files = sorted((shared_dir / "traffic" / "openai" / "count_tokens").glob("*.json"))
    assert len(files) >= 2
    for file in files:
        exchange = json.loads(file.read_text())
        body = exchange["request"]["body"]
        request = DIALECT.decode_request(body, ServerContext(str, 0))
        encoded = DIALECT.encode_count(request, ClientContext(body["model"], str, 0))
        assert set(encoded.body) == set(body)
        assert encoded.body["model"] == body["model"]
        said = [(m.role, [part.text for part in m.parts]) for m in request.messages]
        again = DIALECT.decode_request(encoded.body, ServerContext(str, 0))
        assert [(m.role, [part.text for part in m.parts]) for m in again.messages] == said
        assert (
            DIALECT.decode_count(exchange["response"]["body"]) == exchange["response"]["body"]["input_tokens"]
        )


def test_only_members_of_the_counter_are_sent() -> None:
    body = {
        "model": "gpt-4o",
        "input": "hi",
        "instructions": "be brief",
        "temperature": 0.5,
        "max_output_tokens": 20,
        "stream": True,
        "metadata": {"a": "b"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    }
    request = DIALECT.decode_request(body, ServerContext(str, 0))
    sent = DIALECT.encode_count(request, ClientContext("gpt-4o", str, 0)).body
    assert set(sent) == {"model", "input", "instructions", "tools"}


@pytest.mark.parametrize("body", [{}, {"input_tokens": None}, {"input_tokens": -1}, [], None])
def test_an_answer_without_a_count_is_invalid(body: object) -> None:
    with pytest.raises(GatewayError) as caught:
        DIALECT.decode_count(body)
    assert caught.value.kind.name == "upstream_invalid"
