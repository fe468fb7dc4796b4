"""Which calls go to the same target and key, so that a provider's prompt cache hits.

Those with the same ``prompt_cache_key``, else, where the operator wants it, those whose prompts begin alike, else the
turns of one conversation or one chain of responses. The place is found by rendezvous hashing with the weights, so every process finds the same one, and a target that is added or
taken away moves only its share. Health comes first: a target that rests goes behind the others all the same.

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
_BEGINNING: Final = 1_024 * CHARACTERS
"""Characters of a prompt that are compared: about 1,024 tokens, the shortest prompt that providers keep
(OpenAI, "Prompt caching", 2026-11)."""
_PROMPTED: Final = frozenset({"chat", "responses", "completion"})
_IN_ORDER: Final = (
    *("tools", "toolConfig", "system", "instructions", "systemInstruction", "system_instruction"),
    *("messages", "contents", "input", "prompt"),
)
"""The members that make a prompt, in any dialect, in the order in which providers read them."""
_END: Final = object()
_NOT_READ: Final = NO_INPUT | {"status", "cache_control", "cachePoint"}


class Stickiness(NamedTuple):
    """What keeps calls together: its name for people, and what is hashed."""

    name: str
    key: str


def bond_of(call: Call, by_prompt: bool = False) -> Stickiness | None:
    """Return what keeps ``call`` with others of its tenant, None for a call of its own.

    ``by_prompt``: the beginning of its prompt counts, where it is long enough to be kept by a provider."""
    tenant, own = call.principal.tenant, call.body.get(_MEMBER)
    if isinstance(own, str) and own:
        return Stickiness(_MEMBER, f"{tenant}\0{own}")
    beginning = _first_texts(call) if by_prompt and call.operation in _PROMPTED else None
    if beginning is not None:
        return Stickiness("the beginning of its prompt", f"{tenant}\0{beginning}")
    return None if call.thread is None else Stickiness("its thread", f"{tenant}\0{call.thread}")


def rank(stickiness: Stickiness, weighted: Iterable[tuple[T, float]], name: Callable[[T], str]) -> list[T]:
    """Return what is weighted in the order in which the calls of ``stickiness`` try it."""

    def score(pair: tuple[T, float]) -> float:
        digest = blake2b(
            f"{stickiness.key}\0{name(pair[0])}".encode("utf-8", "replace"), digest_size=8
        ).digest()
        drawn = (int.from_bytes(digest) + 1) / (2**64 + 1)
        return -math.log(drawn) / pair[1]

    return [value for value, _ in sorted(weighted, key=score)]


def _first_texts(call: Call) -> str | None:
    """Return the first texts of a prompt, its history included; None for a shorter one. No more of it is read."""
    body, found, left = call.full_body, [], _BEGINNING
    for text in _texts([body[name] for name in _IN_ORDER if name in body]):
        found.append(text[:left])
        left -= len(found[-1])
        if not left:
            return "\0".join(found)
    return None


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Yield the texts within values, in order."""
    open_now = [iter(values)]
    while open_now:
        value = next(open_now[-1], _END)
        if value is _END:
            open_now.pop()
        elif isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            open_now.append(inner for name, inner in value.items() if name not in _NOT_READ)
        elif isinstance(value, list | tuple):
            open_now.append(iter(value))
