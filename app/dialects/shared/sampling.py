"""Sampling parameters by their canonical names, which are OpenAI's: decoded from a body, and as members.

Each wire renames, drops or limits what it must.
"""

from __future__ import annotations

from typing import Any

from app.canonical.request import Sampling
from app.dialects.shared.strict_json import ClientObject


def decode_sampling(members: ClientObject) -> Sampling:
    """Return the sampling of a chat or text completion without ``logprobs``, which differ between them.

    Raises ``bad_request`` for the first member of a wrong type.
    """
    return Sampling(
        max_tokens=members.integer("max_tokens"),
        temperature=members.number("temperature"),
        top_p=members.number("top_p"),
        top_k=members.integer("top_k"),
        stop=members.texts("stop"),
        seed=members.integer("seed"),
        presence_penalty=members.number("presence_penalty"),
        frequency_penalty=members.number("frequency_penalty"),
        logit_bias=members.mapping("logit_bias"),
        n=members.integer("n"),
    )


def sampling_members(sampling: Sampling) -> dict[str, Any]:
    """Return all members of ``sampling`` as JSON, None for those that are not set."""
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": dict(sampling.logit_bias) if sampling.logit_bias else None,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "n": sampling.n,
    }
