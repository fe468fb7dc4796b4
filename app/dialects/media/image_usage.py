"""Usage of pictures: tokens of text and of pictures, both ways; what no wire tells is a guess.

Members: ``ImagesResponse`` of openai-python 3.51, ``ImageGenerationUsage`` of openrouter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.canonical.images import ImageRequest
from app.canonical.response import Billing, Usage
from app.dialects.media.base import estimated_usage
from app.dialects.shared.lenient_json import as_dict, count, number, opt_str

_NAME: Final = "images"
_KINDS: Final = ("text_tokens", "image_tokens")


def decode_image_usage(raw: Any, *, authored: Any = None) -> Usage | None:
    """Read OpenAI's counts or OpenRouter's, which tell a cost; None where there are none.

    What came out is pictures unless the wire says otherwise. ``authored`` are the counts of the model that
    wrote an SVG, which is charged besides.
    """
    members = as_dict(raw)
    came_in = count(members.get("input_tokens", members.get("prompt_tokens")))
    went_out = count(members.get("output_tokens", members.get("completion_tokens")))
    cost = number(members.get("cost"))
    if came_in is None and went_out is None and cost is None:
        return None
    into = _details(members.get("input_tokens_details") or members.get("prompt_tokens_details"), "input")
    out = _details(members.get("output_tokens_details") or members.get("completion_tokens_details"), "output")
    if not out and went_out:
        out = {"output.image_tokens": went_out}
    return Usage(
        input_tokens=came_in or 0,
        output_tokens=went_out or 0,
        total_tokens=count(members.get("total_tokens")),
        details={**into, **out},
        cost=None if cost is None else {"total_cost": cost},
        billing=Billing(further=_further(as_dict(authored))),
        native=(_NAME, members),
    )


def _details(raw: Any, side: str) -> dict[str, int]:
    counts = {kind: count(as_dict(raw).get(kind)) for kind in _KINDS}
    return {f"{side}.{kind}": tokens for kind, tokens in counts.items() if tokens}


def _further(raw: Mapping[str, Any]) -> tuple[tuple[str | None, Usage], ...]:
    if not raw:
        return ()
    run = Usage(
        input_tokens=count(raw.get("input_tokens")) or 0,
        output_tokens=count(raw.get("output_tokens")) or 0,
        reasoning_tokens=count(raw.get("reasoning_tokens")) or 0,
    )
    return ((opt_str(raw.get("model")), run),)


def untold_usage(request: ImageRequest, pictures: int) -> Usage:
    """Return the usage of a wire that counts no tokens: a guess at the prompt's, and the pictures made."""
    guess = estimated_usage([request.prompt])
    return Usage(
        input_tokens=guess.input_tokens,
        estimated=True,
        billing=Billing(units={"generated_images": pictures}),
    )


def encode_image_usage(usage: Usage) -> dict[str, Any]:
    """Return OpenAI's usage object."""
    pictures, written = (usage.details.get(f"output.{kind}", 0) for kind in ("image_tokens", "text_tokens"))
    shown = usage.details.get("input.image_tokens", 0)
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "text_tokens": usage.details.get("input.text_tokens", max(0, usage.input_tokens - shown)),
            "image_tokens": shown,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"image_tokens": pictures, "text_tokens": written},
        "total_tokens": usage.total,
    }
