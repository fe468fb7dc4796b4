"""The doors: where each surface hangs, what it reads and writes, what it adds.

Rows of contract/surfaces.md 1. Every mount serves the same operations; they differ in
prefix, envelope, accepted credentials and the provider a bare model name means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Envelope = Literal["extra_fields", "provider"]


@dataclass(frozen=True, slots=True)
class Mount:
    """One surface.

    ``prefixes`` may hold ``<path:deployment>``. ``credentials`` are header names after
    ``Authorization: Bearer``, in order. ``page_members``: JSON answers of POST responses
    carry the page's own members too. ``plain_retrieve``: GET responses has no envelope.
    ``chat_shaped``: POST responses also takes a chat-shaped body.
    """

    name: str
    prefixes: tuple[str, ...]
    credentials: tuple[str, ...] = ()
    envelope: Envelope = "extra_fields"
    default_provider: str | None = None
    page_members: bool = False
    plain_retrieve: bool = False
    chat_shaped: bool = False


MOUNTS: Final[tuple[Mount, ...]] = (
    Mount(
        "unified",
        ("/v1",),
        credentials=("x-bf-vk", "x-api-key", "api-key", "x-goog-api-key"),
        page_members=True,
    ),
    Mount(
        "openai",
        ("/openai/v1", "/openai", "/openai/openai"),
        credentials=("api-key",),
        default_provider="openai",
        plain_retrieve=True,
    ),
    Mount(
        "azure",
        (
            "/openai/deployments/<path:deployment>",
            "/openai/openai/deployments/<path:deployment>",
            "/openai/v1/deployments/<path:deployment>",
        ),
        credentials=("api-key",),
        default_provider="azure",
        page_members=True,
        plain_retrieve=True,
    ),
    Mount(
        "truefoundry",
        ("/api/llm/api/inference/openai", "/api/llm/api/inference/openai/v1", "/api/llm"),
        envelope="provider",
        chat_shaped=True,
        plain_retrieve=True,
    ),
)

AZURE_ROOT: Final = "/openai"
"""Below this, ``api-version`` is checked and every answer has ``apim-request-id``."""

REQUEST_TYPES: Final[Mapping[str, str]] = {
    "models": "list_models",
    "completion": "text_completion",
    "chat": "chat_completion",
    "responses": "responses",
    "embedding": "embedding",
    "speech": "speech",
    "transcription": "transcription",
}


def request_type(operation: str, stream: bool) -> str:
    """Return ``extra_fields.request_type``, with ``_stream`` where it streams."""
    name = REQUEST_TYPES.get(operation, operation)
    return f"{name}_stream" if stream else name


@lru_cache(maxsize=1024)
def mount_of(path: str) -> Mount | None:
    """Return the mount that a URL path lies under, the longest fixed prefix winning."""
    best: tuple[int, Mount | None] = (0, None)
    for mount in MOUNTS:
        for prefix in mount.prefixes:
            fixed = prefix.partition("/<")[0]
            if (path == fixed or path.startswith(fixed + "/")) and len(fixed) > best[0]:
                best = (len(fixed), mount)
    return best[1]


def below_azure(path: str) -> bool:
    """Tell whether a path lies below ``/openai``."""
    return path == AZURE_ROOT or path.startswith(AZURE_ROOT + "/")
