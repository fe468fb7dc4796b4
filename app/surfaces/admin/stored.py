"""The views of ``/admin/responses`` and ``/admin/conversations``: stored objects of all tenants.

Contents are shown only with ``SLUICE_ADMIN_READS_CONTENT=on``; the member ``content`` says whether they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import Response

from app.state.admin_queries import CONVERSATION_FILTERS, RESPONSE_FILTERS
from app.state.lookup import Page
from app.state.pagination import as_list
from app.surfaces.admin import requests
from app.surfaces.body import queries
from app.surfaces.replies.answers import json_response

_KIND: Final = ("id", "type", "role", "status")
"""Members of an item without content."""


def responses() -> Response:
    """List stored responses, the newest first."""
    return _list(requests.state().admin_queries.responses, RESPONSE_FILTERS)


def response(response_id: str) -> Response:
    """Show a response, with its content if allowed."""
    return _show(requests.state().admin_queries.response, response_id)


def conversations() -> Response:
    """List conversations, the newest first."""
    return _list(requests.state().admin_queries.conversations, CONVERSATION_FILTERS)


def conversation(conversation_id: str) -> Response:
    """Show a conversation, with its content if allowed."""
    return _show(requests.state().admin_queries.conversation, conversation_id)


def items(conversation_id: str) -> Response:
    """List the items of a conversation; without content, only their types."""
    items, has_more = requests.state().admin_queries.items(conversation_id, queries.page())
    if not _reads_content():
        items = [{name: item[name] for name in _KIND if name in item} for item in items]
    return json_response({**as_list(items, has_more), "content": _reads_content()})


def _list(fetch: Callable[..., Page[Any]], filters: Iterable[str]) -> Response:
    page = fetch(*requests.page_query(), requests.filters(filters), requests.span())
    return requests.list_response(page)


def _show(fetch: Callable[..., dict[str, Any]], name: str) -> Response:
    content = _reads_content()
    return json_response({**fetch(name, content=content), "content": content})


def _reads_content() -> bool:
    return bool(requests.gateway().settings.admin_reads_content)
