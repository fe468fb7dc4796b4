"""The bodies of responses and conversations."""

from __future__ import annotations

from typing import Any

from app.dialects.responses.checks import item_faults
from app.dialects.shared.faults import Fault, Faults, missing, wrong_type
from app.surfaces.body.schemas.base import (
    Array,
    Body,
    Boolean,
    Either,
    Integer,
    Number,
    Object,
    String,
)
from app.surfaces.body.schemas.chat import (
    EFFORTS,
    MOST_MESSAGES,
    MOST_TOKENS,
    VERBOSITIES,
    ChoicesBody,
    ToolsBody,
)
from app.surfaces.body.schemas.parts import chat_message, metadata, one_of, require_string, string

_LONGEST_INPUT = 10_485_760
_FORMATS = ("text", "json_object", "json_schema")
_SUMMARIES = ("auto", "concise", "detailed")


def _reasoning(value: dict[str, Any]) -> Faults:
    return one_of(value, "effort", EFFORTS) or one_of(value, "summary", _SUMMARIES)


def _text(value: dict[str, Any]) -> Faults:
    form = value.get("format")
    if form is not None and not isinstance(form, dict):
        return {"format": [wrong_type("an object", form)]}
    if form and (faults := _format(form)):
        return {"format": faults}
    return one_of(value, "verbosity", VERBOSITIES) or _integer(value, "max_tokens", 1)


def _format(form: dict[str, Any]) -> Faults:
    if form.get("type") == "json_schema":
        for member, kind, name in (("name", str, "a string"), ("schema", dict, "an object")):
            value = form.get(member)
            if value is None:
                return missing(member)
            if not isinstance(value, kind):
                return {member: [wrong_type(name, value)]}
    return one_of(form, "type", _FORMATS)


def _integer(value: dict[str, Any], member: str, least: int) -> Faults:
    number = value.get(member)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or number != int(number):
        return {member: [wrong_type("an integer", number)]}
    if number < least:
        sentence = (
            f"Invalid '{{path}}': integer below minimum value. Expected a value >= {least}, "
            f"but got {number:g} instead."
        )
        return {member: [Fault("integer_below_min_value", sentence)]}
    return None


def _context_edit(value: Any) -> Faults:
    if not isinstance(value, dict):
        return [wrong_type("an object", value)]
    return require_string("type")(value) or _integer(value, "compact_threshold", 1000)


class ResponsesBody(ToolsBody):
    """``POST responses``: the members of the top level; the dialect reads what is deeper."""

    input = Either(String(longest=_LONGEST_INPUT), Array(each=item_faults, longest=MOST_MESSAGES))
    instructions = Either(String(), Array(each=item_faults))
    previous_response_id = String()
    conversation = Either(String(), Object(check=require_string("id")))
    max_output_tokens = Integer(least=16, most=MOST_TOKENS)
    max_tool_calls = Integer(least=1, most=MOST_TOKENS)
    text = Object(check=_text)
    reasoning = Object(check=_reasoning)
    include = Array(each=string)
    background = Boolean()
    truncation = String(choices=("auto", "disabled"))
    safety_identifier = String(longest=64)
    prompt_cache_key = String()
    prompt_cache_retention = String()
    prompt_cache_options = Object()
    prompt = Object(check=require_string("id"))
    moderation = Object()
    context_management = Array(each=_context_edit)


class ChatShapedResponsesBody(ResponsesBody, ChoicesBody):
    """A Responses body with ``messages`` and other members of chat as well."""

    messages = Array(each=chat_message, longest=MOST_MESSAGES)
    max_tokens = Integer(least=1, most=MOST_TOKENS)
    max_completion_tokens = Integer(least=1, most=MOST_TOKENS)
    logprobs = Either(Boolean(), Number(least=0, most=20))


class InputTokensBody(ResponsesBody):
    """``POST responses/input_tokens``: the prompt's members, all optional."""


class CompactBody(ResponsesBody):
    """``POST responses/compact``."""

    model = String(longest=512, required=True)
    prompt_cache_key = String(longest=64)


class ConversationBody(Body):
    """``POST conversations``."""

    metadata = Object(check=metadata)
    items = Array(each=item_faults, longest=20)


class ConversationUpdateBody(Body):
    """``POST conversations/{id}``."""

    metadata = Object(check=metadata, required=True, allow_none=True)


class ConversationItemsBody(Body):
    """``POST conversations/{id}/items``."""

    items = Array(each=item_faults, longest=20, required=True)
