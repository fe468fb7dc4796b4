"""What a Responses provider takes of a create body: its options, and the body made to fit.

Used by translation and by the pass alike, so that both call the provider statelessly and
report the same losses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.canonical.record import record
from app.dialects.responses.echo import echo_tool_choice, flat_tool, max_output_tokens
from app.dialects.responses.request_in import CHAT_MEMBERS, ENCRYPTED, LOGPROBS
from app.dialects.shared.effort import effort_of
from app.dialects.shared.lenient_json import as_dict, as_list, count, dicts
from app.dialects.shared.losses import Losses
from app.dialects.shared.tool_results import pair_items
from app.responses_form.items import item_prefix

STATE_MEMBERS: Final = ("previous_response_id", "conversation", "background", "fallbacks")
"""Members that only the gateway acts on; never sent to a provider."""

LACKING: Final = CHAT_MEMBERS | {
    "max_tokens",
    "max_completion_tokens",
    "response_format",
    "reasoning_effort",
    "verbosity",
    "functions",
    "function_call",
}
"""Members of chat completions that OpenAI's and Azure's Responses request types lack."""

PLAIN_MODELS: Final = re.compile(
    r"(?:^|[^a-z0-9])(?:gpt-?3|gpt-?4|chatgpt-4|gpt-5(?:\.\d+)?-chat)", re.IGNORECASE
)
"""Names of OpenAI's models, and of deployments called after them, that do not reason: they
refuse ``reasoning``, and ``include`` of encrypted reasoning with 400 "Encrypted content is
not supported with this model." (seen in public reports of 2025 and 2026)."""

REASONING_LOST: Final = "Reasoning that this model or account cannot read was left out."

_FEATURES: Final[Mapping[str, str]] = {
    "reasoning": "reasoning_effort",
    "top_logprobs": "top_logprobs",
    "max_output_tokens": "max_tokens",
}
_IDLE: Final[Mapping[str, Any]] = {"n": 1, "modalities": ["text"]}
"""Values of chat's members that ask for what a response is anyway."""

_UNIQUE_ID: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
_MAX_ID: Final = 64
_USUAL_OUTPUT: Final = 32_000


@record
class ResponsesOptions:
    """How a target's Responses API differs from OpenAI's.

    ``lacks`` names request members that its published type does not have (left out with a
    warning). ``min_output_tokens`` is the least ``max_output_tokens`` it takes.
    ``plain_models`` matches the models that do not reason: ``reasoning`` is left out for
    them, and encrypted reasoning not asked for. Of the others, those that match
    ``reasoning_models`` (None: all) are asked for it always, the rest when the client wants
    reasoning; ``dropped_when_reasoning`` is left out then. ``item_ids`` tells whether
    input items keep their ids, ``cache_control`` whether Anthropic's cache marks may stay,
    ``open_reasoning`` whether reasoning without encrypted content may go in (OpenAI refuses
    its text and looks its id up in a store we do not use), ``reasoning_budget`` whether
    ``reasoning.max_tokens`` is known.
    """

    lacks: frozenset[str] = LACKING
    min_output_tokens: int = 16
    plain_models: re.Pattern[str] = PLAIN_MODELS
    reasoning_models: re.Pattern[str] | None = None
    dropped_when_reasoning: frozenset[str] = frozenset()
    item_ids: bool = True
    cache_control: bool = False
    open_reasoning: bool = False
    reasoning_budget: bool = False

    def is_plain(self, model: str) -> bool:
        """Tell whether ``model`` is known not to reason."""
        return self.plain_models.search(model) is not None

    def reasons(self, model: str, wanted: bool) -> bool:
        """Tell whether ``model``, asked to reason or not, is taken for one that does."""
        if self.is_plain(model):
            return False
        return wanted or self.reasoning_models is None or self.reasoning_models.search(model) is not None


DEFAULT_OPTIONS: Final = ResponsesOptions()


def fit(body: Mapping[str, Any], options: ResponsesOptions, losses: Losses) -> dict[str, Any]:
    """Return ``body`` as the target takes it: stateless, without the tolerances of our door,
    and without what the target lacks (reported).

    Used by translation and by the pass alike. Raises GatewayError when a loss would change
    the answer.
    """
    sent = {k: v for k, v in body.items() if k not in STATE_MEMBERS and v is not None}
    _keep_house(sent)
    _ask_logprobs(sent)
    _leave_out(sent, options, losses)
    _fit_tokens(sent, options, losses)
    _fit_reasoning(sent, options, losses)
    sent["store"] = False
    if isinstance(sent.get("input"), list):
        sent["input"] = _fit_input(sent["input"], options, losses)
    if not options.cache_control and isinstance(sent.get("tools"), list):
        sent["tools"] = [_without_mark(tool) for tool in sent["tools"]]
    return sent


def _keep_house(sent: dict[str, Any]) -> None:
    """Undo what our door tolerates: chat nesting, ``any``, ``text.max_tokens``, include_usage."""
    if "tools" in sent:
        sent["tools"] = [flat_tool(tool) for tool in dicts(sent["tools"])]
    if "tool_choice" in sent:
        sent["tool_choice"] = echo_tool_choice(sent["tool_choice"])
    bound = max_output_tokens(sent)
    if bound is not None:
        sent["max_output_tokens"] = bound
    text = as_dict(sent.get("text"))
    if "max_tokens" in text:
        sent["text"] = {name: value for name, value in text.items() if name != "max_tokens"}
    streamed = as_dict(sent.get("stream_options"))
    remaining = {name: value for name, value in streamed.items() if name != "include_usage"}
    sent.pop("stream_options", None)
    if remaining and sent.get("stream"):
        sent["stream_options"] = remaining
    if not sent.get("stream"):
        sent.pop("stream", None)


def _ask_logprobs(sent: dict[str, Any]) -> None:
    """Chat's ``logprobs`` (a boolean, or a number of alternatives) is an ``include`` here."""
    logprobs = sent.pop("logprobs", None)
    if not logprobs:
        return
    sent["include"] = [*as_list(sent.get("include")), LOGPROBS]
    if not isinstance(logprobs, bool):
        sent.setdefault("top_logprobs", count(logprobs))


def _leave_out(sent: dict[str, Any], options: ResponsesOptions, losses: Losses) -> None:
    for name, idle in _IDLE.items():
        if sent.get(name) == idle:
            del sent[name]
    for name in [name for name in sent if name in options.lacks]:
        losses.report(_FEATURES.get(name, name), param=name)
        del sent[name]


def _fit_tokens(sent: dict[str, Any], options: ResponsesOptions, losses: Losses) -> None:
    bound = count(sent.get("max_output_tokens"))
    if bound is None or bound >= options.min_output_tokens:
        return
    least = sent["max_output_tokens"] = options.min_output_tokens
    losses.report(
        "max_tokens", f"'max_output_tokens' was raised to {least}, the least that the provider takes."
    )


def _fit_reasoning(sent: dict[str, Any], options: ResponsesOptions, losses: Losses) -> None:
    model = str(sent.get("model"))
    if options.is_plain(model) and sent.pop("reasoning", None) is not None:
        text = "'reasoning' was left out: the model does not reason."
        losses.report("reasoning_effort", text, param="reasoning")
    if not options.reasons(model, "reasoning" in sent):
        return
    for name in [name for name in sent if name in options.dropped_when_reasoning]:
        losses.report(name)
        del sent[name]
    include = as_list(sent.get("include"))
    if ENCRYPTED not in include:
        sent["include"] = [*include, ENCRYPTED]
    if not options.reasoning_budget:
        _fit_budget(sent, losses)


def _fit_budget(sent: dict[str, Any], losses: Losses) -> None:
    """Say a budget of thinking tokens as an effort."""
    reasoning = as_dict(sent.get("reasoning"))
    budget = reasoning.get("max_tokens")
    if not isinstance(budget, int):
        return
    others = {name: value for name, value in reasoning.items() if name != "max_tokens"}
    effort = effort_of(budget, count(sent.get("max_output_tokens")) or _USUAL_OUTPUT)
    sent["reasoning"] = {"effort": effort, **others}
    losses.report("reasoning_budget", f"A budget of thinking tokens was sent as effort '{effort}'.")


def _fit_input(items: Iterable[Any], options: ResponsesOptions, losses: Losses) -> list[Any]:
    """Leave out reasoning that the target could not read. Ids then go too: the target would
    miss the reasoning that it knows to belong to them."""
    paired = pair_items(list(items), losses)
    readable = [item for item in paired if not _is_unreadable(item, options.open_reasoning)]
    if len(readable) < len(paired):
        losses.report("reasoning_signature", REASONING_LOST)
    with_ids = options.item_ids and len(readable) == len(paired)
    return [_fit_item(item, options, with_ids, losses) for item in readable]


def _is_unreadable(item: Any, open_reasoning: bool) -> bool:
    """Tell whether a reasoning or compaction item lacks the cipher that it lives by."""
    kind = item.get("type") if isinstance(item, dict) else None
    if kind not in ("reasoning", "compaction") or item.get("encrypted_content"):
        return False
    return kind == "compaction" or not (open_reasoning and (item.get("content") or item.get("summary")))


def _fit_item(item: Any, options: ResponsesOptions, with_ids: bool, losses: Losses) -> Any:
    if not isinstance(item, dict):
        return item
    kind, item_id = item.get("type", "message"), item.get("id")
    fitted = dict(item)
    if isinstance(item_id, str) and kind in _UNIQUE_ID:
        foreign = not item_id.startswith(f"{item_prefix(kind)}_") or len(item_id) > _MAX_ID
        if foreign or not with_ids:
            del fitted["id"]
    if kind == "message" and fitted.pop("name", None) is not None:
        losses.report("message_name")
    if kind == "reasoning" and not options.open_reasoning:
        fitted.pop("content", None)
    content = fitted.get("content")
    if not options.cache_control and isinstance(content, list):
        fitted["content"] = [_without_mark(part) for part in content]
    return fitted


def _without_mark(value: Any) -> Any:
    """Leave out ``cache_control``: a mark for another vendor's cache, refused elsewhere."""
    if not isinstance(value, dict) or "cache_control" not in value:
        return value
    return {name: member for name, member in value.items() if name != "cache_control"}
