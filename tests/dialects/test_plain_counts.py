"""A usage that is taken for plain counts is decoded to just what the whole reading of it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.canonical.response import Usage
from app.dialects.chat import usage as chat
from app.dialects.responses import response as responses
from app.dialects.shared import usage_repair
from app.dialects.shared.plain_counts import OF_CHAT, OF_RESPONSES, PlainCounts

_COUNTS = st.sampled_from([0, 1, 2, 3, 5, None, -1, True, 1.0, 2.5, "2", 2**53, 2**53 + 1, {}])
_DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens", "note"]),
    _COUNTS,
    max_size=3,
)
_USAGES = st.fixed_dictionaries(
    {"prompt_tokens": _COUNTS, "completion_tokens": _COUNTS, "total_tokens": _COUNTS},
    optional={
        "prompt_tokens_details": _DETAILS,
        "completion_tokens_details": _DETAILS,
        "cached_tokens": _COUNTS,
        "reasoning_tokens": _COUNTS,
        "cost": st.sampled_from([0.1, None]),
        "queue_time": st.just(0.1),
    },
)
_WIRES: dict[str, Callable[[Any], Usage | None]] = {
    "chat": chat.decode_usage,
    "responses": responses.decode_usage,
}


def _named(usage: dict[str, Any], wire: str) -> dict[str, Any]:
    """Return ``usage`` by the names of ``wire``."""
    if wire == "chat":
        return usage
    names = {"prompt": "input", "completion": "output"}
    first = {name: name.partition("_")[0] for name in usage}
    return {name.replace(first[name], names.get(first[name], first[name])): usage[name] for name in usage}


@pytest.mark.parametrize("wire", _WIRES)
@settings(max_examples=1000)
@given(_USAGES)
@example({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
@example(
    {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 1, "audio_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
    }
)
def test_plain_counts_are_read_as_if_they_were_none(wire: str, usage: dict[str, Any]) -> None:
    usage, decode = _named(usage, wire), _WIRES[wire]
    quick = repr(decode(usage)), usage_repair.is_valid(usage)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlainCounts, "fit", lambda self, usage: False)
        assert (repr(decode(usage)), usage_repair.is_valid(usage)) == quick


@pytest.mark.parametrize(("wire", "plain"), [("chat", OF_CHAT), ("responses", OF_RESPONSES)])
def test_the_apis_own_counts_are_plain(wire: str, plain: PlainCounts) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert plain.fit(_named({**usage, "prompt_tokens_details": {"cached_tokens": 1}}, wire))
    assert not plain.fit(_named({**usage, "total_tokens": 6}, wire))
