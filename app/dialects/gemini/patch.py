"""Pass: a generateContent body on its way to one of Google's hosts."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.base import Frame, PassThrough
from app.dialects.gemini.contents_out import NAME, SKIP_SIGNATURE
from app.dialects.gemini.members import unpack
from app.dialects.gemini.options import family_of
from app.dialects.gemini.response_out import encode_usage
from app.dialects.gemini.usage import decode_usage
from app.dialects.shared.lenient_json import as_dict, dicts
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch
from app.dialects.shared.usage_repair import counts_only

_SIGNATURES: Final = ("thoughtSignature", "thought_signature")
_USAGE: Final = "usageMetadata"
_CALLS: Final = ("functionCall", "function_call")


def fit(body: Body, passage: PassThrough) -> Body:
    """Return a body for the target: model and stream are said by the URL, signatures are those of
    its own making, and a call without one has Google's stand-in where the family demands one."""
    body = {name: value for name, value in body.items() if name not in {"model", "stream"}}
    opener = Opener(passage, NAME, "contents")
    demands = family_of(passage.client.model).signs_calls
    contents = body.get("contents")
    if isinstance(contents, dict):
        contents = [contents]
    if isinstance(contents, list):
        body["contents"] = [_content(content, opener, demands) for content in contents]
    return body


def _content(content: Any, opener: Opener, demands: bool) -> Any:
    parts = as_dict(content).get("parts")
    if not isinstance(parts, list):
        return content
    fitted = [part for part in (_part(part, opener) for part in parts) if part is not None]
    if demands and content.get("role") == "model":
        _stand_in(fitted)
    return {**content, "parts": fitted or [{"text": ""}]}


def _part(part: Any, opener: Opener) -> Any:
    """Return a part with its signature opened; a thought of another maker is left out."""
    name = next((name for name in _SIGNATURES if name in as_dict(part)), None)
    text = part[name] if name is not None else None
    token = unpack(text) if isinstance(text, str) else None
    ours, value = opener.open(token)
    if name is None or not ours:
        return part
    if value is not None:
        return {**part, name: value}
    if part.get("thought") is True:
        return None
    return {member: item for member, item in part.items() if member != name}


def _stand_in(parts: list[Any]) -> None:
    for at, part in enumerate(parts):
        if any(name in as_dict(part) for name in _CALLS):
            if not any(name in part for name in _SIGNATURES):
                parts[at] = {**part, "thoughtSignature": SKIP_SIGNATURE}
            return


class _Patch(PlainPatch):
    """Each chunk may tell the usage, the last of them holds. No frame ends this wire's streams, so that
    a chunk that finishes a candidate waits for the next one or the end while none told any."""

    _is_told = False

    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a chunk without what is no usage, and the one that waited before it."""
        usage = as_dict(data.get(_USAGE))
        if not counts_only(usage):
            del data[_USAGE]
        elif decode_usage(usage) is not None:
            self._is_told = True
        before, self._waiting = self._waiting, []
        finishes = any(choice.get("finishReason") for choice in dicts(data.get("candidates")))
        return [*before, *self._forward(Frame(event, data), lacks_usage=finishes and not self._is_told)]

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the chunk that waited, or one of our own that tells the usage."""
        if not (self._is_told or self._waiting or usage is None):
            self._waiting.append(Frame(None, {}))
        return super().closing(usage)

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data[_USAGE] = encode_usage(usage)


GeminiPatch: Final = partial(_Patch, fit=fit)
