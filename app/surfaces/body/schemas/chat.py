"""The body of ``POST chat/completions``, and what it shares with others (page 003 and OpenAI's description)."""

from __future__ import annotations

from typing import Any

from app.dialects.shared.faults import Faults, missing, wrong_type
from app.surfaces.body.schemas.base import (
    Array,
    Body,
    Either,
    Flag,
    ModelBody,
    Number,
    Table,
    Text,
    Whole,
)
from app.surfaces.body.schemas.parts import chat_message, metadata, string, tool, tool_choice

MOST_TOKENS = 2**31 - 1
MOST_MESSAGES = 20_000  # more take a second to read
VERBOSITIES = ("low", "medium", "high")
EFFORTS = ("none", "default", "minimal", "low", "medium", "high", "xhigh", "max")
"""OpenAI's, and ``default``, with which Groq's clients ask for the model's own."""
_STREAM_OPTIONS = ("include_usage", "include_obfuscation")


def _stream_options(value: dict[str, Any]) -> Faults:
    wrong = {
        name: value.get(name) for name in _STREAM_OPTIONS if not isinstance(value.get(name), bool | None)
    }
    return {name: [wrong_type("a boolean", option)] for name, option in wrong.items()} or None


def _format(value: dict[str, Any]) -> Faults:
    return None if isinstance(value.get("type"), str) else missing("type")


class SampledBody(ModelBody):
    """A body with the members that chat, Responses and text completions share."""

    stream = Flag()
    temperature = Number(least=0, most=2)
    top_p = Number(least=0, most=1)
    frequency_penalty = Number(least=-2, most=2)
    presence_penalty = Number(least=-2, most=2)
    user = Text()
    stream_options = Table(check=_stream_options)


class ChoicesBody(Body):
    """The members that only chat and text completions have."""

    logit_bias = Table()
    n = Whole(least=1, most=128)
    stop = Either(Text(), Array(each=string, longest=64))
    seed = Whole()


class ToolsBody(SampledBody):
    """A body with the members that chat and Responses share."""

    top_logprobs = Whole(least=0, most=20)
    tools = Array(each=tool, longest=10_000)
    tool_choice = Either(Text(choices=("none", "auto", "required", "any", "tool")), Table(check=tool_choice))
    parallel_tool_calls = Flag()
    service_tier = Text()
    store = Flag()
    metadata = Table(check=metadata)


class ChatBody(ToolsBody, ChoicesBody):
    """``POST chat/completions``: the members of the top level; the dialect reads what is deeper."""

    messages = Array(each=chat_message, required=True, longest=MOST_MESSAGES)
    max_tokens = Whole(least=1, most=MOST_TOKENS)
    max_completion_tokens = Whole(least=1, most=MOST_TOKENS)
    top_k = Whole(least=-1)
    logprobs = Flag()
    response_format = Table(check=_format)
    reasoning_effort = Text(choices=EFFORTS)
    verbosity = Text(choices=VERBOSITIES)
    reasoning = Table()
    modalities = Array(each=string)
