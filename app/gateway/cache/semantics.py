"""The meaning of a conversation: the text of its last user message as a vector, and a digest of the rest, which must be equal.

Tests: tests/governance/test_semantic_cache.py, tests/gateway/test_cache_semantics.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from app.canonical.media import EmbeddingRequest
from app.config import SemanticSettings
from app.errors import GatewayError
from app.gateway.cache.identity import Digests, form_of
from app.gateway.call import Abort, Call
from app.gateway.run import Run

_MESSAGES: Final = ("messages", "input", "contents")
_LONGEST: Final = 32 * 1024  # characters
_SECONDS: Final = 5.0
_DIMENSIONS: Final = 16_384
"""Most numbers of a vector; models have a quarter. It is compared on the loop, with all of its group."""
_REST: Final = 60.0
_LOG: Final = logging.getLogger(__name__)


class Meaning(NamedTuple):
    """A vector of ``group``, the model that made it, and of how many tokens."""

    group: str
    vector: Sequence[float]
    target: str
    input_tokens: int


class PromptText(NamedTuple):
    """The text of the last user message, and the digest of the rest."""

    group: str
    text: str


def prompt_text_of(call: Call, digests: Digests, scope: str, semantic: SemanticSettings) -> PromptText | None:
    """Return what is compared by meaning; None if a conversation is too long, or does not end in a user's text."""
    form = form_of(call.dialect, call.full_body)
    name = next((one for one in _MESSAGES if isinstance(form.get(one), list)), None)
    items = form[name] if name is not None else []
    if name is None or not 0 < len(items) <= semantic.history or not isinstance(items[-1], Mapping):
        return None
    last, texts = _without_text(items[-1], name)
    text = "\n".join(texts).strip()
    if not text or len(text) > _LONGEST:
        return None
    form[name] = [*items[:-1], last]
    return PromptText(digests.of_form(call, f"{semantic.model}\n{scope}", form), text)


class Embedder:
    """Requests vectors by ``run``. A model that did not answer in time is left alone for a minute, so that an outage of its
    provider delays one call and not all; ``clock`` gives seconds."""

    def __init__(self, run: Callable[[Call], Run], clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._resting: dict[str, float] = {}

    def meaning_of(self, call: Call, prompt: PromptText, semantic: SemanticSettings) -> Meaning | None:
        """Return the vector of ``prompt``, requested from the configured model on the caller's account; None if none came."""
        began = self._clock()
        if began < self._resting.get(semantic.model, 0.0):
            return None
        try:
            outcome = self._run(_embedding_call(call, prompt, semantic)).result()
            vector = _vector_in(outcome.body)
        except GatewayError as error:
            call.abort.check()
            if self._clock() - began >= _SECONDS:
                self._resting[semantic.model] = self._clock() + _REST
            _LOG.warning("no embedding by '%s' for the cache: %s", semantic.model, error.raw or error.message)
            return None
        except (KeyError, IndexError, TypeError):
            _LOG.warning(
                "no embedding by '%s' for the cache: the answer holds none of 1 to %d numbers",
                semantic.model,
                _DIMENSIONS,
            )
            return None
        target = semantic.model if outcome.target is None else outcome.target.label
        return Meaning(prompt.group, vector, target, outcome.usage.input_tokens if outcome.usage else 0)


def _vector_in(body: Any) -> list[float]:
    """Return the vector of an answer; ``KeyError``, ``IndexError`` or ``TypeError`` for none of a possible length."""
    vector = body["data"][0]["embedding"]
    if not isinstance(vector, list) or not 0 < len(vector) <= _DIMENSIONS:
        raise TypeError(f"a vector is a list of 1 to {_DIMENSIONS} numbers")
    return vector


def _embedding_call(call: Call, prompt: PromptText, semantic: SemanticSettings) -> Call:
    inner = Abort()
    call.abort.listen(lambda: inner(call.abort.reason or GatewayError("client_gone", "Left.")))
    return Call(
        id=call.id,
        operation="embedding",
        dialect="embeddings_openai",
        body={"model": semantic.model, "input": prompt.text, "encoding_format": "float"},
        model=semantic.model,
        candidates=(semantic.model,),
        principal=replace(call.principal, allowances=()),  # the operator chose the model, not the key
        abort=inner,
        request=EmbeddingRequest(semantic.model, (prompt.text,)),
        sealing=call.sealing,
        deadline=min(call.deadline, time.monotonic() + _SECONDS),
        attempts=call.progress.side_attempts,
    )


def _without_text(item: Mapping[str, Any], holder: str) -> tuple[dict[str, Any], list[str]]:
    """Return a user's message without its texts, and the texts; any other message has none."""
    role = item.get("role", "user" if holder == "contents" else None)
    member = "content" if "content" in item else "parts"
    content = item.get(member)
    if role != "user":
        return {**item}, []
    if isinstance(content, str):
        return {**item, member: ""}, [content]
    blocks = content if isinstance(content, list) else []
    texts = [one["text"] for one in blocks if isinstance(one, Mapping) and isinstance(one.get("text"), str)]
    rest = [
        {**one, "text": ""} if isinstance(one, Mapping) and isinstance(one.get("text"), str) else one
        for one in blocks
    ]
    return {**item, member: rest}, texts
