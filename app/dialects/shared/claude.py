"""What each family of Claude models takes, whichever wire carries them.

Knows limits, sampling and thinking by family; knows no wire. Sources:
contract/providers.md (top section and 3.4); Anthropic's recorded model list for thinking,
efforts, structured output and the limits of what 3.4 does not name; that sampling ends
with 4-6 (Haiku: 4-5) and that 4-8 is the first to read a system message between turns:
public change notes of 2026; the 5-5 generation, Fable and Mythos: docs/contract/providers.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from app.canonical.record import record

OMITTED: Final = "thinking:"
"""Leads the value of a signature whose thinking was withheld, so that it goes back as
thinking without text; a hidden signature without it is redacted thinking."""

Off = Literal["disabled", "between_tools"]

_EFFORTS: Final = ("low", "medium", "high", "max")
_EFFORTS_XHIGH: Final = ("low", "medium", "high", "xhigh", "max")


@record
class Family:
    """The rules of one family.

    ``max_tokens`` is sent when the client gave none. ``sampling``: takes temperature or
    top_p (one of them) and top_k. ``budgets``: takes a thinking budget; ``adaptive``:
    decides itself how much to think, steered by one of ``efforts``. ``schemas``: has
    native structured output and strict tools. ``system_turns``: reads a system message
    after a user turn. ``hides``: keeps its thinking to itself unless a display is asked for.
    ``off``: the type of ``thinking`` that turns it off, None where it cannot be. ``forces``:
    takes a tool choice that makes it call. ``prefills``: goes on where a last assistant turn
    ends. ``searches``: has the web search tool.
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
        """True when the family can be asked to think."""
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
# a name we do not know (a deployment's alias): ask as of the newest, promise as little as of the oldest
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
    """Return the rules for a model id of any host.

    Reads ``claude-sonnet-4-5-20250929``, ``claude-opus-4@20250514``,
    ``us.anthropic.claude-3-5-haiku-20241022-v1:0``, ``claude-3.7-sonnet`` and the like;
    an unknown name gets the rules of a new model with a small output limit.
    """
    name = model.lower().replace(".", "-").replace("_", "-")
    return next((family for text, family in _ROWS if text in name), _UNKNOWN)


def is_claude(model: str) -> bool:
    """Tell whether a model id on a host of many vendors names a Claude."""
    return "claude" in model.lower()
