"""The mounts: at which paths each surface is served, who may call it, and what it reads, writes and adds.

Each is a row (docs/surfaces.md, "The surfaces"): prefixes, credentials, operations with their paths, the dialect, the
envelope and the form of errors.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import field, replace
from functools import lru_cache
from operator import itemgetter
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
    """Where the caller's key is: in ``Authorization: Bearer``, else in the first of ``headers`` that is set, else in the
    query parameter ``query``. ``keyless``: no key is needed."""

    headers: tuple[str, ...] = ()
    query: str | None = None
    keyless: bool = False


KEYLESS: Final = Credentials(keyless=True)


@record
class Mount:
    """One surface at its prefixes.

    ``prefixes`` may contain ``<model:deployment>``; ``at_root``: the exact paths are served without a prefix as well.
    ``operations`` are routes by the name of their operation, by default OpenAI's. ``dialect`` is that of prompts, answers
    and errors, None for each operation's own dialect and OpenAI's errors. ``envelope``: the member ``extra_fields`` or
    ``provider`` in answers, or ``headers`` alone. ``default_provider`` is the provider of a bare model name, unless one
    of ``home_providers`` is configured, of which the first counts. ``request_id`` is another header for the request's id,
    ``error_id`` a member of errors for it, ``error`` the component that describes errors. ``versioned``: ``api-version``
    is checked. ``summary_members``: JSON answers of POST responses also have ``conversation_id``, ``stop_reason`` and others.
    ``plain_retrieve``: GET responses has no envelope. ``chat_shaped``: POST responses also accepts a chat-shaped body.
    ``cost_object``: ``usage.cost`` of chat is an object.
    """

    name: str
    prefixes: tuple[str, ...]
    credentials: Credentials
    at_root: bool = False
    operations: Mapping[str, tuple[Route, ...]] = field(
        default_factory=lambda: {name: row.routes for name, row in OPERATIONS.items()}
    )
    dialect: str | None = None
    envelope: Envelope = "extra_fields"
    default_provider: str | None = None
    home_providers: tuple[str, ...] = ()
    request_id: str | None = None
    error_id: str | None = None
    error: str = "Error"
    versioned: bool = False
    summary_members: bool = False
    plain_retrieve: bool = False
    chat_shaped: bool = False
    cost_object: bool = False

    def provider_of_bare_name(self, configured: Container[str]) -> str | None:
        """Return the provider of a bare model name, None if the catalogue decides."""
        return next((name for name in self.home_providers if name in configured), self.default_provider)

    def status_of(self, error: GatewayError) -> int:
        """Return the HTTP status of an error in this dialect."""
        return error.status if self.dialect is None else dialect(self.dialect).error_status(error)

    def with_own_status(self, error: GatewayError) -> GatewayError:
        """Return an error with the HTTP status that its kind has in this dialect."""
        status = self.status_of(error)
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
                "views.models.list_models",
                "views.messages.MessagesModelList",
                query=("limit", "after_id", "before_id", "provider"),
            ),
            Route("GET", "/models/<path:model_id>", "views.models.retrieve", "views.messages.MessagesModel"),
        ),
    },
    dialect="messages",
    envelope="headers",
    home_providers=("anthropic",),
    request_id="request-id",
    error_id="request_id",
    error="MessagesError",
)
_MESSAGES_ALONE: Final = {
    "chat": (replace(_MESSAGES, path=""),),
    "count_tokens": (replace(_COUNT, path="/count_tokens"),),
}
"""Messages below a prefix that ends in ``/messages``, next to another surface."""
_EMBED: Final = Route(
    "POST",
    "/v2/embed",
    "views.cohere.embed",
    "views.cohere.CohereEmbeddings",
    body="views.cohere.CohereEmbedBody",
    dialect="embeddings_cohere",
)
_RERANK: Final = Route(
    "POST",
    "/v2/rerank",
    "views.media.rerank",
    "views.cohere.CohereRanking",
    body="body.schemas.media.RerankBody",
    dialect="rerank_cohere",
)
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
        "embedding": (_EMBED,),
        "rerank": (_RERANK,),
        "models": (
            Route(
                "GET",
                "/v1/models",
                "views.models.list_models",
                "views.cohere.CohereModelList",
                query=("page_size", "page_token", "endpoint", "provider"),
            ),
            Route("GET", "/v1/models/<path:model_id>", "views.models.retrieve", "views.cohere.CohereModel"),
        ),
    },
    dialect="cohere",
    envelope="headers",
    home_providers=("cohere",),
    error_id="id",
    error="CohereError",
)

_GOOGLE_KEYS: Final = Credentials(("x-goog-api-key", "x-bf-vk"), query="key")


_OTHER_VERBS: Final = "<model:deployment>:<verb>"


def _google_prefixes(*versions: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{version}" for prefix in ("/genai", "/gemini") for version in versions)


def _gemini(name: str, prefixes: tuple[str, ...], operations: Mapping[str, tuple[Route, ...]]) -> Mount:
    return Mount(
        name,
        prefixes,
        _GOOGLE_KEYS,
        operations=operations,
        dialect="gemini",
        envelope="headers",
        home_providers=("gemini", "vertex"),
        error="GoogleError",
    )


def _vertex(name: str, operations: Mapping[str, tuple[Route, ...]]) -> Mount:
    within = "/projects/<project>/locations/<location>"
    prefixes = _google_prefixes("/v1beta1", "/v1", f"/v1beta1{within}", f"/v1{within}")
    return replace(_gemini(name, prefixes, operations), home_providers=(), default_provider="vertex")


MOUNTS: Final[tuple[Mount, ...]] = (
    Mount(
        "unified",
        ("/v1",),
        Credentials(("x-bf-vk", "x-api-key", "api-key", "x-goog-api-key")),
        at_root=True,
        summary_members=True,
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
            "/openai/deployments/<model:deployment>",
            "/openai/openai/deployments/<model:deployment>",
            "/openai/v1/deployments/<model:deployment>",
        ),
        Credentials(("api-key",)),
        default_provider="azure",
        request_id="apim-request-id",
        versioned=True,
        summary_members=True,
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
    replace(
        _COHERE,
        name="cohere_v1",
        prefixes=("/cohere/v1",),
        operations={  # Bedrock has the vectors of v1
            "embedding": (replace(_EMBED, path="/embed", answer="Document", dialect="embeddings_bedrock"),),
            "rerank": (replace(_RERANK, path="/rerank"),),
        },
    ),
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
    _gemini("gemini_verbs", ("/v1",), gemini_verbs("/models", rest=_OTHER_VERBS)),
    _gemini(  # the AI SDK leaves out ``models/`` before a name with a slash
        "gemini_names",
        (*_google_prefixes("/v1beta", "/v1", "/v1alpha", ""), "/v1beta", "/v1alpha"),
        gemini_verbs("", rest=_OTHER_VERBS),
    ),
    _vertex("vertex", vertex_routes()),
    _vertex("vertex_names", gemini_verbs("/publishers/<publisher>", rest=_OTHER_VERBS)),
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
    """Return the mount of a URL path: the one with the longest fixed prefix."""
    prefixes = ((prefix.partition("/<")[0], mount) for mount in MOUNTS for prefix in mount.prefixes)
    above = ((len(prefix), mount) for prefix, mount in prefixes if f"{path}/".startswith(f"{prefix}/"))
    return max(above, key=itemgetter(0), default=(0, None))[1]
