"""Changes to a Converse body that passes through to Bedrock."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.base import Frame, PassThrough
from app.dialects.converse.options import NAME
from app.dialects.converse.response_in import decode_usage
from app.dialects.converse.response_out import encode_usage
from app.dialects.shared.base64_text import decode_base64
from app.dialects.shared.claude import OMITTED
from app.dialects.shared.lenient_json import as_dict
from app.dialects.shared.plain_patch import Body, Opener, PlainPatch, open_messages
from app.dialects.shared.usage_repair import counts_only

_METADATA: Final = "metadata"
_THOUGHT: Final = "reasoningContent"


def fit(body: Body, passed: PassThrough) -> Body:
    """Return a body for the target: without model and stream, which the URL has, and with the
    signatures that the target made."""
    body = {name: value for name, value in body.items() if name not in {"model", "stream"}}
    if isinstance(body.get("messages"), list):
        open_messages(body, Opener(passed, NAME, "messages"), _open_block)
    return body


def _open_block(block: Any, opener: Opener) -> Any:
    thought = as_dict(as_dict(block).get(_THOUGHT))
    text, redacted = as_dict(thought.get("reasoningText")), thought.get("redactedContent")
    token = decode_base64(redacted, "ascii") if isinstance(redacted, str) else text.get("signature")
    ours, value = opener.open(token)
    if not ours:
        return block
    if value is None:
        return None
    if redacted is not None:
        return {_THOUGHT: {"redactedContent": value}}
    return {_THOUGHT: {"reasoningText": {**text, "signature": value.removeprefix(OMITTED)}}}


class _Patch(PlainPatch):
    _has_metadata = False

    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame unchanged; ``metadata`` is held back if it reports no valid usage."""
        if event != _METADATA:
            return [Frame(event, data)]
        self._has_metadata = True
        usage = data.get("usage")
        lacks = decode_usage(usage) is None or not counts_only(as_dict(usage))
        return self._forward(Frame(event, data), lacks_usage=lacks)

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the ``metadata`` held back, or one of our own if the upstream sent none."""
        if not self._has_metadata and usage is not None:
            self._waiting.append(Frame(_METADATA, {}))
        return super().closing(usage)

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data["usage"] = encode_usage(usage)


ConversePatch: Final = partial(_Patch, fit=fit)
