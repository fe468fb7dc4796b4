"""An answer that is taken for plain text is decoded to just what the whole reading of it makes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.dialects.chat import response_in
from app.errors import GatewayError
from tests.dialects import generic

_NOTHING = st.sampled_from([None, None, "", [], {}, 0, False])
_MESSAGES = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": st.sampled_from(["a", "a", "[1] b", "", None, [{"text": "x"}]]),
    },
    optional={
        "refusal": _NOTHING | st.just("no"),
        "annotations": _NOTHING | st.just([{"type": "url_citation", "url_citation": {"url": "u"}}]),
        "tool_calls": _NOTHING | st.just([{"id": "c", "function": {"name": "f", "arguments": "{}"}}]),
        "function_call": _NOTHING | st.just({"name": "f"}),
        "reasoning": _NOTHING | st.just("t"),
        "reasoning_content": _NOTHING | st.just("t"),
        "reasoning_details": _NOTHING | st.just([{"type": "reasoning.text", "text": "t"}]),
        "extra_content": _NOTHING | st.just({"google": {"thought_signature": "s"}}),
        "thought_signature": _NOTHING | st.just("s"),
        "audio": _NOTHING | st.just({"id": "a", "data": "AA"}),
        "images": _NOTHING | st.just([{"image_url": {"url": "data:image/png;base64,AA"}}]),
        "x_more": _NOTHING,
    },
)
_CHOICES = st.fixed_dictionaries(
    {"message": _MESSAGES},
    optional={
        "index": st.sampled_from([0, 1, None, "x"]),
        "finish_reason": st.sampled_from(["stop", "length", "error", "abort", "new", None, {}]),
        "logprobs": _NOTHING | st.just({"content": [{"token": "a", "logprob": -1.0}]}),
        "matched_stop": st.just("###"),
        "error": st.just({"message": "bad"}),
    },
)
_BODIES = st.fixed_dictionaries(
    {"choices": st.lists(_CHOICES, min_size=1, max_size=1) | st.lists(_CHOICES, max_size=2) | st.none()},
    optional={
        "id": st.sampled_from(["c", "", None]),
        "object": st.sampled_from(["chat.completion", "error"]),
        "created": st.sampled_from([1, None, -1]),
        "usage": st.sampled_from([None, {}, {"prompt_tokens": 1, "completion_tokens": 2}, 3]),
        "service_tier": st.sampled_from(["default", None]),
        "system_fingerprint": st.sampled_from(["fp", None, ""]),
        "citations": st.just(["https://a.example"]),
        "x_groq": st.just({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
        "error": st.sampled_from([None, {"message": "bad"}]),
    },
)
_PLAIN = {"choices": [{"message": {"role": "assistant", "content": "a", "refusal": None, "annotations": []}}]}


def _decoded(body: Any) -> str:
    try:
        return repr(response_in.decode_response(body, generic.client_context()))
    except GatewayError as error:
        return repr(error)


@settings(max_examples=400)
@given(_BODIES)
@example(_PLAIN)
@example({**_PLAIN, "system_fingerprint": "fp", "service_tier": "flex"})
def test_plain_answers_are_read_as_if_they_were_none(body: dict[str, Any]) -> None:
    quick = _decoded(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(response_in, "_plain_text", lambda members: None)
        assert _decoded(body) == quick


def test_an_answer_of_text_alone_is_plain() -> None:
    assert response_in._plain_text(_PLAIN) is not None
