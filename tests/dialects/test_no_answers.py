"""Bodies of status 200 that are no answer of their wire: every decoder refuses them as the provider's fault."""

from __future__ import annotations

from typing import Any

import pytest

from app.dialects import dialect_of
from app.dialects.base import Row
from app.errors import GatewayError
from tests.dialects import generic

ANYWHERE: tuple[Any, ...] = (None, [], 5, "text", {})
NO_ANSWERS: dict[str, tuple[Any, ...]] = {
    "chat": ({"choices": None}, {"choices": [None, 3]}),
    "completions": ({"choices": None}, {"choices": [None, 3]}),
    "cohere": ({"message": 3}, {"message": "Unauthorized"}),
    "converse": ({"output": 3}, {"output": {"message": {"content": "x"}}}),
    "gemini": ({"candidates": None}, {"candidates": []}, {"candidates": [{}]}, {"candidates": [None, 3]}),
    "messages": ({"content": None}, {"content": "x"}, {"content": 3}),
}


@pytest.mark.parametrize(
    ("wire", "body"), [(wire, body) for wire, bodies in NO_ANSWERS.items() for body in (*ANYWHERE, *bodies)]
)
def test_what_is_no_answer_is_refused(wire: str, body: Any) -> None:
    row: Any = dialect_of(Row, wire)
    with pytest.raises(GatewayError) as caught:
        row.decode_response(body, generic.client_context())
    assert caught.value.kind.name == "upstream_invalid"
