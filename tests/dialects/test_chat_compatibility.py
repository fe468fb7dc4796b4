"""A chat body that passes: what the target lacks is mapped or told, all else stays as it came."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dialects.chat.compatibility import fit
from app.dialects.chat.options import ChatOptions
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from app.providers import chat_rows

HI = [{"role": "user", "content": "hi"}]
FUNCTION = {"name": "sum", "parameters": {"type": "object"}}
NESTED = {"type": "function", "function": FUNCTION}


def fitted(options: Any = chat_rows.OPENAI, **members: Any) -> tuple[dict[str, Any], list[str]]:
    losses = Losses("chat", target="here")
    body = fit({"messages": HI, **members}, options, losses)
    return {name: value for name, value in body.items() if value != HI}, [loss.param for loss in losses.items]


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "its own members stay": ({"seed": 1, "store": True}, {"seed": 1, "store": True}, []),
    "a member that no API defines stays": ({"x_new": [1]}, {"x_new": [1]}, []),
    "a null of another API asks for nothing": ({"top_k": None}, {}, []),
    "another API's member is told": (
        {"top_k": 3, "thinking": {"type": "enabled"}},
        {},
        ["top_k", "thinking"],
    ),
    "reasoning becomes an effort": ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}, []),
    "a budget becomes an effort": (
        {"reasoning": {"max_tokens": 1000}, "max_tokens": 8000},
        {"max_tokens": 8000, "reasoning_effort": "low"},
        ["reasoning.max_tokens"],
    ),
    "the client's own effort wins": (
        {"reasoning": {"effort": "low", "exclude": True}, "reasoning_effort": "high"},
        {"reasoning_effort": "high"},
        ["reasoning.exclude"],
    ),
    "flat tools are nested": ({"tools": [{"type": "function", **FUNCTION}]}, {"tools": [NESTED]}, []),
    "a function tool has its type": ({"tools": [{"function": FUNCTION}]}, {"tools": [NESTED]}, []),
    "cache marks on tools are told": (
        {"tools": [{**NESTED, "cache_control": {"type": "ephemeral"}}]},
        {"tools": [NESTED]},
        ["cache_control"],
    ),
    "a hosted tool is told, and nothing is offered without tools": (
        {"tools": [{"type": "web_search"}], "tool_choice": "auto", "parallel_tool_calls": True},
        {},
        ["tools"],
    ),
    "any is required": (
        {"tools": [NESTED], "tool_choice": "any"},
        {"tools": [NESTED], "tool_choice": "required"},
        [],
    ),
    "a flat choice is nested": (
        {"tool_choice": {"type": "tool", "name": "sum"}},
        {"tool_choice": {"type": "function", "function": {"name": "sum"}}},
        [],
    ),
    "one choice is what all give": ({"n": 1}, {"n": 1}, []),
}


@pytest.mark.parametrize("case", CASES)
def test_members(case: str) -> None:
    given, sent, told = CASES[case]
    assert fitted(**given) == (sent, told)


def test_a_forced_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(GatewayError, match="cannot be made to call"):
        fitted(tools=[{"type": "web_search"}], tool_choice="required")


def test_earlier_thoughts_go_only_where_they_are_read() -> None:
    thought = {"role": "assistant", "content": "a", "reasoning": "t", "reasoning_details": [{"type": "x"}]}
    plain, told = fitted(messages=[thought])
    assert (plain["messages"], told) == ([{"role": "assistant", "content": "a"}], ["messages"])
    assert fitted(chat_rows.OPENROUTER, messages=[thought]) == ({"messages": [thought]}, [])


def test_marks_on_parts_and_calls_go_only_where_they_are_read() -> None:
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    call = {"id": "c", "type": "function", "function": {}, "extra_content": {"google": {}}}
    message = {"role": "assistant", "content": [part], "tool_calls": [call]}
    sent, told = fitted(messages=[message])
    assert sent["messages"] == [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}],
            "tool_calls": [{"id": "c", "type": "function", "function": {}}],
        }
    ]
    assert told == ["cache_control", "messages"]


def test_several_choices_are_refused_where_there_is_one() -> None:
    with pytest.raises(GatewayError, match="'n'"):
        fitted(chat_rows.OPENROUTER, n=2)


_CALLS = st.lists(
    st.sampled_from([{"id": "c", "type": "function"}, {"id": "d", "extra_content": {"google": 1}}, "odd"]),
    max_size=2,
)
_MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"])},
    optional={
        "content": st.sampled_from(["a", None, [], [{"type": "text", "text": "a", "cache_control": {}}]]),
        "tool_calls": _CALLS | st.none() | st.just("odd"),
        "name": st.just("n"),
        "reasoning": st.just("t"),
        "annotations": st.just([{}]),
        "cache_control": st.just({"type": "ephemeral"}),
    },
)


@pytest.mark.parametrize(
    "options", [chat_rows.OPENAI, chat_rows.OPENROUTER, ChatOptions()], ids=["OpenAI", "OpenRouter", "none"]
)
@given(messages=st.lists(_MESSAGES, max_size=3))
def test_messages_that_need_nothing_fit_as_any_other(options: ChatOptions, messages: list[Any]) -> None:
    quick = fitted(options, messages=messages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.dialects.chat.compatibility._is_plain", lambda message: False)
        assert fitted(options, messages=messages) == quick
