"""A provider's chat completion decoded as the canonical Response.

Decodes OpenAI's form and the variants in recorded answers: reasoning in three places, content as a list
with thinking parts, tool calls without ids or with arguments as objects, the deprecated
``function_call``, and errors in a 200.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from app.canonical.request import (
    AudioPart,
    ImagePart,
    Message,
    Native,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Signature,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Response
from app.dialects.base import ClientContext
from app.dialects.chat.annotations import annotations_of, citation_annotations
from app.dialects.chat.errors import failure_in
from app.dialects.chat.options import as_native
from app.dialects.chat.reasoning import decode_reasoning, sign_calls, thought_signature
from app.dialects.chat.usage import decode_choice_finish, decode_finish, decode_usage
from app.dialects.shared.decoder_parts import choice_index, name_of_call
from app.dialects.shared.lenient_json import (
    as_dict,
    as_list,
    as_str,
    count,
    dicts,
    image_of,
    json_text,
    opt_str,
    rest,
    without_nulls,
)
from app.dialects.shared.tool_forms import custom_tool_names, free_text
from app.errors import GatewayError

TOP_MEMBERS: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier"})
CHOICE_MEMBERS: Final = frozenset({"index", "message", "delta", "finish_reason", "logprobs", "text"})
_MESSAGE: Final = frozenset(
    {
        "role",
        "content",
        "refusal",
        "annotations",
        "audio",
        "tool_calls",
        "function_call",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "extra_content",
        "images",
        "thought_signature",
    }
)
_CALL: Final = frozenset({"id", "type", "function", "custom", "index"})
_PRINT: Final = "system_fingerprint"
_PLAIN_TOP: Final = TOP_MEMBERS | {_PRINT}
_PLAIN_CHOICE: Final = frozenset({"index", "message", "finish_reason", "logprobs"})
_TEXT_MEMBERS: Final = frozenset({"role", "content"})


def decode_response(body: Any, context: ClientContext) -> Response:
    """Return the canonical response of a chat completion.

    Raises the provider's error if the body has one, and ``upstream_invalid`` if it has no choices.
    """
    members = as_dict(body)
    if (plain := _plain_text(members)) is not None:
        own = members.get(_PRINT)
        return _response(members, (plain,), None if own is None else as_native({_PRINT: own}))
    if (error := failure_in(body)) is not None:
        raise error
    rows = dicts(members.get("choices"))
    if not rows:
        raise GatewayError("upstream_invalid", "The provider's answer has no choices.", raw=body)
    choices = tuple(_choice(choice, index, members, context) for index, choice in enumerate(rows))
    return _response(members, choices, as_native(native_members(members, TOP_MEMBERS)))


def _response(members: Mapping[str, Any], choices: tuple[Choice, ...], native: Native | None) -> Response:
    return Response(
        id=opt_str(members.get("id")),
        model=opt_str(members.get("model")),
        choices=choices,
        usage=decode_usage(usage_member(members)),
        created=count(members.get("created")),
        service_tier=opt_str(members.get("service_tier")),
        native=native,
    )


def _plain_text(members: Mapping[str, Any]) -> Choice | None:
    """Return the choice of an answer that has one choice with text and nothing else, as most have; else None.

    Other members may be null or empty. tests/dialects/test_chat_plain.py compares it with the full decoding.
    """
    choices = members.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not members.keys() <= _PLAIN_TOP:
        return None
    choice = choices[0]
    if not isinstance(choice, dict) or not choice.keys() <= _PLAIN_CHOICE or choice.get("logprobs"):
        return None
    message, finish = choice.get("message"), choice.get("finish_reason")
    if not isinstance(message, dict) or not message.keys() <= _MESSAGE or finish == "error":
        return None
    text = message.get("content")
    if not (isinstance(text, str) and text) or any(map(message.get, message.keys() - _TEXT_MEMBERS)):
        return None
    message = Message("assistant", (TextPart(text),))
    return Choice(choice_index(choice, 0), (message,), decode_finish(finish, calls=False))


def usage_member(members: Mapping[str, Any]) -> Any:
    """Return the usage object, which Groq's streams have in ``x_groq``."""
    return members.get("usage") or as_dict(members.get("x_groq")).get("usage")


def sign(context: ClientContext, text: str) -> Signature:
    """Return a signature in this dialect, of the realm of the target."""
    return Signature(text, "chat", context.realm)


def remainder(members: Mapping[str, Any], own: frozenset[str]) -> dict[str, Any]:
    """Return the members that are neither ``own`` nor null."""
    return without_nulls(rest(members, own))


def native_members(members: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the members of an answer that are neither ``known`` nor null; under ``choices`` those of its choices."""
    native = remainder(members, known)
    rows = [
        {"index": choice_index(choice, position), **own}
        for position, choice in enumerate(dicts(members.get("choices")))
        if (own := choice_members(choice, "message"))
    ]
    if rows:
        native["choices"] = rows
    return native


def choice_members(choice: Mapping[str, Any], member: str) -> dict[str, Any]:
    """Return the members of a choice that have no canonical place, those of its message under ``message``."""
    own = {} if choice.keys() <= CHOICE_MEMBERS else remainder(choice, CHOICE_MEMBERS)
    message = as_dict(choice.get(member))
    if not message.keys() <= _MESSAGE and (others := remainder(message, _MESSAGE)):
        own["message"] = others
    return own


def _choice(
    choice: Mapping[str, Any], position: int, body: Mapping[str, Any], context: ClientContext
) -> Choice:
    message = as_dict(choice.get("message")) or as_dict(choice.get("delta"))
    thoughts, content, calls = _parts(message, choice, body, context)
    items: list[Sequence[Part]] = [thoughts, content, *([call] for call in calls)]
    messages = [Message("assistant", tuple(parts)) for parts in items if parts]
    messages = messages or [Message("assistant", (TextPart(""),))]
    finish = decode_choice_finish(choice, calls=bool(calls))
    return Choice(choice_index(choice, position), tuple(messages), finish)


def _parts(
    message: Mapping[str, Any], choice: Mapping[str, Any], body: Mapping[str, Any], context: ClientContext
) -> tuple[list[Part], list[Part], list[ToolCallPart]]:
    """Return the parts of the reasoning item, those of the message item, and the calls."""
    sign_text = partial(sign, context)
    thoughts = decode_reasoning(message, sign_text)
    content: list[Part] = []
    for part in content_parts(message.get("content"), context):
        (thoughts if isinstance(part, ReasoningPart) else content).append(part)
    if secret := thought_signature(message):
        thoughts.append(ReasoningPart("", "hidden", sign_text(secret)))
    _annotate(content, message, choice, body)
    content += _extra_parts(message, context)
    legacy = as_dict(message.get("function_call"))
    rows = [*dicts(message.get("tool_calls")), *([{"function": legacy}] if legacy else [])]
    calls = [decode_call(call, context) for call in rows]
    return thoughts, content, sign_calls(calls, message, sign_text)


def growing_member(choice: Mapping[str, Any]) -> str:
    """Return the member with the deltas of a streamed choice, by its first chunk.

    Some servers send a ``message`` in each chunk. Beside a ``delta``, a ``message`` repeats the text so far.
    """
    return "message" if choice.get("delta") is None and isinstance(choice.get("message"), dict) else "delta"


def content_parts(content: Any, context: ClientContext) -> list[Part]:
    """Return the parts of a message's ``content``: a string, or a list of parts."""
    if isinstance(content, str):
        return [TextPart(content)] if content else []
    return [content_part(piece, context) for piece in as_list(content)]


def content_part(value: Any, context: ClientContext) -> Part:
    """Return one content part of an answer; an unknown type becomes an opaque part."""
    piece = {"type": "text", "text": value} if isinstance(value, str) else as_dict(value)
    kind = opt_str(piece.get("type"))
    if kind in {"text", "output_text"} or (kind is None and isinstance(piece.get("text"), str)):
        return TextPart(as_str(piece.get("text")))
    if kind == "refusal":
        return RefusalPart(as_str(piece.get("refusal")))
    if kind == "thinking":
        secret = opt_str(piece.get("signature"))
        return ReasoningPart(thinking_text(piece), "text", sign(context, secret) if secret else None)
    if kind == "image_url":
        return decode_image(piece)
    return OpaquePart(kind or "unknown", ("chat", dict(piece)))


def thinking_text(piece: Mapping[str, Any]) -> str:
    """Return the text of Mistral's thinking part: a string, or a list of text parts."""
    thinking = piece.get("thinking")
    return (
        thinking if isinstance(thinking, str) else "".join(as_str(row.get("text")) for row in dicts(thinking))
    )


def decode_call(call: Mapping[str, Any], context: ClientContext) -> ToolCallPart:
    """Return a tool call of an answer; a missing id is replaced by a new one."""
    identifier = opt_str(call.get("id")) or context.new_id("call")
    extra = remainder(call, _CALL)
    secret = thought_signature(call)
    if secret:
        extra.pop("extra_content", None)
    signature = sign(context, secret) if secret else None
    native = as_native(extra)
    if isinstance(custom := call.get("custom"), dict):
        name, text = name_of_call(custom.get("name")), as_str(custom.get("input"))
        return ToolCallPart(identifier, name, text, "custom", signature, native)
    function = as_dict(call.get("function"))
    name, arguments = name_of_call(function.get("name")), arguments_text(function.get("arguments")) or "{}"
    if name in custom_tool_names(context.request):
        return ToolCallPart(identifier, name, free_text(arguments), "custom", signature, native)
    return ToolCallPart(identifier, name, arguments, "function", signature, native)


def arguments_text(arguments: Any) -> str:
    """Return the arguments of a tool call as JSON text; some servers send them as values."""
    return json_text(arguments) if isinstance(arguments, dict | list) else as_str(arguments)


def token_logprobs(choice: Mapping[str, Any]) -> tuple[dict[str, Any], ...] | None:
    """Return the token log probabilities of a choice, None if it has none."""
    rows = as_dict(choice.get("logprobs")).get("content")
    return tuple(dicts(rows)) if isinstance(rows, list) else None


def _annotate(
    content: list[Part], message: Mapping[str, Any], choice: Mapping[str, Any], body: Mapping[str, Any]
) -> None:
    """Add the annotations and log probabilities to the last text."""
    annotations, logprobs = annotations_of(message), token_logprobs(choice)
    for index in range(len(content) - 1, -1, -1):
        part = content[index]
        if isinstance(part, TextPart):
            annotations = annotations or citation_annotations(part.text, body)
            content[index] = TextPart(part.text, annotations, logprobs)
            return
    if annotations or logprobs:
        content.insert(0, TextPart("", annotations, logprobs))


def _extra_parts(message: Mapping[str, Any], context: ClientContext) -> list[Part]:
    """Return the refusal, the audio and the generated images of a message."""
    refusal, audio = opt_str(message.get("refusal")), as_dict(message.get("audio"))
    return [
        *([RefusalPart(refusal)] if refusal else []),
        *([audio_part(audio, context)] if audio else []),
        *map(decode_image, dicts(message.get("images"))),
    ]


def audio_part(audio: Mapping[str, Any], context: ClientContext) -> AudioPart:
    """Return the audio of an answer: base64 data in the requested format, with id, transcript and expiry."""
    options = (context.request.output.audio if context.request is not None else None) or {}
    expires = count(audio.get("expires_at"))
    return AudioPart(
        opt_str(audio.get("data")),
        opt_str(options.get("format")),
        audio_id=opt_str(audio.get("id")),
        transcript=opt_str(audio.get("transcript")),
        native=None if expires is None else ("chat", {"expires_at": expires}),
    )


def decode_image(row: Mapping[str, Any]) -> ImagePart:
    """Return a generated image (``images[].image_url.url``, usually a data URL; Mistral's parts have the URL itself)."""
    image = row.get("image_url")
    return image_of(as_str(image) or as_str(as_dict(image).get("url")))
