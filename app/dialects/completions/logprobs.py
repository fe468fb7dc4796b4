"""Log probabilities in the form of text completions (parallel arrays) and as token objects.

Text completions: ``{tokens, token_logprobs, top_logprobs, text_offset}``. Canonical, as in chat
completions: ``[{token, logprob, top_logprobs: [{token, logprob}]}]``; ``text_offset`` is kept on each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.dialects.shared.lenient_json import as_dict, as_list, as_str, count, dicts, number


def token_rows(legacy: Any) -> tuple[dict[str, Any], ...]:
    """Return the token objects of a text completion's ``logprobs``."""
    members = as_dict(legacy)
    values, tops = as_list(members.get("token_logprobs")), as_list(members.get("top_logprobs"))
    offsets = as_list(members.get("text_offset"))
    rows = []
    for index, token in enumerate(as_list(members.get("tokens"))):
        top = as_dict(tops[index]) if index < len(tops) else {}
        row: dict[str, Any] = {
            "token": as_str(token),
            "logprob": number(values[index]) if index < len(values) else None,
            "top_logprobs": [{"token": name, "logprob": value} for name, value in top.items()],
        }
        if index < len(offsets) and count(offsets[index]) is not None:
            row["text_offset"] = offsets[index]
        rows.append(row)
    return tuple(rows)


def legacy_logprobs(rows: Sequence[Mapping[str, Any]], start: int = 0) -> dict[str, Any] | None:
    """Return token objects as a text completion's ``logprobs``, None if there are none.

    Missing offsets are counted in characters from ``start``.
    """
    if not rows:
        return None
    offset, offsets = start, []
    for row in rows:
        offset = row.get("text_offset", offset)
        offsets.append(offset)
        offset += len(as_str(row.get("token")))
    return {
        "tokens": [as_str(row.get("token")) for row in rows],
        "token_logprobs": [row.get("logprob") for row in rows],
        "top_logprobs": [
            {as_str(top.get("token")): top.get("logprob") for top in dicts(row.get("top_logprobs"))} or None
            for row in rows
        ],
        "text_offset": offsets,
    }
