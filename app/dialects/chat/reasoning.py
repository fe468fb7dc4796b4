"""Reasoning in chat completions: ``reasoning`` or ``reasoning_content`` text, and ``reasoning_details``.

The entries of the latter (https://openrouter.ai/docs/use-cases/reasoning-tokens) are
``reasoning.text`` (text, signature), ``reasoning.summary`` (summary) or ``reasoning.encrypted``
(data). An entry whose ``id`` is that of a tool call has the signature of that call, such as
Gemini's thought signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import OpaquePart, Part, ReasoningPart, Signature, ToolCallPart
from app.dialects.chat.options import as_native, own_members
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, opt_str, rest

Sign = Callable[[str], Signature]
"""Returns the Signature for a text on the wire: a native one, or the one sealed in the gateway's own token."""

_FORMS: Final[Mapping[str, tuple[str, str]]] = {
    # entry type: canonical form, member that holds its text
    "reasoning.text": ("text", "text"),
    "reasoning.summary": ("summary", "summary"),
    "reasoning.encrypted": ("hidden", ""),
}
_ENTRY_OWN: Final = frozenset({"type", "text", "summary", "signature", "data"})


def decode_reasoning(message: Mapping[str, Any], sign: Sign) -> list[Part]:
    """Return the reasoning of a message, in order.

    The plain text repeats the details, so it is used only if they have no text. Entries of tool
    calls are skipped.
    """
    calls = {opt_str(call.get("id")) for call in dicts(message.get("tool_calls"))} - {None}
    details = dicts(message.get("reasoning_details"))
    parts = [decode_entry(entry, sign) for entry in details if opt_str(entry.get("id")) not in calls]
    text = opt_str(message.get("reasoning")) or opt_str(message.get("reasoning_content"))
    if text and not any(isinstance(part, ReasoningPart) and part.text for part in parts):
        parts.insert(0, ReasoningPart(text))
    return parts


def decode_entry(entry: Mapping[str, Any], sign: Sign) -> Part:
    """Return the part of one entry of ``reasoning_details``; an unknown type becomes an opaque part."""
    kind = as_str(entry.get("type"))
    if kind not in _FORMS:
        return OpaquePart(kind or "reasoning", ("chat", {"reasoning_details": dict(entry)}))
    form, member = _FORMS[kind]
    secret = opt_str(entry.get("signature")) or opt_str(entry.get("data"))
    return ReasoningPart(
        as_str(entry.get(member)),
        form,  # type: ignore[arg-type]
        sign(secret) if secret else None,
        as_native(rest(entry, _ENTRY_OWN)),
    )


def encode_entry(part: ReasoningPart, index: int, secret: str | None) -> dict[str, Any]:
    """Return the entry of ``part``; ``secret`` is the text of its signature, None to leave it out.

    Native members of the entry (format, id) are kept.
    """
    own = own_members(part.native)
    if part.form == "hidden":
        return {"type": "reasoning.encrypted", "data": secret or "", **{"index": index, **own}}
    kind, member = ("reasoning.text", "text") if part.form == "text" else ("reasoning.summary", "summary")
    seal = {"signature": secret} if secret and part.form == "text" else {}
    return {"type": kind, member: part.text, **seal, **{"index": index, **own}}


def encode_entries(part: ReasoningPart, index: int, secret: str | None) -> list[dict[str, Any]]:
    """Return the entries of ``part``: the signature of a summary needs a second, encrypted entry."""
    if part.form != "summary" or not secret:
        return [encode_entry(part, index, secret)]
    return [encode_entry(part, index, None), {"type": "reasoning.encrypted", "data": secret, "index": index}]


def call_entry(call: ToolCallPart, secret: str, index: int) -> dict[str, Any]:
    """Return the entry for the signature of a tool call."""
    own = as_dict(own_members(call.native).get("reasoning_details"))
    return {"type": "reasoning.encrypted", "data": secret, "id": call.id, **{"index": index, **own}}


def sign_calls(calls: Iterable[ToolCallPart], message: Mapping[str, Any], sign: Sign) -> list[ToolCallPart]:
    """Return the calls with their signatures from the message's ``reasoning_details``."""
    entries = {as_str(entry.get("id")): entry for entry in dicts(message.get("reasoning_details"))}
    return [sign_call(call, entries[call.id], sign) if call.id in entries else call for call in calls]


def sign_call(call: ToolCallPart, entry: Mapping[str, Any], sign: Sign) -> ToolCallPart:
    """Return ``call`` with the signature in ``entry``; the entry's other members become native."""
    secret = opt_str(entry.get("data")) or opt_str(entry.get("signature"))
    if secret is None:
        return call
    remainder = rest(entry, _ENTRY_OWN | {"id"})
    members = own_members(call.native)
    native = ("chat", {**members, "reasoning_details": remainder}) if remainder else call.native
    return replace(call, signature=sign(secret), native=native)


def thought_signature(holder: Mapping[str, Any]) -> str | None:
    """Return the thought signature in ``extra_content.google.thought_signature`` of a message or tool call,
    None if it has none (Gemini's OpenAI-compatible API, https://ai.google.dev/gemini-api/docs/thought-signatures)."""
    return opt_str(as_dict(as_dict(holder.get("extra_content")).get("google")).get("thought_signature"))
