"""Reasoning on the chat wire: plain ``reasoning`` or ``reasoning_content`` text, and the
``reasoning_details`` list whose entries also carry signatures and ciphers.

An entry is ``reasoning.text`` (text, signature), ``reasoning.summary`` (summary) or
``reasoning.encrypted`` (data); one whose ``id`` is a tool call's carries that call's own
signature (routers pass Gemini's thought signatures so).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import OpaquePart, Part, ReasoningPart, Signature, ToolCallPart
from app.dialects.chat.native import as_native, own_members
from app.dialects.shared.lenient_json import as_dict, as_str, dicts, opt_str, rest

Sign = Callable[[str], Signature]
"""Makes a Signature of a wire's text: knows dialect and realm, or unwraps what we wrapped."""

_FORMS: Final[Mapping[str, tuple[str, str]]] = {
    # entry type: canonical form, member that holds its text
    "reasoning.text": ("text", "text"),
    "reasoning.summary": ("summary", "summary"),
    "reasoning.encrypted": ("hidden", ""),
}
_ENTRY_OWN: Final = frozenset({"type", "text", "summary", "signature", "data"})


def decode_reasoning(message: Mapping[str, Any], sign: Sign) -> list[Part]:
    """Return a message's reasoning, in order; the details win over the plain text,
    which repeats them, unless they show none of it."""
    details = dicts(message.get("reasoning_details"))
    calls = {
        identifier for call in dicts(message.get("tool_calls")) if (identifier := opt_str(call.get("id")))
    }
    parts = [decode_entry(entry, sign) for entry in details if not _belongs(entry, calls)]
    text = opt_str(message.get("reasoning")) or opt_str(message.get("reasoning_content"))
    if text and not any(isinstance(part, ReasoningPart) and part.text for part in parts):
        parts.insert(0, ReasoningPart(text))
    return parts


def decode_entry(entry: Mapping[str, Any], sign: Sign) -> Part:
    """Return one entry of ``reasoning_details``; an unknown type is opaque."""
    kind = as_str(entry.get("type"))
    if kind not in _FORMS:
        return OpaquePart(kind or "reasoning", ("chat", {"reasoning_details": dict(entry)}))
    form, member = _FORMS[kind]
    secret = opt_str(entry.get("signature")) or opt_str(entry.get("data"))
    remainder = rest(entry, _ENTRY_OWN)
    return ReasoningPart(
        as_str(entry.get(member)),
        form,  # type: ignore[arg-type]
        sign(secret) if secret else None,
        as_native(remainder),
    )


def encode_entry(part: ReasoningPart, index: int, secret: str | None) -> dict[str, Any]:
    """Return the entry of ``part``; ``secret`` is its signature's text, if it may be shown.

    The entry's own remainder (format, id) is kept where this wire made it.
    """
    own = own_members(part.native)
    if part.form == "hidden":
        return {"type": "reasoning.encrypted", "data": secret or "", **{"index": index, **own}}
    kind, member = ("reasoning.text", "text") if part.form == "text" else ("reasoning.summary", "summary")
    signed = {"signature": secret} if secret and part.form == "text" else {}
    return {"type": kind, member: part.text, **signed, **{"index": index, **own}}


def encode_entries(part: ReasoningPart, index: int, secret: str | None) -> list[dict[str, Any]]:
    """Return the entries of ``part``: a signed summary needs a second, encrypted one."""
    if part.form != "summary" or not secret:
        return [encode_entry(part, index, secret)]
    return [encode_entry(part, index, None), {"type": "reasoning.encrypted", "data": secret, "index": index}]


def call_entry(call: ToolCallPart, secret: str, index: int) -> dict[str, Any]:
    """Return the entry that carries a tool call's own signature."""
    own = as_dict(own_members(call.native).get("reasoning_details"))
    return {"type": "reasoning.encrypted", "data": secret, "id": call.id, **{"index": index, **own}}


def sign_calls(calls: Iterable[ToolCallPart], message: Mapping[str, Any], sign: Sign) -> list[ToolCallPart]:
    """Return the calls with the signatures that ``reasoning_details`` keeps for them."""
    entries = {as_str(entry.get("id")): entry for entry in dicts(message.get("reasoning_details"))}
    return [sign_call(call, entries[call.id], sign) if call.id in entries else call for call in calls]


def sign_call(call: ToolCallPart, entry: Mapping[str, Any], sign: Sign) -> ToolCallPart:
    """Return ``call`` with the signature of its entry; the entry's format stays native."""
    secret = opt_str(entry.get("data")) or opt_str(entry.get("signature"))
    if secret is None:
        return call
    remainder = rest(entry, _ENTRY_OWN | {"id"})
    members = own_members(call.native)
    native = ("chat", {**members, "reasoning_details": remainder}) if remainder else call.native
    return replace(call, signature=sign(secret), native=native)


def _belongs(entry: Mapping[str, Any], calls: set[str]) -> bool:
    owner = entry.get("id")
    return isinstance(owner, str) and owner in calls


def thought_signature(holder: Mapping[str, Any]) -> str | None:
    """Return the Google thought signature of a message or tool call
    (``extra_content.google.thought_signature``), if it has one."""
    if "extra_content" not in holder:
        return None
    return opt_str(as_dict(as_dict(holder.get("extra_content")).get("google")).get("thought_signature"))
