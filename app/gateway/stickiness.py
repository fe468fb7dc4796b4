"""Which calls go to the same target and key, so that a provider's prompt cache hits.

Those with the same ``prompt_cache_key``, else the turns of one conversation or one chain of responses. The place is
found by rendezvous hashing with the weights, so every process finds the same one, and a target that is added or
taken away moves only its share. Health comes first: a target that rests goes behind the others all the same.

Tests: tests/governance/test_stickiness.py, tests/gateway/test_strategies.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from app.gateway.call import Call

T = TypeVar("T")
_MEMBER = "prompt_cache_key"


class Bond(NamedTuple):
    """What keeps calls together: its name for people, and what is hashed."""

    name: str
    key: str


def bond_of(call: Call) -> Bond | None:
    """Return what keeps ``call`` with others of its tenant, None for a call of its own."""
    own = call.body.get(_MEMBER)
    if isinstance(own, str) and own:
        return Bond(_MEMBER, f"{call.principal.tenant}\0{own}")
    return None if call.thread is None else Bond("its thread", f"{call.principal.tenant}\0{call.thread}")


def rank(bond: Bond, weighted: Iterable[tuple[T, float]], name: Callable[[T], str]) -> list[T]:
    """Return what is weighted in the order in which the calls of ``bond`` try it."""

    def score(pair: tuple[T, float]) -> float:
        digest = blake2b(f"{bond.key}\0{name(pair[0])}".encode("utf-8", "replace"), digest_size=8).digest()
        drawn = (int.from_bytes(digest) + 1) / (2**64 + 1)
        return -math.log(drawn) / pair[1]

    return [value for value, _ in sorted(weighted, key=score)]
