"""Changes to a v2 chat body that passes through to Cohere. The format has no signatures."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.canonical.response import Usage
from app.dialects.base import DONE, Frame
from app.dialects.cohere.response_in import decode_usage
from app.dialects.cohere.response_out import encode_usage
from app.dialects.shared.lenient_json import as_dict
from app.dialects.shared.plain_patch import Body, PlainPatch
from app.dialects.shared.usage_repair import counts_only


class _Patch(PlainPatch):
    def frames(self, event: str | None, data: Body) -> list[Frame]:
        """Return a frame unchanged; ``message-end`` is held back if it reports no valid usage."""
        usage = as_dict(data.get("delta")).get("usage")
        has_usage = decode_usage(usage) is not None and counts_only(as_dict(usage))
        return self._forward(
            Frame(event, data), lacks_usage=data.get("type") == "message-end" and not has_usage
        )

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the frames held back, and ``[DONE]``, which some of Cohere's hosts do not send."""
        return [*super().closing(usage), DONE]

    def _write_usage(self, data: Body, usage: Usage) -> None:
        data["delta"] = {**as_dict(data.get("delta")), "usage": encode_usage(usage)}


CoherePatch: Final = partial(_Patch, fit=lambda body, passed: {**body, "model": passed.client.model})
