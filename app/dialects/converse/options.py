"""What the model families on Bedrock's Converse support, by model id.

Converse is one format for models of many vendors. Sources: docs/contract/providers.md
(Bedrock's Converse), botocore's service model, recorded traffic, Amazon's lists of models with structured
output, prompt caching and system tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, Final, Literal

from app.canonical.record import record
from app.dialects.shared.claude import Family, family_of

NAME: Final = "converse"

IMAGE_FORMATS: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
"""Converse's ``ImageFormat`` of a media type (botocore's service model)."""

Thinking = Literal["none", "claude", "nova", "effort", "gpt"]


@record
class ConverseOptions:
    """The row of one model family.

    ``thinking``: how thinking is requested (Claude's ``thinking``, Nova's ``reasoningConfig``,
    a ``reasoning_effort`` field, GPT's ``reasoning`` object, or not at all). ``schemas``: has
    structured output. ``caches``: takes cache points. ``system``: takes a system prompt.
    ``strict_tools``: enforces tool schemas. ``top_k``: path of that member below
    ``additionalModelRequestFields``. ``system_tools``: Converse's names of hosted tools.
    ``plain_schemas``: tool schemas may have ``type``, ``properties`` and ``required`` only.
    ``off``: thinking can be turned off. ``claude``: the family of a Claude model.
    """

    thinking: Thinking = "none"
    schemas: bool = False
    caches: bool = False
    system: bool = True
    strict_tools: bool = False
    top_k: tuple[str, ...] = ()
    system_tools: Mapping[str, str] = field(default_factory=dict)
    plain_schemas: bool = False
    off: bool = True
    claude: Family | None = None

    @property
    def can_force_tools(self) -> bool:
        """True when the model can be forced to call a tool."""
        return self.claude is None or self.claude.can_force_tools


_NOVA: Final = ConverseOptions(caches=True, top_k=("inferenceConfig", "topK"), plain_schemas=True)
_NOVA_2: Final = ConverseOptions(
    thinking="nova",
    caches=True,
    plain_schemas=True,
    top_k=("inferenceConfig", "topK"),
    system_tools=MappingProxyType(
        {"web_search": "nova_grounding", "code_interpreter": "nova_code_interpreter"}
    ),
)
_OPEN_WEIGHT: Final = ConverseOptions(schemas=True, strict_tools=True)
_DEFAULT: Final = ConverseOptions()

_ROWS: Final = (
    # first match wins
    ("amazon.nova-2", _NOVA_2),
    ("amazon.nova", _NOVA),
    ("amazon.titan", ConverseOptions(system=False)),
    ("mistral.mistral-7b", ConverseOptions(system=False, top_k=("top_k",))),
    ("mistral.mixtral", ConverseOptions(system=False, top_k=("top_k",))),
    ("mistral.mistral-large-24", ConverseOptions(top_k=("top_k",))),
    ("mistral.", _OPEN_WEIGHT),
    ("openai.gpt-oss", ConverseOptions(thinking="effort", schemas=True, strict_tools=True)),
    ("openai.gpt-6-astra", ConverseOptions(thinking="gpt", off=False)),
    ("openai.gpt-", ConverseOptions(thinking="gpt")),
    ("qwen.", _OPEN_WEIGHT),
    ("deepseek.v3", _OPEN_WEIGHT),
    ("google.gemma", _OPEN_WEIGHT),
    ("minimax.", _OPEN_WEIGHT),
    ("moonshot", _OPEN_WEIGHT),
    ("nvidia.", _OPEN_WEIGHT),
    ("zai.", _OPEN_WEIGHT),
    ("cohere.", ConverseOptions(top_k=("k",))),
)


def options_of(options: Any, model: str) -> ConverseOptions:
    """Return the provider's row, else that of the model's id."""
    if isinstance(options, ConverseOptions):
        return options
    name = model.lower()
    if "claude" in name:
        return _claude(family_of(model))
    return next((row for text, row in _ROWS if text in name), _DEFAULT)


def _claude(family: Family) -> ConverseOptions:
    # on Bedrock structured output begins with the 4-5 generation (opus-4-1 does not have it)
    modern = family.schemas and family.max_tokens >= 64_000
    return ConverseOptions(
        thinking="claude" if family.can_think else "none",
        schemas=modern,
        caches=family.can_think or family.max_tokens > 4096,
        strict_tools=modern,
        top_k=("top_k",),
        claude=family,
    )
