"""Anthropic: Claude by its own Messages API."""

from __future__ import annotations

from typing import Final

from app.dialects import models
from app.dialects.messages.options import MessagesOptions
from app.providers.auth import HeaderAuth
from app.providers.base import Spec, Wire

VERSION: Final = {"anthropic-version": "2023-06-01"}

SIGNERS: Final = "claude"
"""The realm of Claude's signatures: one host of the Messages wire verifies another's."""

OPTIONS: Final = MessagesOptions()

SPEC = Spec(
    name="anthropic",
    base_url="https://api.anthropic.com",
    auth=HeaderAuth("x-api-key"),
    wires={
        "chat": Wire("messages", "/v1/messages", options=OPTIONS, headers=VERSION, realm=SIGNERS),
        "models": Wire(
            "models", "/v1/models", method="GET", streams=False, headers=VERSION, options=models.ANTHROPIC
        ),
        "count_tokens": Wire(
            "messages", "/v1/messages/count_tokens", options=OPTIONS, streams=False, headers=VERSION
        ),
    },
    forwards=("anthropic-beta",),
    price_as="anthropic",
    missing="Set ANTHROPIC_API_KEY.",
)
