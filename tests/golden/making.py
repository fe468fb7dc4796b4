"""Makes the records: one request at one target, as far as the socket.

The gateway's own router, exchanges and providers do the work; credentials are left out, ids are
counted and signatures are sealed readably, so that a record is the same at each making.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from app.canonical.images import ImageKind
from app.canonical.media import Upload
from app.canonical.request import Signature
from app.config_loading import load
from app.dialects import dialect_of
from app.dialects.base import Row
from app.dialects.media.images import ImageDialect
from app.errors import GatewayError
from app.gateway.call import Abort, Call, Principal, Sealing, Target
from app.gateway.core import Gateway
from app.gateway.exchange import Exchange, Sent
from app.gateway.operations import exchange
from app.gateway.translation import server_context
from app.gateway.upstreams import client_headers
from app.operations import OPERATIONS
from app.providers.base import Provider
from app.surfaces.body.schemas import check
from tests.golden.fixtures import PNG, WAV
from tests.golden.surfaces import SURFACES

ENVIRONMENT: Mapping[str, str] = {
    **{
        f"{name}_API_KEY": "a-key"
        for name in (
            "OPENAI ANTHROPIC AZURE_OPENAI COHERE MISTRAL GEMINI GROQ OPENROUTER PARASAIL PERPLEXITY "
            "CEREBRAS SGL OLLAMA ELEVENLABS"
        ).split()
    },
    "AWS_BEARER_TOKEN_BEDROCK": "a-key",
    "AWS_REGION": "us-east-1",
    "AZURE_OPENAI_ENDPOINT": "https://example-resource.openai.azure.com",
    "VERTEX_ACCESS_TOKEN": "a-key",
    "VERTEX_PROJECT": "example-project",
    "VERTEX_LOCATION": "us-east5",
    "SGL_BASE_URL": "http://127.0.0.1:30000/v1",
    "OLLAMA_BASE_URL": "http://127.0.0.1:11434/v1",
}
_KINDS: Mapping[str, ImageKind] = {
    "image_generation": "generation",
    "image_edit": "edit",
    "image_variation": "variation",
}
DIALECTS: Mapping[str, str] = {
    "chat": "chat",
    "responses": "responses",
    "completion": "completions",
    "embedding": "embeddings_openai",
    "moderation": "moderations",
    "speech": "openai_speech",
    "transcription": "openai_transcription",
    "translation": "openai_translation",
    **dict.fromkeys(_KINDS, "images"),
    **{name: name for name in SURFACES},
}
_BODIES: Mapping[str, str] = {
    "messages": "views.messages.MessagesBody",
    "gemini": "body.schemas.gemini.GenerateContentBody",
    "converse": "body.schemas.bedrock.ConverseBody",
    "cohere": "views.cohere.CohereChatBody",
}


@dataclass
class Record:
    """What goes out, or the refusal; ``dialect`` is the wire's."""

    method: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    warnings: list[dict[str, str]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    dialect: str = ""

    def stored(self) -> dict[str, Any]:
        """The record as it is kept in a file."""
        if self.error is not None:
            return {"refused": self.error}
        kept = {"method": self.method, "url": self.url, "headers": self.headers, "body": self.body}
        return kept | ({"warnings": self.warnings} if self.warnings else {})


def make_gateway() -> Gateway:
    """A gateway that knows every provider at its own address and opens nothing."""
    return Gateway(load(ENVIRONMENT, None))


def record(gateway: Gateway, operation: str, body: Mapping[str, Any], model: str) -> Record:
    """Put a request to a target and stop before it is sent."""
    numbers = itertools.count(1)
    with mock.patch("app.gateway.translation.mint", lambda prefix: f"{prefix}_{next(numbers)}"):
        call = _call(operation, {**body, "model": model})
        try:
            return _outgoing(gateway, call)
        except GatewayError as error:
            return Record(error={"status": error.status, "param": error.param, "message": error.message})


def _call(operation: str, body: Mapping[str, Any]) -> Call:
    model: str = body["model"]
    stream = body.get("stream") in (True, "true") or operation == "speech"
    return Call(
        id="req_1",
        operation="chat" if operation in SURFACES else operation,
        dialect=DIALECTS[operation],
        body=body,
        model=model,
        candidates=(model,),
        principal=Principal("key", "tenant"),
        abort=Abort(),
        sealing=Sealing(wrap, _unwrap),
        deadline=float("inf"),
        stream=stream,
        response_id="resp_1" if operation == "responses" else None,
        created_at=1_700_000_000,
    )


def wrap(signature: Signature) -> str:
    return f"sealed|{signature.dialect}|{signature.realm}|{signature.value}"


def _unwrap(text: str) -> Signature | None:
    if not text.startswith("sealed|"):
        return None
    _, name, realm, value = text.split("|", 3)
    return Signature(value, name, realm)


def _outgoing(gateway: Gateway, call: Call) -> Record:
    schema = _BODIES.get(call.dialect) or OPERATIONS[call.operation].routes[0].body
    if schema is not None:
        check(schema, call.body)
    if call.operation in _MEDIA:
        call = replace(call, request=_media_request(call))
    step = gateway.plan(call).steps[0]
    if isinstance(step, GatewayError):
        raise step
    made = exchange(call, step)
    return _record_of(call, step.target, made, made.send())


_MEDIA = ("embedding", "moderation", "speech", "transcription", "translation", *_KINDS)


def _media_request(call: Call) -> Any:
    context = server_context(call, call.model)
    if call.operation in ("transcription", "translation"):
        file = Upload("speech.wav", "audio/wav", WAV.encode())
        return dialect_of(Row, call.dialect).decode_request(list(call.body.items()), file, context)
    if call.operation in _KINDS:
        png = Upload("picture.png", "image/png", base64.b64decode(PNG))
        files = [("image", png), *([("mask", png)] if call.operation == "image_edit" else [])]
        wire = dialect_of(ImageDialect, call.dialect)
        return wire.decode_request(_KINDS[call.operation], call.body, files, context)
    return dialect_of(Row, call.dialect).decode_request(call.body, context)


class _Anonymous:
    """No credentials: the records show none."""

    def headers(self, *_: Any) -> Mapping[str, str]:
        return {}


def _record_of(call: Call, target: Target, made: Exchange, sent: Sent) -> Record:
    wire = sent.wire or made.wire
    spec = replace(target.provider.spec, auth=_Anonymous())
    bare = Provider(spec, target.provider.settings, None)
    headers = client_headers(call, target, sent, wire)
    stream = call.stream and wire.streams
    data = sent.body if isinstance(sent.body, bytes) or sent.body is None else b"".join(sent.body)
    out = bare.outgoing(wire, target.key, target.model, data, stream=stream, headers=headers)
    kept = {name: value for name, value in out.headers.items() if name not in ("content-length",)}
    losses = made.losses.items
    return Record(
        out.method,
        out.url,
        _without_boundary(kept),
        _body(data, kept),
        [{"param": loss.param, "message": loss.message} for loss in losses],
        dialect=wire.dialect,
    )


def _body(data: bytes | None, headers: Mapping[str, str]) -> Any:
    if data is None or headers.get("content-type", "").startswith("application/json"):
        return None if data is None else json.loads(data)
    parts = data.split(b"\r\n")
    return [line.decode("latin-1") for line in parts if line and not line.startswith(b"--")]


def _without_boundary(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value.partition("; boundary")[0] for name, value in sorted(headers.items())}
