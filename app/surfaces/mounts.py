"""The doors: where each surface hangs, who may call, what it reads, writes and adds.

Rows of contract/surfaces.md 1. A door is such a row: its prefixes, its credentials, the
operations that it serves and at which paths, the dialect it speaks, its envelope and the
form of its errors.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import field, replace
from functools import lru_cache
from typing import Final, Literal

from app.canonical.record import record
from app.dialects import dialect
from app.errors import GatewayError
from app.operations import OPERATIONS, Route
from app.surfaces.routes.bedrock import bedrock_routes
from app.surfaces.routes.google import gemini_routes, gemini_verbs, vertex_routes

Envelope = Literal["extra_fields", "provider", "headers"]


@record
class Credentials:
    """Where a caller's key is looked for: ``Authorization: Bearer``, then ``headers`` in order,
    then the query's member ``query``. ``keyless``: nobody is asked."""

    headers: tuple[str, ...] = ()
    query: str | None = None
    keyless: bool = False


KEYLESS: Final = Credentials(keyless=True)


def _openai_routes() -> Mapping[str, tuple[Route, ...]]:
    return {name: row.routes for name, row in OPERATIONS.items()}


@record
class Mount:
    """One door.

    ``prefixes`` may hold ``<path:deployment>``; ``at_root``: the exact paths also stand without any. ``operations`` are those it serves, by name, with
    their paths below a prefix; OpenAI's by default. ``dialect`` is what generation reads and
    writes here and how errors are written, None for each operation's own and OpenAI's errors.
    ``envelope``: ``extra_fields`` or ``provider`` beside the members of an answer, or nothing in
    bodies and all in ``headers``. ``default_provider`` is whom a bare model name means,
    or the first of ``homes`` that is configured.
    ``request_id`` is a further header for the request's id, ``error_id`` a member of errors for it, ``error``
    the component that describes them. ``versioned``: ``api-version`` is
    checked. ``page_members``: JSON answers of POST responses have the page's own members, too.
    ``plain_retrieve``: GET responses has no envelope. ``chat_shaped``: POST responses also takes
    a chat-shaped body. ``cost_object``: chat's ``usage.cost`` is the object that page 003 shows.
    """

    name: str
    prefixes: tuple[str, ...]
    credentials: Credentials
    at_root: bool = False
    operations: Mapping[str, tuple[Route, ...]] = field(default_factory=_openai_routes)
    dialect: str | None = None
    envelope: Envelope = "extra_fields"
    default_provider: str | None = None
    homes: tuple[str, ...] = ()
    request_id: str | None = None
    error_id: str | None = None
    error: str = "Error"
    versioned: bool = False
    page_members: bool = False
    plain_retrieve: bool = False
    chat_shaped: bool = False
    cost_object: bool = False

    def bare_means(self, configured: Container[str]) -> str | None:
        """Return the provider that a bare model name means here, None where the catalogue decides."""
        return next((name for name in self.homes if name in configured), self.default_provider)

    def restated(self, error: GatewayError) -> GatewayError:
        """Return an error with the HTTP status that its kind has here."""
        status = error.status if self.dialect is None else dialect(self.dialect).error_status(error)
        return error if status == error.status else error.with_status(status)


_COUNT: Final = Route(
    "POST",
    "/messages/count_tokens",
    "views.messages.count",
    "views.messages.MessageTokens",
    body="views.messages.MessagesCountBody",
)
_MESSAGES: Final = Route(
    "POST",
    "/messages",
    "views.messages.create",
    "views.messages.Message",
    body="views.messages.MessagesBody",
    streams=True,
)
_ANTHROPIC: Final = Mount(
    "anthropic",
    ("/anthropic/v1", "/anthropic"),
    Credentials(("x-api-key", "x-bf-vk")),
    operations={
        "chat": (_MESSAGES,),
        "count_tokens": (_COUNT,),
        "models": (
            Route(
                "GET",
                "/models",
                "views.models.listed",
                "views.messages.MessagesModelList",
                query=("limit", "after_id", "before_id", "provider"),
            ),
            Route("GET", "/models/<path:model_id>", "views.models.one", "views.messages.MessagesModel"),
        ),
    },
    dialect="messages",
    envelope="headers",
    homes=("anthropic",),
    request_id="request-id",
    error_id="request_id",
    error="MessagesError",
)
_MESSAGES_ALONE: Final = {
    "chat": (replace(_MESSAGES, path=""),),
    "count_tokens": (replace(_COUNT, path="/count_tokens"),),
}
"""Messages below a prefix that ends in ``/messages``, where another door serves the rest."""
_COHERE: Final = Mount(
    "cohere",
    ("/cohere",),
    Credentials(("x-bf-vk",)),
    operations={
        "chat": (
            Route(
                "POST",
                "/v2/chat",
                "views.cohere.chat",
                "views.cohere.CohereAnswer",
                body="views.cohere.CohereChatBody",
                streams=True,
            ),
        ),
        "embedding": (
            Route(
                "POST",
                "/v2/embed",
                "views.cohere.embed",
                "views.cohere.CohereEmbeddings",
                body="views.cohere.CohereEmbedBody",
                dialect="embeddings_cohere",
            ),
        ),
        "rerank": (
            Route(
                "POST",
                "/v2/rerank",
                "views.media.rerank",
                "views.cohere.CohereRanking",
                body="body.schemas.media.RerankBody",
                dialect="rerank_cohere",
            ),
        ),
        "models": (
            Route(
                "GET",
                "/v1/models",
                "views.models.listed",
                "views.cohere.CohereModelList",
                query=("page_size", "page_token", "endpoint", "provider"),
            ),
            Route("GET", "/v1/models/<path:model_id>", "views.models.one", "views.cohere.CohereModel"),
        ),
    },
    dialect="cohere",
    envelope="headers",
    homes=("cohere",),
    error_id="id",
    error="CohereError",
)

_GOOGLE_KEYS: Final = Credentials(("x-goog-api-key", "x-bf-vk"), query="key")


def _google_prefixes(*versions: str) -> tuple[str, ...]:
    return tuple(f"{door}{version}" for door in ("/genai", "/gemini") for version in versions)


def _gemini(name: str, prefixes: tuple[str, ...], operations: Mapping[str, tuple[Route, ...]]) -> Mount:
    return Mount(
        name,
        prefixes,
        _GOOGLE_KEYS,
        operations=operations,
        dialect="gemini",
        envelope="headers",
        homes=("gemini", "vertex"),
        error="GoogleError",
    )


MOUNTS: Final[tuple[Mount, ...]] = (
    Mount(
        "unified",
        ("/v1",),
        Credentials(("x-bf-vk", "x-api-key", "api-key", "x-goog-api-key")),
        at_root=True,
        page_members=True,
    ),
    Mount(
        "unified_v2",
        ("/v2",),
        Credentials(("x-bf-vk", "x-api-key", "api-key", "x-goog-api-key")),
        operations={"rerank": OPERATIONS["rerank"].routes},
    ),
    Mount(
        "openai",
        ("/openai/v1", "/openai", "/openai/openai"),
        Credentials(("api-key",)),
        default_provider="openai",
        request_id="apim-request-id",
        versioned=True,
        plain_retrieve=True,
        cost_object=True,
    ),
    Mount(
        "azure",
        (
            "/openai/deployments/<path:deployment>",
            "/openai/openai/deployments/<path:deployment>",
            "/openai/v1/deployments/<path:deployment>",
        ),
        Credentials(("api-key",)),
        default_provider="azure",
        request_id="apim-request-id",
        versioned=True,
        page_members=True,
        plain_retrieve=True,
    ),
    Mount(
        "truefoundry",
        ("/api/llm/api/inference/openai", "/api/llm/api/inference/openai/v1", "/api/llm"),
        Credentials(),
        envelope="provider",
        plain_retrieve=True,
        chat_shaped=True,
    ),
    _ANTHROPIC,
    _COHERE,
    replace(_ANTHROPIC, name="messages", prefixes=("/v1/messages",), operations=_MESSAGES_ALONE),
    replace(
        _ANTHROPIC,
        name="truefoundry_messages",
        prefixes=("/api/llm/messages",),
        credentials=Credentials(("x-api-key",)),
        operations=_MESSAGES_ALONE,
    ),
    _gemini(
        "gemini",
        (*_google_prefixes("/v1beta", "/v1", "/v1alpha", ""), "/v1beta", "/v1alpha"),
        gemini_routes(),
    ),
    _gemini("gemini_verbs", ("/v1",), gemini_verbs("/models", rest="<path:deployment>:<verb>")),
    replace(
        _gemini(
            "vertex",
            _google_prefixes(
                "/v1beta1",
                "/v1",
                "/v1beta1/projects/<project>/locations/<location>",
                "/v1/projects/<project>/locations/<location>",
            ),
            vertex_routes(),
        ),
        homes=(),
        default_provider="vertex",
    ),
    Mount(
        "bedrock",
        ("/bedrock",),
        Credentials(("x-bf-vk", "x-api-key")),
        operations=bedrock_routes(),
        dialect="converse",
        envelope="headers",
        default_provider="bedrock",
        request_id="x-amzn-requestid",
        error="AwsError",
    ),
)


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
