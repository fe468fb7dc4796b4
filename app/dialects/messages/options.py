"""The name of the Messages dialect, and how the hosts of Claude models deviate from Anthropic's API."""

from __future__ import annotations

from typing import Any, Final

from app.canonical.record import record
from app.dialects.shared.claude import Family, family_of

NAME: Final = "messages"


@record
class MessagesOptions:
    """Deviations of one host.

    ``model_in_body`` and ``stream_in_body``: False if they are part of the URL (Vertex, Bedrock).
    ``anthropic_version``: sent as a member of the body if the host has no such header.
    ``native_schema``: False without structured output (a tool has the schema instead).
    ``excluded_betas``: beta flags that the host refuses; None excludes all.
    ``url_sources`` and ``files``: images and documents may be given by URL, by file id.
    ``hosted_tools``: hosted tools that the host runs. ``family``: the family of a model whose
    id does not show it.
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
        """Return the family of the model."""
        return self.family or family_of(model)


DEFAULTS: Final = MessagesOptions()


def options_of(options: Any) -> MessagesOptions:
    """Return the context's options, by default those of Anthropic's own API."""
    return options if isinstance(options, MessagesOptions) else DEFAULTS
