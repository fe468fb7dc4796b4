"""Anthropic: Claude, by its own Messages API."""

from __future__ import annotations

from typing import Any, Final

from app.dialects import models
from app.dialects.messages.options import MessagesOptions
from app.providers.auth import HeaderAuth
from app.providers.base import Spec, Wire

VERSION: Final = {"anthropic-version": "2023-06-01"}

SIGNERS: Final = "claude"
"""The realm of Claude's signatures: every host of the Messages wire verifies those of the others."""

OPTIONS: Final = MessagesOptions()

BETAS: Final = ("anthropic-beta",)
"""The header with which a client asks for beta features."""


def messages(path: str, **more: Any) -> Wire:
    """Return a wire of a host that takes Messages whole; a header names their version."""
    return Wire(
        "messages", path, headers=VERSION, passes=True, forwards=BETAS, dialect_headers=tuple(VERSION), **more
    )


SPEC = Spec(
    name="anthropic",
    base_url="https://api.anthropic.com",
    auth=HeaderAuth("x-api-key"),
    wires={
        "chat": messages("/v1/messages", options=OPTIONS, realm=SIGNERS),
        "models": Wire(
            "models", "/v1/models", method="GET", streams=False, headers=VERSION, options=models.ANTHROPIC
        ),
        "count_tokens": messages("/v1/messages/count_tokens", options=OPTIONS, streams=False),
        "file_upload": Wire(
            "files_anthropic",
            "/v1/files",
            streams=False,
            headers={**VERSION, "anthropic-beta": "files-api-2025-04-14"},
        ),
    },
    price_as="anthropic",
    missing="Set ANTHROPIC_API_KEY.",
)
