"""The name of the Messages dialect, and how the hosts of Claude models deviate from Anthropic's API."""

from __future__ import annotations

from typing import Final

from app.canonical.record import record

NAME: Final = "messages"

THREAD_REFUSED: Final = "thread_unsupported_request"
"""The ``error_code`` by which the SDK's tool runner learns to send whole conversations."""


@record
class MessagesOptions:
    """Deviations of one host.

    ``model_in_body``: False if the model is part of the URL (Vertex).
    ``anthropic_version``: sent as a member of the body if the host has no such header.
    ``native_schema``: False without structured output (a tool has the schema instead).
    ``url_sources`` and ``files``: images and documents may be given by URL, by file id.
    """

    model_in_body: bool = True
    anthropic_version: str | None = None
    native_schema: bool = True
    url_sources: bool = True
    files: bool = True
