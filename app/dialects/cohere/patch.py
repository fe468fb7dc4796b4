"""Pass: a v2 chat body on its way to Cohere. The wire has no signatures."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from app.canonical.response import Usage
from app.dialects.base import DONE, Frame, PassThrough
from app.dialects.cohere.response_in import decode_usage
from app.dialects.cohere.response_out import encode_usage
from app.dialects.shared.lenient_json import as_dict
from app.dialects.shared.plain_patch import Body, PlainPatch
from app.dialects.shared.usage_repair import counts_only


def fit(body: Body, passage: PassThrough) -> Body:
    """Return a body for the target: its model."""
    return {**body, "model": passage.client.model}


class _Patch(PlainPatch):
    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame as it came; the last tells the usage."""
        lacks = data.get("type") == "message-end" and not _is_told(as_dict(data.get("delta")).get("usage"))
        return self._forward(Frame(event, data), lacks_usage=lacks)

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return what waited, and ``[DONE]``, which some of Cohere's hosts leave out."""
        return [*super().closing(usage), DONE]

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data["delta"] = {**as_dict(data.get("delta")), "usage": encode_usage(usage)}


def _is_told(usage: Any) -> bool:
    return decode_usage(usage) is not None and counts_only(usage)


CoherePatch: Final = partial(_Patch, fit=fit)
