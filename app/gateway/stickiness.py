"""Send calls that belong together to the same target and key, so that a provider's prompt cache hits.

These are calls with the same ``prompt_cache_key``; else, where the operator wants it, calls whose prompts begin
alike; else the turns of one conversation or chain of responses. Rendezvous hashing with the weights finds the
target, so all processes agree, and adding or removing a target moves only its share of calls. Health comes
first: a target with an open circuit still goes behind the others.

Tests: tests/governance/test_stickiness.py, tests/gateway/test_stickiness.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeVar

from app.gateway.call import Call
from app.gateway.estimates import CHARACTERS, NO_INPUT

T = TypeVar("T")
_MEMBER: Final = "prompt_cache_key"
_PREFIX: Final = 1_024 * CHARACTERS
"""Characters of a prompt that are compared: about 1,024 tokens, the shortest prompt that providers keep
(OpenAI, "Prompt caching", 2026-11)."""
_OPERATIONS: Final = frozenset({"chat", "responses", "completion"})
_PROMPT_MEMBERS: Final = (
    *("tools", "toolConfig", "system", "instructions", "systemInstruction", "system_instruction"),
    *("messages", "contents", "input", "prompt"),
)
"""The members of a prompt in any dialect, in the order in which providers read them."""
_END: Final = object()
_SKIPPED: Final = NO_INPUT | {"status", "cache_control", "cachePoint"}


class Stickiness(NamedTuple):
    """What ties calls to each other: its name for people, and the text that is hashed."""

    name: str
    key: str


def stickiness_of(call: Call, by_prompt: bool = False) -> Stickiness | None:
    """Return what ties ``call`` to others of its tenant, None for a call of its own.

    With ``by_prompt`` the beginning of a prompt counts that is long enough for a provider's cache."""
    tenant, own = call.principal.tenant, call.body.get(_MEMBER)
    if isinstance(own, str) and own:
        return Stickiness(_MEMBER, f"{tenant}\0{own}")
    beginning = _first_texts(call) if by_prompt and call.operation in _OPERATIONS else None
    if beginning is not None:
        return Stickiness("the beginning of its prompt", f"{tenant}\0{beginning}")
    return None if call.thread is None else Stickiness("its thread", f"{tenant}\0{call.thread}")


def rank(stickiness: Stickiness, weighted: Iterable[tuple[T, float]], name: Callable[[T], str]) -> list[T]:
    """Return the weighted values in the order in which calls of ``stickiness`` try them."""

    def score(pair: tuple[T, float]) -> float:
        digest = blake2b(
            f"{stickiness.key}\0{name(pair[0])}".encode("utf-8", "replace"), digest_size=8
        ).digest()
        draw = (int.from_bytes(digest) + 1) / (2**64 + 1)
        return -math.log(draw) / pair[1]

    return [value for value, _ in sorted(weighted, key=score)]


def _first_texts(call: Call) -> str | None:
    """Return the first texts of a prompt, its history included, and read no more; None for a shorter prompt."""
    body, texts, left = call.full_body, [], _PREFIX
    for text in _texts([body[name] for name in _PROMPT_MEMBERS if name in body]):
        texts.append(text[:left])
        left -= len(texts[-1])
        if not left:
            return "\0".join(texts)
    return None


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Yield the texts within values, in order."""
    stack = [iter(values)]
    while stack:
        value = next(stack[-1], _END)
        if value is _END:
            stack.pop()
        elif isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            stack.append(inner for name, inner in value.items() if name not in _SKIPPED)
        elif isinstance(value, list | tuple):
            stack.append(iter(value))
