"""Azure: OpenAI's models by deployment or by the v1 paths, Claude by its own, one endpoint.

Two forms of URL: ``/openai/deployments/{deployment}/…`` with a
dated ``api-version``, and ``/openai/v1/…`` with the deployment as ``model`` in the body. The
second is taken when ``api_version`` is ``v1`` or ``preview``, or the endpoint ends in
``/openai/v1``. Responses have the second form only.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from app.config import ProviderSettings
from app.dialects import models
from app.dialects.media import openai_transcription
from app.dialects.messages.options import MessagesOptions
from app.dialects.responses.compatibility import ResponsesOptions
from app.dialects.shared.claude import is_claude
from app.providers import anthropic, chat_rows, openai, openai_like
from app.providers.auth import HeaderAuth
from app.providers.azure_auth import MISSING, AzureAuth
from app.providers.base import Spec, Wire, default_url

API_VERSION: Final = "2024-10-21"
_EDITS_VERSION: Final = "2025-04-01-preview"  # the first that edits pictures

_DEPLOYMENT: Final = "/openai/deployments/{model}"
_V1: Final = "/openai/v1"
_UNDATED: Final = frozenset({"v1", "preview"})
_OTHER_MAKERS: Final = re.compile(
    r"grok|deepseek|llama|mistral|ministral|phi-|kimi|qwen|cohere|jamba", re.IGNORECASE
)

_RESPONSES: Final = ResponsesOptions(
    reasoning_models=openai.REASONERS, dropped_when_reasoning=openai.RESPONSES.dropped_when_reasoning
)

_CLAUDE: Final[dict[str, Wire]] = {
    "chat": anthropic.messages("/anthropic/v1/messages", options=MessagesOptions(), realm=anthropic.SIGNERS),
    "count_tokens": anthropic.messages(
        "/anthropic/v1/messages/count_tokens", options=MessagesOptions(), streams=False
    ),
}


def _wires(root: str) -> dict[str, Wire]:
    """Return the wires of OpenAI's models below ``root``; Responses are always at the v1 paths."""
    account = root.removesuffix("/deployments/{model}")
    return {
        "responses": Wire("responses", f"{_V1}/responses", options=_RESPONSES, passes=True),
        "chat": openai_like.chat(chat_rows.AZURE, root=root, passes=True),
        "completion": openai_like.completion(root),
        "embedding": openai_like.embedding(root=root),
        "speech": openai_like.speech(root=root),
        "transcription": openai_like.transcription(openai_transcription.OPENAI, root=root),
        "translation": openai_like.translation(root=root),
        **openai_like.images(root=root),
        "file_upload": openai_like.files(root=account),
        "batch_create": openai_like.batches("/chat/completions", root=account, version=""),
        "models": openai_like.models(account, models.AZURE),
    }


def _others(wires: dict[str, Wire]) -> dict[str, Wire]:
    """Return the wires of other makers' models: the older chat members, and no Responses."""
    chat = Wire("chat", wires["chat"].path, options=chat_rows.OTHER_MAKERS)
    return {name: wire for name, wire in wires.items() if name != "responses"} | {"chat": chat}


_DATED_WIRES: Final = _wires(_DEPLOYMENT)
_V1_WIRES: Final = _wires(_V1)
_DATED_OTHERS: Final = _others(_DATED_WIRES)
_V1_OTHERS: Final = _others(_V1_WIRES)


def _is_v1(settings: ProviderSettings) -> bool:
    endpoint = (settings.base_url or "").rstrip("/")
    return settings.options.get("api_version") in _UNDATED or endpoint.endswith(_V1)


def _choose(settings: ProviderSettings, operation: str, model: str) -> Wire | None:
    """Return the wire for a deployment. Its name tells its maker, and the settings the form of URL."""
    if is_claude(model) and operation != "models":
        return _CLAUDE.get(operation)
    wires, others = (_V1_WIRES, _V1_OTHERS) if _is_v1(settings) else (_DATED_WIRES, _DATED_OTHERS)
    return (others if _OTHER_MAKERS.search(model) else wires).get(operation)


def _url(settings: ProviderSettings, base: str, wire: Wire, model: str, stream: bool) -> str:
    endpoint = base.rstrip("/").removesuffix(_V1).removesuffix("/openai")
    url = default_url(settings, endpoint, wire, model, stream)
    version = _version(settings, wire)
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'api-version': version})}" if version else url


def _version(settings: ProviderSettings, wire: Wire) -> str | None:
    """Return the ``api-version`` of a wire, None where the path says it."""
    version = settings.options.get("api_version")
    if wire.dialect == "messages":
        return None
    if wire.path.startswith(_V1):
        if wire.dialect == "responses" and version != "v1":
            return "preview"
        return version if version == "preview" else None
    if version in (None, *_UNDATED):
        return _EDITS_VERSION if wire.path.endswith("/images/edits") else API_VERSION
    return version


def bind(settings: ProviderSettings, egress: Any, transport: Any) -> Spec:
    """Return the spec with these settings' credentials."""
    return replace(SPEC, auth=AzureAuth(settings, transport))


SPEC: Final = Spec(
    name="azure",
    auth=HeaderAuth("api-key"),
    wires={**_DATED_WIRES, "count_tokens": _CLAUDE["count_tokens"]},
    choose=_choose,
    url=_url,
    price_as="azure",
    missing=MISSING,
)
