"""What the gateway can be asked for: one row an operation, which names it once.

Routes, plan, exchanges, schemas, the description of the API, envelopes and the tables of
providers read these rows. What lies above this module is named by its place and imported
when it is first used, as providers and dialects are; a test finds paths that do not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final, Literal

Method = Literal["GET", "POST", "DELETE", "OPTIONS"]


@dataclass(frozen=True, slots=True)
class Route:
    """One path of an operation, below the prefixes of a surface.

    ``view`` is a function below ``app.surfaces``, ``body`` a schema there (``chat_body`` at surfaces
    that take a chat-shaped body, too); ``optional_body``: it may be absent; ``form``: the body is
    multipart, whose fields ``body`` checks. ``answer`` is a component of the API's description: a name of ``openapi.shapes``, or
    the place of a shape below ``app.surfaces``. ``streams``: events come instead where the request
    asks for them. ``sealed``: the answer has its surface's envelope. ``query`` names the query's
    members. ``dialect`` is read and written at this path, where it is not its surface's. ``upgrades``: it is
    served over a WebSocket alone, whose messages have the ``body``.
    """

    method: Method
    path: str
    view: str
    answer: str
    body: str | None = None
    chat_body: str | None = None
    form: bool = False
    optional_body: bool = False
    query: tuple[str, ...] = ()
    streams: bool = False
    sealed: bool = False
    dialect: str | None = None
    upgrades: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. ``wires`` can serve it, best first (a provider's table has a wire for each name).

    ``request_type`` is its name in ``extra_fields``, None for the same. ``dialect`` is read and
    written where a surface has no dialect of its own. ``exchange`` makes one attempt's exchange,
    below ``app.gateway``.
    """

    name: str
    routes: tuple[Route, ...]
    request_type: str | None = None
    wires: tuple[str, ...] = ()
    dialect: str = ""
    exchange: str = ""


LINE_CALL: Final = "batch_lines.line_call"
"""The place, below ``app.surfaces``, of what makes the call of a batch's line."""

_PAGE: Final = ("limit", "order", "after", "before", "include")
_CONVERSATION: Final = "/conversations/<conversation_id>"

_FILE: Final = "/files/<file_id>"
_BATCH: Final = "/batches/<batch_id>"

_FILE_ROWS: Final = (
    Operation(
        "file_upload",
        dialect="files",
        wires=("file_upload",),
        routes=(Route("POST", "/files", "views.files.upload", "File", form=True, sealed=True),),
    ),
    Operation(
        "file_list",
        dialect="files",
        routes=(
            Route(
                "GET",
                "/files",
                "views.files.list_files",
                "FileList",
                query=("purpose", "limit", "order", "after"),
                sealed=True,
            ),
        ),
    ),
    Operation(
        "file_retrieve",
        dialect="files",
        routes=(Route("GET", _FILE, "views.files.retrieve", "File", sealed=True),),
    ),
    Operation(
        "file_delete",
        dialect="files",
        routes=(Route("DELETE", _FILE, "views.files.delete", "DeletedFile", sealed=True),),
    ),
    Operation(
        "file_content",
        dialect="files",
        routes=(Route("GET", _FILE + "/content", "views.files.content", "Content"),),
    ),
)
"""Files: of a tenant, kept by the gateway or at a provider."""

_BATCH_ROWS: Final = (
    Operation(
        "batch_create",
        dialect="files",
        wires=("batch_create",),
        routes=(
            Route(
                "POST",
                "/batches",
                "views.batches.create",
                "Batch",
                body="body.schemas.batches.BatchBody",
                sealed=True,
            ),
        ),
    ),
    Operation(
        "batch_list",
        dialect="files",
        routes=(
            Route(
                "GET",
                "/batches",
                "views.batches.list_batches",
                "BatchList",
                query=("limit", "after"),
                sealed=True,
            ),
        ),
    ),
    Operation(
        "batch_retrieve",
        dialect="files",
        routes=(Route("GET", _BATCH, "views.batches.retrieve", "Batch", sealed=True),),
    ),
    Operation(
        "batch_cancel",
        dialect="files",
        routes=(Route("POST", _BATCH + "/cancel", "views.batches.cancel", "Batch", sealed=True),),
    ),
)
"""Batches: many requests in a file, answered into files."""


def _images(operation: str, path: str, body: str, *, form: bool = True, streams: bool = True) -> Operation:
    """Return a row of pictures, at a path below ``/images``."""
    route = Route(
        "POST",
        f"/images/{path}",
        f"views.images.{operation}",
        "Images",
        body=f"body.schemas.media.{body}",
        form=form,
        streams=streams,
        sealed=True,
    )
    return Operation(
        operation, (route,), wires=(operation,), dialect="images", exchange="media.ImageExchange"
    )


_IMAGE_ROWS: Final = (
    _images("image_generation", "generations", "ImageBody", form=False),
    _images("image_edit", "edits", "ImageEditBody"),
    _images("image_variation", "variations", "ImageVariationBody", streams=False),
)
"""Pictures, of a prompt or of other pictures."""

_ROWS: Final = (
    Operation(
        "responses",
        wires=("responses", "chat"),
        dialect="responses",
        exchange="operations.generation",
        routes=(
            Route(
                "POST",
                "/responses",
                "views.responses.create",
                "Response",
                body="body.schemas.responses.ResponsesBody",
                chat_body="body.schemas.responses.ChatShapedResponsesBody",
                streams=True,
                sealed=True,
            ),
            Route(
                "GET",
                "/responses",
                "views.sockets.connect",
                "Response",
                body="body.schemas.responses.ResponsesBody",
                chat_body="body.schemas.responses.ChatShapedResponsesBody",
                upgrades=True,
            ),
            Route(
                "POST",
                "/responses/compact",
                "views.token_counts.compact",
                "Compaction",
                body="body.schemas.responses.CompactBody",
                sealed=True,
            ),
            Route(
                "GET",
                "/responses/<response_id>",
                "views.stored.retrieve",
                "Response",
                query=("include", "stream", "starting_after", "include_obfuscation"),
                streams=True,
            ),
            Route("DELETE", "/responses/<response_id>", "views.stored.delete", "DeletedResponse"),
            Route("POST", "/responses/<response_id>/cancel", "views.stored.cancel", "Response"),
            Route(
                "GET",
                "/responses/<response_id>/input_items",
                "views.stored.input_items",
                "ItemList",
                query=_PAGE,
            ),
        ),
    ),
    Operation(
        "chat",
        request_type="chat_completion",
        wires=("chat", "responses"),
        dialect="chat",
        exchange="operations.generation",
        routes=(
            Route(
                "POST",
                "/chat/completions",
                "views.generation.chat",
                "ChatCompletion",
                body="body.schemas.chat.ChatBody",
                streams=True,
                sealed=True,
            ),
        ),
    ),
    Operation(
        "completion",
        request_type="text_completion",
        wires=("completion", "chat"),
        dialect="completions",
        exchange="text_completion.CompletionExchange",
        routes=(
            Route(
                "POST",
                "/completions",
                "views.generation.completion",
                "TextCompletion",
                body="body.schemas.chat.CompletionBody",
                streams=True,
                sealed=True,
            ),
        ),
    ),
    Operation(
        "embedding",
        wires=("embedding",),
        dialect="embeddings_openai",
        exchange="media.EmbeddingExchange",
        routes=(
            Route(
                "POST",
                "/embeddings",
                "views.media.embedding",
                "Embeddings",
                body="body.schemas.media.EmbeddingBody",
                sealed=True,
            ),
        ),
    ),
    Operation(
        "rerank",
        wires=("rerank",),
        dialect="rerank",
        exchange="media.RerankExchange",
        routes=(
            Route(
                "POST",
                "/rerank",
                "views.media.rerank",
                "Rerank",
                body="body.schemas.media.RerankBody",
                sealed=True,
            ),
        ),
    ),
    Operation(
        "moderation",
        wires=("moderation",),
        dialect="moderations",
        exchange="media.ModerationExchange",
        routes=(
            Route(
                "POST",
                "/moderations",
                "views.media.moderation",
                "Moderation",
                body="body.schemas.media.ModerationBody",
                sealed=True,
            ),
        ),
    ),
    Operation(
        "speech",
        wires=("speech",),
        dialect="openai_speech",
        exchange="media.SpeechExchange",
        routes=(
            Route(
                "POST",
                "/audio/speech",
                "views.media.speech",
                "Speech",
                body="body.schemas.media.SpeechBody",
                streams=True,
            ),
        ),
    ),
    Operation(
        "transcription",
        wires=("transcription",),
        dialect="openai_transcription",
        exchange="media.TranscriptionExchange",
        routes=(
            Route(
                "POST",
                "/audio/transcriptions",
                "views.media.transcription",
                "Transcription",
                form=True,
                streams=True,
                sealed=True,
            ),
        ),
    ),
    Operation(
        "translation",
        wires=("translation",),
        dialect="openai_translation",
        exchange="media.TranscriptionExchange",
        routes=(
            Route(
                "POST",
                "/audio/translations",
                "views.media.translation",
                "Translation",
                form=True,
                sealed=True,
            ),
        ),
    ),
    *_IMAGE_ROWS,
    Operation(
        "models",
        request_type="list_models",
        wires=("models",),
        dialect="models",
        routes=(
            Route(
                "GET",
                "/models",
                "views.models.list_models",
                "ModelList",
                query=("provider", "limit", "after"),
            ),
            Route("GET", "/models/<path:model_id>", "views.models.retrieve", "Model"),
        ),
    ),
    Operation(
        "count_tokens",
        wires=("count_tokens",),
        dialect="responses",
        exchange="token_count.make_exchange",
        routes=(
            Route(
                "POST",
                "/responses/input_tokens",
                "views.token_counts.input_tokens",
                "InputTokens",
                body="body.schemas.responses.InputTokensBody",
                sealed=True,
            ),
        ),
    ),
    Operation(
        "conversations",
        request_type="responses",
        routes=(
            Route(
                "POST",
                "/conversations",
                "views.conversations.create",
                "Conversation",
                body="body.schemas.responses.ConversationBody",
                optional_body=True,
            ),
            Route("GET", _CONVERSATION, "views.conversations.get", "Conversation"),
            Route(
                "POST",
                _CONVERSATION,
                "views.conversations.update",
                "Conversation",
                body="body.schemas.responses.ConversationUpdateBody",
            ),
            Route("DELETE", _CONVERSATION, "views.conversations.delete", "DeletedConversation"),
            Route(
                "POST",
                _CONVERSATION + "/items",
                "views.conversations.add_items",
                "ItemList",
                body="body.schemas.responses.ConversationItemsBody",
                query=("include",),
            ),
            Route("GET", _CONVERSATION + "/items", "views.conversations.list_items", "ItemList", query=_PAGE),
            Route(
                "GET",
                _CONVERSATION + "/items/<item_id>",
                "views.conversations.get_item",
                "Item",
                query=("include",),
            ),
            Route(
                "DELETE",
                _CONVERSATION + "/items/<item_id>",
                "views.conversations.delete_item",
                "Conversation",
            ),
        ),
    ),
    *_FILE_ROWS,
    *_BATCH_ROWS,
)

OPERATIONS: Final[Mapping[str, Operation]] = {row.name: row for row in _ROWS}
"""By name."""

WIRES: Final = tuple(dict.fromkeys(wire for row in _ROWS for wire in row.wires))
"""The names that a provider's table may have a wire for."""


@cache
def request_type(operation: str, stream: bool) -> str:
    """Return ``extra_fields.request_type`` of an operation, with ``_stream`` where it streams."""
    row = OPERATIONS[operation]
    name = row.request_type or row.name
    return f"{name}_stream" if stream else name


def resolve(part: str, place: str) -> Any:
    """Return what is at ``place`` (``module.name``) below the package ``part`` of this application."""
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"app.{part}.{module}"), name)
