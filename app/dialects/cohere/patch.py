"""Pass: a v2 chat body on its way to Cohere. The wire has no signatures."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.canonical.response import Usage
from app.dialects.base import DONE, Frame, Passage
from app.dialects.shared.plain_patch import Body, PlainPatch


def fit(body: Body, passage: Passage) -> Body:
    """Return a body for the target: its model."""
    return {**body, "model": passage.client.model}


class _Patch(PlainPatch):
    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return ``[DONE]``, which some of Cohere's hosts leave out."""
        return [DONE]


CoherePatch: Final = partial(_Patch, fit=fit)
