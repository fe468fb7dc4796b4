"""The bodies of the conversations family (contract/responses.md 1)."""

from __future__ import annotations

from app.dialects.responses.checks import item_faults
from app.surfaces.body.schemas.base import Array, Body, Object
from app.surfaces.body.schemas.parts import metadata


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
