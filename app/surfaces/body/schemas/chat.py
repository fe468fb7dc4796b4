"""The body of ``POST chat/completions`` (page 003 and OpenAI's description)."""

from __future__ import annotations

from typing import Any

from app.dialects.shared.faults import Faults, missing, wrong_type
from app.surfaces.body.schemas.base import Array, Body, Either, Flag, Number, Table, Text, Whole
from app.surfaces.body.schemas.parts import chat_message, metadata, string, tool, tool_choice

MOST_TOKENS = 2**31 - 1
MOST_MESSAGES = 20_000  # more take a second to read
VERBOSITIES = ("low", "medium", "high")
EFFORTS = ("none", "default", "minimal", "low", "medium", "high", "xhigh", "max")
"""OpenAI's, and Groq's word for not saying any."""


def stream_options(value: dict[str, Any]) -> Faults:
    """Return the faults of what a stream is to tell: all its members are booleans."""
    wrong = {
        name: value.get(name) for name in _STREAM_OPTIONS if not isinstance(value.get(name), bool | None)
    }
    return {name: [wrong_type("a boolean", held)] for name, held in wrong.items()} or None


_STREAM_OPTIONS = ("include_usage", "include_obfuscation")


def _format(value: dict[str, Any]) -> Faults:
    return None if isinstance(value.get("type"), str) else missing("type")


class ChatBody(Body):
    """Shape and limits of the top level; what is deeper is read by the dialect."""

    model = Text(longest=512)
    messages = Array(each=chat_message, required=True, longest=MOST_MESSAGES)
    stream = Flag()
    max_tokens = Whole(least=1, most=MOST_TOKENS)
    max_completion_tokens = Whole(least=1, most=MOST_TOKENS)
    temperature = Number(least=0, most=2)
    top_p = Number(least=0, most=1)
    top_k = Whole(least=-1)
    frequency_penalty = Number(least=-2, most=2)
    presence_penalty = Number(least=-2, most=2)
    logit_bias = Table()
    logprobs = Flag()
    top_logprobs = Whole(least=0, most=20)
    n = Whole(least=1, most=128)
    stop = Either(Text(), Array(each=string, longest=64))
    seed = Whole()
    user = Text()
    tools = Array(each=tool, longest=10_000)
    tool_choice = Either(Text(choices=("none", "auto", "required", "any", "tool")), Table(check=tool_choice))
    parallel_tool_calls = Flag()
    response_format = Table(check=_format)
    reasoning_effort = Text(choices=EFFORTS)
    verbosity = Text(choices=VERBOSITIES)
    reasoning = Table()
    service_tier = Text()
    stream_options = Table(check=stream_options)
    store = Flag()
    metadata = Table(check=metadata)
    modalities = Array(each=string)
    fallbacks = Array(each=string, longest=16)
