"""What makes two calls the same: the canonical form of a request, and its digest (decision 43).

Tests: tests/gateway/test_cache_identity.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from app.config import Settings
from app.gateway.call import Call
from app.responses_form.items import as_items
from app.wire.json import dumps_sorted, with_whole_numbers

UNCOUNTED: Final = frozenset(
    {
        *("stream", "stream_options", "user", "metadata", "safety_identifier", "store", "background"),
        *("previous_response_id", "conversation", "prompt_cache_key", "prompt_cache_retention", "model"),
    }
)
"""Top-level members that say who asks, how the answer travels or where it is stored."""

_DEFAULTS: Final[Mapping[str, Any]] = {
    "temperature": 1,
    "top_p": 1,
    "n": 1,
    "best_of": 1,
    "echo": False,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
    "top_logprobs": 0,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "truncation": "disabled",
    "service_tier": "auto",
    "response_format": {"type": "text"},
    "text": {"format": {"type": "text"}},
    "encoding_format": "float",
}
"""Members that mean the same as their absence, by OpenAI's reference (read November 2026)."""
_CALLS: Final = 1_024  # whose digests are begun
_OPENAI_FORMS: Final = frozenset({"chat", "responses", "completions", "embeddings_openai"})


class Digests:
    """Names the questions of calls, under the settings of this process."""

    def __init__(self, settings: Settings) -> None:
        self._aliases = {name: repr(alias) for name, alias in settings.aliases.items()}

    def of(self, call: Call, scope: str) -> str:
        """Return the name of the cached answer to ``call``: ``cache_`` and 48 hexadecimal digits."""
        return self.of_form(call, scope, form_of(call.dialect, call.full_body))

    def of_form(self, call: Call, scope: str, form: Mapping[str, Any]) -> str:
        """Return the name of the answer to ``form``, and to all of ``call`` but its body."""
        betas = {name: text for name, text in call.client_headers.items() if name.startswith("anthropic-")}
        digest = _digest_of(
            call.principal.tenant,
            scope,
            call.dialect,
            call.operation,
            call.model,
            self._aliases.get(call.model, "None"),
            call.candidates,
            call.default_provider,
            call.strict,
            call.may_leave_out,
            call.prefer,
        ).copy()
        digest.update(dumps_sorted([betas, form])[1:])
        return f"cache_{digest.hexdigest()[:48]}"


@lru_cache(_CALLS)
def _digest_of(*members: Any) -> Any:
    """Return the digest of the first elements of an array, which most calls share; who goes on copies it."""
    plain = [sorted(one) if isinstance(one, frozenset) else one for one in members]
    return hashlib.sha256(dumps_sorted(plain)[:-1] + b",")


def form_of(dialect: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the canonical form of an expanded body: what the answer depends on, written in one way."""
    form = {
        name: with_whole_numbers(v) for name, v in body.items() if name not in UNCOUNTED and v is not None
    }
    if dialect in _OPENAI_FORMS:
        form = {name: v for name, v in form.items() if not _is_default(name, v)}
    if dialect == "responses":
        form["input"] = [_without_id(with_whole_numbers(item)) for item in as_items(body.get("input"))]
    return form


def _is_default(name: str, value: Any) -> bool:
    default = _DEFAULTS.get(name)
    return default is not None and type(value) is type(default) and value == default


def _without_id(item: dict[str, Any]) -> dict[str, Any]:
    """Return an input item without the id and status that it had as an output."""
    if item.get("type") == "item_reference":
        return item
    return {name: value for name, value in item.items() if name not in ("id", "status")}
