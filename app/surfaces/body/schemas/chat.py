"""The bodies of ``POST chat/completions`` and ``completions`` (OpenAI's API description)."""

from __future__ import annotations

from typing import Any

from app.dialects.shared.faults import Faults, wrong_type
from app.surfaces.body.schemas.base import (
    Array,
    Body,
    Boolean,
    Either,
    Integer,
    ModelBody,
    Number,
    Object,
    String,
)
from app.surfaces.body.schemas.parts import chat_message, metadata, require_string, string, tool, tool_choice

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


class SampledBody(ModelBody):
    """A body with the members that chat, Responses and text completions share."""

    stream = Boolean()
    temperature = Number(least=0, most=2)
    top_p = Number(least=0, most=1)
    frequency_penalty = Number(least=-2, most=2)
    presence_penalty = Number(least=-2, most=2)
    user = String()
    stream_options = Object(check=_stream_options)


class ChoicesBody(Body):
    """The members that only chat and text completions have."""

    logit_bias = Object()
    n = Integer(least=1, most=128)
    stop = Either(String(), Array(each=string, longest=64))
    seed = Integer()


class ToolsBody(SampledBody):
    """A body with the members that chat and Responses share."""

    top_logprobs = Integer(least=0, most=20)
    tools = Array(each=tool, longest=10_000)
    tool_choice = Either(
        String(choices=("none", "auto", "required", "any", "tool")), Object(check=tool_choice)
    )
    parallel_tool_calls = Boolean()
    service_tier = String()
    store = Boolean()
    metadata = Object(check=metadata)


class ChatBody(ToolsBody, ChoicesBody):
    """``POST chat/completions``: the members of the top level; the dialect reads what is deeper."""

    messages = Array(each=chat_message, required=True, longest=MOST_MESSAGES)
    max_tokens = Integer(least=1, most=MOST_TOKENS)
    max_completion_tokens = Integer(least=1, most=MOST_TOKENS)
    top_k = Integer(least=-1)
    logprobs = Boolean()
    response_format = Object(check=require_string("type"))
    reasoning_effort = String(choices=EFFORTS)
    verbosity = String(choices=VERBOSITIES)
    reasoning = Object()
    modalities = Array(each=string)


class CompletionBody(SampledBody, ChoicesBody):
    """``POST completions``: the dialect reads the prompt's arrays."""

    prompt = Either(String(), Array(longest=100_000), required=True)
    max_tokens = Integer(least=0, most=MOST_TOKENS)
    logprobs = Either(Boolean(), Integer(least=0, most=20))
    best_of = Integer(least=0, most=20)
    suffix = String()
    echo = Boolean()
