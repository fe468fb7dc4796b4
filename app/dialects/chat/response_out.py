"""The canonical Response encoded as a ``chat.completion`` object.

All items of a choice become its one message; items of hosted tools are left out. Reasoning is in
``reasoning`` and ``reasoning_details``, whose entries contain sealed signatures for the next turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from app.canonical.request import (
    AudioPart,
    ImagePart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
)
from app.canonical.response import Choice, Finish, Response
from app.dialects.base import ServerContext
from app.dialects.chat.annotations import nested_annotation
from app.dialects.chat.options import own_members
from app.dialects.chat.reasoning import call_entry, encode_entries
from app.dialects.chat.usage import encode_finish, encode_usage
from app.dialects.shared.lenient_json import JSON, as_dict, count, data_url, dicts, rest
from app.dialects.shared.members import drawn_picture


def encode_response(response: Response, request: Request, context: ServerContext) -> JSON:
    """Return the ``chat.completion`` object of an answer.

    A request with the deprecated ``functions`` is answered with ``function_call``.
    """
    top, rows = split_choices(own_members(response.native))
    legacy = uses_functions(request)
    choices = [encode_choice(choice, context, legacy) for choice in response.choices]
    for choice in choices:
        row = rows.get(choice["index"], {})
        choice["message"] = {**row.pop("message", {}), **choice["message"]}
        choice |= rest(row, frozenset(choice))
    body: JSON = {
        "id": context.response_id or response.id or context.new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": response.created if response.created is not None else context.now,
        "model": response.model or context.model or request.model,
        "choices": choices,
    }
    if response.usage is not None:
        body["usage"] = encode_usage(response.usage)
    if response.service_tier is not None:
        body["service_tier"] = response.service_tier
    body.setdefault("system_fingerprint", top.pop("system_fingerprint", None))
    return {**body, **{name: value for name, value in top.items() if name not in body}}


_INDEX: Final = frozenset({"index"})
_CHOICES: Final = frozenset({"choices"})


def uses_functions(request: Request) -> bool:
    """Tell whether the client's request has the deprecated ``functions``, so that it expects ``function_call``."""
    body = request.origin.body if request.origin is not None and request.origin.dialect == "chat" else {}
    return bool(body.get("functions")) and not body.get("tools")


def split_choices(members: JSON) -> tuple[JSON, dict[int, JSON]]:
    """Return the native members of an answer, and those of each choice by its index."""
    rows = {count(row.get("index")) or 0: rest(row, _INDEX) for row in dicts(members.get("choices"))}
    return rest(members, _CHOICES), rows


def encode_choice(choice: Choice, context: ServerContext, legacy: bool) -> JSON:
    """Return one choice, with its items joined into one assistant message."""
    parts = choice.parts
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    message = {
        "role": "assistant",
        "content": _content(parts),
        "refusal": "".join(part.text for part in parts if isinstance(part, RefusalPart)) or None,
        **_annotations(parts),
        **_reasoning(parts, calls, context),
        **_media(parts, context),
        **_calls(calls, legacy),
    }
    return {
        "index": choice.index,
        "message": message,
        "logprobs": _logprobs(parts),
        "finish_reason": encode_finish(choice.finish, calls=bool(calls), legacy=legacy),
        **stop_details(choice.finish),
    }


def stop_details(finish: Finish | None) -> JSON:
    """Return the provider's details of a refusal as a member of the choice, ``{}`` if it gave none."""
    details = finish.details if finish is not None else None
    return {"stop_details": dict(details)} if details else {}


def _content(parts: Iterable[Part]) -> str | None:
    """Return the text of the message; null if it has no text but a call, a refusal or audio."""
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    if texts:
        return "".join(texts)
    return None if any(isinstance(part, _INSTEAD) for part in parts) else ""


_INSTEAD: Final = (ToolCallPart, RefusalPart, AudioPart)


def _annotations(parts: Iterable[Part]) -> JSON:
    nested, before = [], 0
    for part in parts:
        if isinstance(part, TextPart):
            rows = (nested_annotation(row, before) for row in part.annotations)
            nested += [row for row in rows if row is not None]
            before += len(part.text)
    return {"annotations": nested} if nested else {}


def _reasoning(parts: Sequence[Part], calls: Sequence[ToolCallPart], context: ServerContext) -> JSON:
    thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
    entries: list[JSON] = []
    for part in thoughts:
        secret = context.wrap(part.signature) if part.signature is not None else None
        entries += encode_entries(part, len(entries), secret)
    entries += [dict(entry) for part in parts if (entry := opaque_entry(part))]
    for call in calls:
        if call.signature is not None:
            entries.append(call_entry(call, context.wrap(call.signature), len(entries)))
    members = {"reasoning": reasoning_text(thoughts), "reasoning_details": entries}
    return {name: value for name, value in members.items() if value}


def opaque_entry(part: Part) -> JSON:
    """Return the ``reasoning_details`` entry of an opaque part of this dialect, ``{}`` for any other part."""
    own = own_members(part.native) if isinstance(part, OpaquePart) else {}
    return as_dict(own.get("reasoning_details"))


def reasoning_text(thoughts: Iterable[ReasoningPart]) -> str:
    """Return the reasoning as one text, with a blank line before each summary but the first."""
    text = ""
    for part in thoughts:
        gap = "\n\n" if text and part.text and part.form == "summary" else ""
        text += gap + part.text
    return text


def _media(parts: Sequence[Part], context: ServerContext) -> JSON:
    body: JSON = {}
    for at, part in enumerate(parts):
        part = (drawn_picture(part) or part) if isinstance(part, OpaquePart) else part
        if isinstance(part, AudioPart):
            body["audio"] = _audio(part)
        elif isinstance(part, ImagePart):
            before = parts[at - 1] if at else None
            is_hidden = isinstance(before, ReasoningPart) and before.form == "hidden"
            signature = getattr(before, "signature", None) if is_hidden else None
            secret = context.wrap(signature) if signature is not None else None
            body.setdefault("images", []).append(encode_image(part, secret))
    return body


def encode_image(part: ImagePart, secret: str | None) -> JSON:
    """Return the entry of a generated image, with the text of its signature if it has one."""
    url = part.url if part.data is None else data_url(part.media_type or "image/png", part.data)
    entry: JSON = {"type": "image_url", "image_url": {"url": url}}
    return {**entry, "extra_content": {"google": {"thought_signature": secret}}} if secret else entry


def _audio(part: AudioPart) -> JSON:
    return {
        "id": part.audio_id,
        "data": part.data or "",
        "expires_at": own_members(part.native).get("expires_at", 0),
        "transcript": part.transcript or "",
    }


def _calls(calls: Sequence[ToolCallPart], legacy: bool) -> JSON:
    if not calls:
        return {}
    if legacy:
        return {"function_call": {"name": calls[0].name, "arguments": calls[0].arguments or "{}"}}
    return {"tool_calls": [encode_call(call) for call in calls]}


def encode_call(call: ToolCallPart) -> JSON:
    """Return a tool call of an answer, with its native members."""
    own = rest(own_members(call.native), frozenset({"reasoning_details"}))
    member = {"name": call.name, "input": call.arguments}
    if call.kind == "function":
        member = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": call.kind, call.kind: member, **own}


def _logprobs(parts: Iterable[Part]) -> JSON | None:
    rows = [part.logprobs for part in parts if isinstance(part, TextPart) and part.logprobs is not None]
    return {"content": [dict(row) for group in rows for row in group], "refusal": None} if rows else None
