"""The options of a Responses provider, and a create body adapted to them.

Translated and passed bodies are adapted alike, so both are stateless and have the same losses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.canonical.record import record
from app.dialects.responses.echo import echo_tool_choice, flat_tool, max_output_tokens
from app.dialects.responses.request_in import CHAT_MEMBERS, ENCRYPTED, LOGPROBS
from app.dialects.shared.effort import effort_of
from app.dialects.shared.lenient_json import as_dict, as_list, count, dicts, rest
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_results import pair_items
from app.responses_form.items import item_prefix

STATE_MEMBERS: Final = ("previous_response_id", "conversation", "background", "fallbacks")
"""Members for the gateway alone, which are not sent to a provider."""

LACKING: Final = CHAT_MEMBERS | {
    "max_tokens",
    "max_completion_tokens",
    "response_format",
    "reasoning_effort",
    "verbosity",
    "functions",
    "function_call",
}
"""Members of chat completions that the request types of OpenAI's and Azure's Responses do not have."""

PLAIN_MODELS: Final = re.compile(
    r"(?:^|[^a-z0-9])(?:gpt-?3|gpt-?4|chatgpt-4|gpt-5(?:\.\d+)?-chat)", re.IGNORECASE
)
"""Names of OpenAI's models without reasoning, and of deployments named after them. They refuse ``reasoning``,
and ``include`` of encrypted reasoning with 400 "Encrypted content is not supported with this model."
(public reports of 2025 and 2026)."""

REASONING_LOST: Final = "Reasoning that this model or its account cannot read was left out."

_FEATURES: Final[Mapping[str, str]] = {
    "reasoning": "reasoning_effort",
    "top_logprobs": "top_logprobs",
    "max_output_tokens": "max_tokens",
}
_DEFAULTS: Final[Mapping[str, Any]] = {"n": 1, "modalities": ["text"]}
"""Values of chat's members that are the only possibility here."""

_UNIQUE_ID: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
_MAX_ID: Final = 64
_LEAST_OUTPUT: Final = 16  # the least ``max_output_tokens``
_ASSUMED_OUTPUT: Final = 32_000  # output limit in tokens of a request without one
_MAX_TOKENS: Final = frozenset({"max_tokens"})
_CACHE_CONTROL: Final = frozenset({"cache_control"})


@record
class ResponsesOptions:
    """The differences of a provider's Responses API from OpenAI's.

    - ``reasoning_models`` matches those of the models that may reason (None: all) for which encrypted
      reasoning is always requested; for the rest, only if the client requests reasoning.
    - ``dropped_when_reasoning``: members that are dropped when encrypted reasoning is requested.
    - ``reasoning_budget``: ``reasoning.max_tokens`` is sent.
    """

    reasoning_models: re.Pattern[str] | None = None
    dropped_when_reasoning: frozenset[str] = frozenset()
    reasoning_budget: bool = False

    def reasons(self, model: str, requested: bool) -> bool:
        """Tell whether ``model`` counts as one that reasons; ``requested``: the client requests reasoning."""
        may_reason = (
            requested or self.reasoning_models is None or self.reasoning_models.search(model) is not None
        )
        return may_reason and PLAIN_MODELS.search(model) is None


def fit(
    body: Mapping[str, Any], options: ResponsesOptions, losses: Losses, *, native: bool = True
) -> dict[str, Any]:
    """Return a stateless copy of ``body`` in OpenAI's form, without what the target does not support.

    Losses are reported; raises GatewayError if one would change the answer. ``native``: the client's own
    members, so reports name them as they are.
    """
    outgoing = {k: v for k, v in body.items() if k not in STATE_MEMBERS and v is not None}
    _normalize(outgoing)
    _ask_logprobs(outgoing)
    _leave_out(outgoing, losses, native)
    _fit_tokens(outgoing, losses)
    _fit_reasoning(outgoing, options, losses)
    outgoing["store"] = False
    if isinstance(outgoing.get("input"), list):
        outgoing["input"] = _fit_input(outgoing["input"], losses)
    if isinstance(outgoing.get("tools"), list):
        outgoing["tools"] = [_without_mark(tool) for tool in outgoing["tools"]]
    return outgoing


def _normalize(outgoing: dict[str, Any]) -> None:
    """Replace variants that the gateway accepts: nested tools, ``any``, ``text.max_tokens``, ``include_usage``."""
    if "tools" in outgoing:
        outgoing["tools"] = [flat_tool(tool) for tool in dicts(outgoing["tools"])]
    if "tool_choice" in outgoing:
        outgoing["tool_choice"] = echo_tool_choice(outgoing["tool_choice"])
    if (limit := max_output_tokens(outgoing)) is not None:
        outgoing["max_output_tokens"] = limit
    if "max_tokens" in as_dict(outgoing.get("text")):
        outgoing["text"] = rest(outgoing["text"], _MAX_TOKENS)
    options = rest(as_dict(outgoing.pop("stream_options", None)), frozenset({"include_usage"}))
    if not outgoing.get("stream"):
        outgoing.pop("stream", None)
    elif options:
        outgoing["stream_options"] = options


def _ask_logprobs(outgoing: dict[str, Any]) -> None:
    """Replace chat's ``logprobs`` (a boolean, or a number of alternatives) by an ``include``."""
    logprobs = outgoing.pop("logprobs", None)
    if not logprobs:
        return
    outgoing["include"] = [*as_list(outgoing.get("include")), LOGPROBS]
    if not isinstance(logprobs, bool):
        outgoing.setdefault("top_logprobs", count(logprobs))


def _leave_out(outgoing: dict[str, Any], losses: Losses, native: bool) -> None:
    for name in [name for name in outgoing if name in LACKING or outgoing[name] == _DEFAULTS.get(name)]:
        if outgoing[name] != _DEFAULTS.get(name):
            losses.report(_FEATURES.get(name, name), param=name if native else None)
        del outgoing[name]


def _fit_tokens(outgoing: dict[str, Any], losses: Losses) -> None:
    limit = count(outgoing.get("max_output_tokens"))
    if limit is None or limit >= _LEAST_OUTPUT:
        return
    outgoing["max_output_tokens"] = _LEAST_OUTPUT
    losses.report(
        "max_tokens", f"'max_output_tokens' was raised to {_LEAST_OUTPUT}, the least that the provider takes."
    )


def _fit_reasoning(outgoing: dict[str, Any], options: ResponsesOptions, losses: Losses) -> None:
    model = str(outgoing.get("model"))
    if PLAIN_MODELS.search(model) is not None and outgoing.pop("reasoning", None) is not None:
        text = "'reasoning' was left out: the model does not reason."
        losses.report("reasoning_effort", text, param="reasoning")
    if not options.reasons(model, "reasoning" in outgoing):
        return
    for name in [name for name in outgoing if name in options.dropped_when_reasoning]:
        losses.report(name)
        del outgoing[name]
    include = as_list(outgoing.get("include"))
    if ENCRYPTED not in include:
        outgoing["include"] = [*include, ENCRYPTED]
    if not options.reasoning_budget:
        _fit_budget(outgoing, losses)


def _fit_budget(outgoing: dict[str, Any], losses: Losses) -> None:
    """Replace a thinking budget by an effort."""
    reasoning = as_dict(outgoing.get("reasoning"))
    budget = reasoning.get("max_tokens")
    if not isinstance(budget, int):
        return
    effort = effort_of(budget, count(outgoing.get("max_output_tokens")) or _ASSUMED_OUTPUT)
    outgoing["reasoning"] = {"effort": effort, **rest(reasoning, _MAX_TOKENS)}
    losses.report("reasoning_budget", f"A budget of thinking tokens was sent as effort '{effort}'.")


def _fit_input(items: Iterable[Any], losses: Losses) -> list[Any]:
    """Return the input items without reasoning that the target cannot read.

    If there was any, other items lose their ids: by an id the target would miss the reasoning before it.
    """
    pairs = pair_items(list(items), losses)
    readable = [item for item in pairs if not _is_unreadable(item)]
    if len(readable) < len(pairs):
        losses.report("reasoning_signature", REASONING_LOST)
    with_ids = len(readable) == len(pairs)
    return [_fit_item(item, with_ids, losses) for item in readable]


def _is_unreadable(item: Any) -> bool:
    """Tell whether a reasoning or compaction item lacks its encrypted content.

    OpenAI refuses the text of reasoning, and looks up its id in a store that is not used.
    """
    members = as_dict(item)
    return members.get("type") in ("reasoning", "compaction") and not members.get("encrypted_content")


def _fit_item(item: Any, with_ids: bool, losses: Losses) -> Any:
    if not isinstance(item, dict):
        return item
    kind, item_id = item.get("type", "message"), item.get("id")
    copy = dict(item)
    if isinstance(item_id, str) and kind in _UNIQUE_ID:
        foreign = not item_id.startswith(f"{item_prefix(kind)}_") or len(item_id) > _MAX_ID
        if foreign or not with_ids:
            del copy["id"]
    if kind == "message" and copy.pop("name", None) is not None:
        losses.report("message_name")
    if kind == "reasoning":
        copy.pop("content", None)
    content = copy.get("content")
    if isinstance(content, list):
        copy["content"] = [_without_mark(part) for part in content]
    return copy


def _without_mark(value: Any) -> Any:
    """Return a tool or part without ``cache_control``, a member of Anthropic's that other vendors refuse."""
    has_mark = isinstance(value, dict) and "cache_control" in value
    return rest(value, _CACHE_CONTROL) if has_mark else value
