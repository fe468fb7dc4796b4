"""The features and limits of each family of Claude models, independent of the wire.

Sources: docs/contract/providers.md, section "Claude"; Anthropic's recorded model list for
thinking, efforts, structured output and output limits; Anthropic's change notes of 2026 for the
end of sampling parameters after 4-6 (Haiku: 4-5) and for system messages between turns from 4-8 on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from app.canonical.record import record

OMITTED: Final = "thinking:"
"""Prefix of a signature whose thinking text was omitted by the API: it goes back as ``thinking`` without
text. A hidden signature without this prefix goes back as ``redacted_thinking``."""

Off = Literal["disabled", "between_tools"]

_EFFORTS: Final = ("low", "medium", "high", "max")
_EFFORTS_XHIGH: Final = ("low", "medium", "high", "xhigh", "max")


@record
class Family:
    """The features of one family.

    - ``max_tokens``: sent when the client gives no output limit.
    - ``sampling``: accepts ``temperature`` or ``top_p`` (only one of them) and ``top_k``.
    - ``budgets``: accepts a thinking budget in tokens.
    - ``adaptive``: chooses its amount of thinking itself, guided by one of ``efforts``.
    - ``schemas``: has structured output and strict tools.
    - ``system_turns``: accepts a system message behind a user's turn.
    - ``hides_thinking``: returns the text of its thinking only if ``display`` requests it.
    - ``off_type``: the ``thinking.type`` that turns thinking off; None if that is impossible.
    - ``can_force_tools``: accepts a tool choice that forces a call.
    - ``can_prefill``: continues a conversation that ends with an assistant's turn.
    - ``has_web_search``: has the hosted web search.
    """

    max_tokens: int
    sampling: bool = True
    budgets: bool = False
    adaptive: bool = False
    efforts: tuple[str, ...] = ()
    schemas: bool = False
    system_turns: bool = False
    hides_thinking: bool = False
    off_type: Off | None = "disabled"
    can_force_tools: bool = True
    can_prefill: bool = True
    has_web_search: bool = True

    @property
    def can_think(self) -> bool:
        """True if the family has thinking at all."""
        return self.budgets or self.adaptive


_OLDEST: Final = Family(4096, has_web_search=False)
_THREE_FIVE: Final = Family(8192)
_THREE_SEVEN: Final = Family(8192, budgets=True)
_OPUS_4: Final = Family(32_000, budgets=True)
_OPUS_4_1: Final = Family(32_000, budgets=True, schemas=True)
_SONNET_4: Final = Family(64_000, budgets=True)
_FOUR_FIVE: Final = Family(64_000, budgets=True, schemas=True)
_SONNET_4_6: Final = Family(
    64_000, budgets=True, adaptive=True, efforts=_EFFORTS, schemas=True, can_prefill=False
)
_OPUS_4_6: Final = replace(_SONNET_4_6, max_tokens=128_000)
_OPUS_4_7: Final = Family(
    128_000,
    sampling=False,
    adaptive=True,
    efforts=_EFFORTS_XHIGH,
    schemas=True,
    hides_thinking=True,
    can_prefill=False,
)
_OPUS_4_8: Final = replace(_OPUS_4_7, system_turns=True)
_SONNET_5_5: Final = replace(_OPUS_4_8, off_type="between_tools", can_force_tools=False)
_ALWAYS_THINKS: Final = replace(_OPUS_4_8, off_type=None, can_force_tools=False)
# an unknown name, such as a deployment's alias: the newest request form with the oldest output limit
_UNKNOWN: Final = replace(_OPUS_4_7, max_tokens=4096, efforts=_EFFORTS)

_ROWS: Final = (
    # first match wins; longer names before their prefixes
    ("claude-instant", _OLDEST),
    ("claude-v2", _OLDEST),
    ("claude-2", _OLDEST),
    ("claude-3-5", _THREE_FIVE),
    ("claude-3-7", _THREE_SEVEN),
    ("claude-3-", _OLDEST),
    ("haiku-4-5", _FOUR_FIVE),
    ("sonnet-4-5", _FOUR_FIVE),
    ("sonnet-4-6", _SONNET_4_6),
    ("sonnet-4", _SONNET_4),
    ("4-sonnet", _SONNET_4),
    ("opus-4-1", _OPUS_4_1),
    ("opus-4-5", _FOUR_FIVE),
    ("opus-4-6", _OPUS_4_6),
    ("opus-4-7", _OPUS_4_7),
    ("opus-4-8", _OPUS_4_8),
    ("opus-4", _OPUS_4),
    ("4-opus", _OPUS_4),
    ("haiku-5", _OPUS_4_8),
    ("sonnet-5-5", _SONNET_5_5),
    ("sonnet-5", _OPUS_4_8),
    ("opus-5-5", _ALWAYS_THINKS),
    ("opus-5", _OPUS_4_8),
    ("fable", _ALWAYS_THINKS),
    ("mythos", _ALWAYS_THINKS),
)


def family_of(model: str) -> Family:
    """Return the family of a model id, as any host writes it.

    Examples: ``claude-sonnet-4-5-20250929``, ``claude-opus-4@20250514``,
    ``us.anthropic.claude-3-5-haiku-20241022-v1:0``, ``claude-3.7-sonnet``. An unknown name
    counts as a new model with a small output limit.
    """
    name = model.lower().replace(".", "-").replace("_", "-")
    return next((family for text, family in _ROWS if text in name), _UNKNOWN)


def is_claude(model: str) -> bool:
    """Tell whether a model id of a host that serves several vendors names a Claude model."""
    return "claude" in model.lower()
