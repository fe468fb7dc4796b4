"""The prompt of a text completion, for targets that take one text only."""

from __future__ import annotations

from app.canonical.media import CompletionRequest
from app.dialects.shared.losses import Losses


def single_prompt(request: CompletionRequest, losses: Losses) -> str:
    """Return the only prompt; several prompts and token arrays are reported, which refuses the request."""
    if len(request.prompts) != 1:
        losses.report("prompts", "several prompts at once are not supported by this model", param="prompt")
    prompt = request.prompts[0]
    if not isinstance(prompt, str):
        losses.report("tokens_input", "token arrays are not supported by this model", param="prompt")
    return str(prompt)
