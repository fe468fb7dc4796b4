"""What one host of Claude models deviates in, and the names this dialect reserves."""

from __future__ import annotations

from typing import Any, Final

from app.canonical.record import record
from app.dialects.shared.claude import Family, family_of

NAME: Final = "messages"


@record
class MessagesOptions:
    """Deviations of one host.

    ``model_in_body`` and ``stream_in_body``: False where the URL says them (Vertex, Bedrock).
    ``anthropic_version``: sent as a body member where the host has no such header.
    ``native_schema``: False where structured output is not served (then a tool stands for
    the schema). ``excluded_betas``: beta flags the host refuses; None excludes all of them.
    ``url_sources`` and ``files``: whether images and documents may be given by URL or file
    id. ``hosted_tools``: tools of ours that the host runs. ``family``: the model's family
    where an alias hides it.
    """

    model_in_body: bool = True
    stream_in_body: bool = True
    anthropic_version: str | None = None
    native_schema: bool = True
    excluded_betas: frozenset[str] | None = frozenset()
    url_sources: bool = True
    files: bool = True
    hosted_tools: frozenset[str] = frozenset({"web_search"})
    family: Family | None = None

    def family_for(self, model: str) -> Family:
        """Return the rules of the model that is asked."""
        return self.family or family_of(model)


DEFAULTS: Final = MessagesOptions()


def options_of(options: Any) -> MessagesOptions:
    """Return the context's options, or those of Anthropic's own API."""
    return options if isinstance(options, MessagesOptions) else DEFAULTS
