"""The bodies of the conversations family (contract/responses.md 1)."""

from __future__ import annotations

from app.dialects.responses.checks import item_faults
from app.surfaces.body.schemas.base import Array, Body, Table
from app.surfaces.body.schemas.parts import metadata


class ConversationBody(Body):
    """``POST conversations``."""

    metadata = Table(check=metadata)
    items = Array(each=item_faults, longest=20)


class ConversationUpdateBody(Body):
    """``POST conversations/{id}``."""

    metadata = Table(check=metadata, required=True)


class ConversationItemsBody(Body):
    """``POST conversations/{id}/items``."""

    items = Array(each=item_faults, longest=20, required=True)
