"""The views of ``/admin/responses`` and ``/admin/conversations``: stored objects of all tenants.

Contents are shown only with ``SLUICE_ADMIN_READS_CONTENT=on``; ``content`` says whether they are.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Response

from app.state.admin_queries import CONVERSATION_FILTERS, RESPONSE_FILTERS, AdminQueries
from app.state.pagination import as_list
from app.surfaces.admin import requests
from app.surfaces.body import queries
from app.surfaces.replies.answers import json_response

_KIND: Final = ("id", "type", "role", "status")
"""Members of an item without content."""


def responses() -> Response:
    """List stored responses, the newest first."""
    limit, after = requests.page_query()
    return requests.list_response(
        _queries().responses(limit, after, requests.filters(RESPONSE_FILTERS), requests.span())
    )


def response(response_id: str) -> Response:
    """Show a response, with its content if allowed."""
    shown = _queries().response(response_id, content=_reads_content())
    return json_response({**shown, "content": _reads_content()})


def conversations() -> Response:
    """List conversations, the newest first."""
    limit, after = requests.page_query()
    page = _queries().conversations(limit, after, requests.filters(CONVERSATION_FILTERS), requests.span())
    return requests.list_response(page)


def conversation(conversation_id: str) -> Response:
    """Show a conversation."""
    shown = _queries().conversation(conversation_id, content=_reads_content())
    return json_response({**shown, "content": _reads_content()})


def items(conversation_id: str) -> Response:
    """List the items of a conversation; without content, only their types."""
    found, more = _queries().items(conversation_id, queries.page())
    if not _reads_content():
        found = [{name: item[name] for name in _KIND if name in item} for item in found]
    return json_response({**as_list(found, more), "content": _reads_content()})


def _queries() -> AdminQueries:
    return requests.gateway().state().admin_queries


def _reads_content() -> bool:
    reads: Any = requests.gateway().settings.admin_reads_content
    return bool(reads)
