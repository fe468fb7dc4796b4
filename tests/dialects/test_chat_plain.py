"""An answer that is taken for plain text is decoded to just what the whole reading of it makes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.dialects.chat import response_in
from app.dialects.chat import usage as chat_usage
from app.dialects.shared import usage_repair
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


_COUNTS = st.sampled_from([0, 1, 2, 3, 5, None, -1, True, 1.0, 2.5, "2", 2**53, 2**53 + 1, {}])
_DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens", "note"]),
    _COUNTS,
    max_size=3,
)
_USAGES = st.fixed_dictionaries(
    {"prompt_tokens": _COUNTS, "completion_tokens": _COUNTS, "total_tokens": _COUNTS},
    optional={
        "prompt_tokens_details": _DETAILS,
        "completion_tokens_details": _DETAILS,
        "cached_tokens": _COUNTS,
        "reasoning_tokens": _COUNTS,
        "cost": st.sampled_from([0.1, None]),
        "queue_time": st.just(0.1),
    },
)


@settings(max_examples=1000)
@given(_USAGES)
@example({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
@example(
    {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 1, "audio_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
    }
)
def test_plain_counts_are_read_as_if_they_were_none(usage: dict[str, Any]) -> None:
    quick = repr(chat_usage.decode_usage(usage)), usage_repair.is_valid(usage)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_usage, "has_plain_counts", lambda usage: False)
        patch.setattr(usage_repair, "has_plain_counts", lambda usage: False)
        assert (repr(chat_usage.decode_usage(usage)), usage_repair.is_valid(usage)) == quick


def test_the_apis_own_counts_are_plain() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert chat_usage.has_plain_counts({**usage, "prompt_tokens_details": {"cached_tokens": 1}})
    assert not chat_usage.has_plain_counts({**usage, "total_tokens": 6})


def test_an_answer_of_text_alone_is_plain() -> None:
    assert response_in._plain_text(_PLAIN) is not None
