"""``context_management`` of a turn, for targets whose API does not have it: the history is compacted by the gateway.

A turn whose prompt reaches the threshold is compacted before its model is asked, and the item comes first in the output.
A turn whose prompt and answer reach it together is compacted after the answer, and the item comes last (OpenAI's
recordings). Either way one more call of the same model writes the summary; the turn has the usage and cost of both
(docs/decisions/0065-compaction-within-a-turn.md).

Tests: tests/lifecycle/test_context_management.py.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from app.canonical.response import add_usages
from app.dialects import dialect
from app.dialects.base import Frame
from app.dialects.shared.losses import Loss
from app.errors import GatewayError
from app.gateway.call import Call, Progress, Target
from app.gateway.compaction import answer_trigger, asks_compaction, summary_body, summary_of
from app.gateway.compaction_items import Item, is_summary, replacement, seal_replacement, stay
from app.gateway.cost import PriceList, add_costs
from app.gateway.estimates import tokens_of_body
from app.gateway.history_truncation import MEMBER as TRUNCATION
from app.gateway.history_truncation import truncate
from app.gateway.layers.base import Proceed, Services
from app.gateway.offload import aside_for
from app.gateway.outcome import Outcome
from app.gateway.plan import Plan
from app.gateway.repetitions import Repetition
from app.gateway.run import Batch, Run
from app.responses_form.events import TERMINAL
from app.responses_form.items import as_items

MEMBER: Final = "context_management"
_WIRE: Final = "responses"
_COMPACTION: Final = "compaction"
_SHARE: Final = 0.75  # of the context window, where the client names no threshold
_WHOLE: Final = frozenset({"stop", "tool_calls"})
_FATAL: Final = frozenset({"client_gone", "cancelled", "server_shutdown", "server_lost"})

Steps = Generator[Batch | Repetition, None, Any]


def proceed_with_turn(services: Services, call: Call, proceed: Proceed) -> Run:
    """Return the run of a turn's call, which has its history: an answer, with compaction if asked for, or a compaction."""
    if asks_compaction(call.body):
        return answer_trigger(services, call, proceed)
    if not _concerns(call):
        return proceed(call)
    call.progress.route = call.progress.route or services.plan(call)
    target = _managed_target(call)
    if target is None:
        return proceed(call)
    window = services.prices.window(target)
    threshold = _threshold(call, window)

    def truncated(one: Call) -> Run:
        return proceed(truncate(one, target, window))

    if threshold is None:
        return truncated(call)
    return services.feed(call, _Compaction(services, _provided(call), truncated, threshold).answer)


def preview(call: Call, prices: PriceList) -> tuple[Call, Call | None]:
    """Return the call, whose targets are planned, as its first target would get it if no summary were necessary, and the
    call for the summary that is asked for before it, if one is."""
    target = _managed_target(call) if call.operation == _WIRE and _concerns(call) else None
    if target is None:
        return call, None
    window = prices.window(target)
    threshold = _threshold(call, window)
    if threshold is None:
        return truncate(call, target, window), None
    replaced, _ = split(as_items(call.full_body.get("input")))
    summary = _summary_call(call, replaced) if _is_due(call, replaced, threshold) else None
    return truncate(_provided(call), target, window), summary


def _concerns(call: Call) -> bool:
    """Tell whether a call asks for anything that is done here."""
    return bool(call.body.get(MEMBER)) or call.body.get(TRUNCATION) == "auto"


def _managed_target(call: Call) -> Target | None:
    """Return the first target of a call whose targets are planned; None if it speaks Responses and does all this itself."""
    first = next((one for one in call.progress.route.targets if isinstance(one.plan, Plan)), None)
    return None if first is None or first.way().way == "pass" else first.target


def _provided(call: Call) -> Call:
    """Return the call whose compaction is no loss; what else it asks for is one."""
    if any(entry["type"] != _COMPACTION for entry in call.body[MEMBER]):
        return call
    return replace(call, provided=call.provided | {MEMBER})


def _threshold(call: Call, window: int | None) -> int | None:
    """Return the tokens at which the gateway compacts the history; None where it does not.

    For a model without a known window a threshold must be given."""
    entries = [one for one in call.body.get(MEMBER) or () if one["type"] == _COMPACTION]
    given = [one["compact_threshold"] for one in entries if one.get("compact_threshold") is not None]
    if given or not entries:
        return min(given, default=None)
    return window and int(window * _SHARE)


class _Compaction:
    """The compaction of one turn, at most once: before its answer or after it."""

    def __init__(self, services: Services, call: Call, proceed: Proceed, threshold: int) -> None:
        self._services = services
        self._call = call
        self._proceed = proceed
        self._threshold = threshold
        self._items = as_items(call.full_body.get("input"))

    def answer(self, run: Run) -> Steps:
        """Yield the batches of the answer."""
        call = self._call
        replaced, kept = split(self._items)
        if _is_due(call, replaced, self._threshold):
            yield from run.adopt(self._proceed((yield from self._compact_before(run, replaced, kept))))
            return
        last: Batch | None = None
        for batch in run.adopt(self._proceed(call)):
            if isinstance(batch, Batch) and batch.last:
                last = batch  # its attempt is over only after it
            else:
                yield batch
        if last is not None:
            yield from self._compact_after(run, last)
            yield last

    def _compact_before(
        self, run: Run, replaced: list[Item], kept: list[Item]
    ) -> Generator[Batch, None, Call]:
        """Return the call with a summary in place of what it replaces; the call as it is, with a warning, if that fails."""
        try:
            item, opened = yield from self._make(run, replaced, kept)
        except GatewayError as error:
            return replace(self._call, left_out=(*self._call.left_out, self._loss(error)))
        body = {**self._call.full_body, "input": opened}
        return replace(self._call, upstream_body=body, leading=(item,))

    def _compact_after(self, run: Run, last: Batch) -> Generator[Batch, None, None]:
        """Add an item at the end of an answer that reached the threshold; a warning if that fails."""
        answer = last.answer
        if run.outcome.passed:  # that target manages the context itself
            return
        shown = None if answer is None else answer.body or _final_response(last.frames)
        if answer is None or shown is None or answer.finish is None or answer.finish.reason not in _WHOLE:
            return
        replaced, kept = split([*self._items, *shown["output"]])
        if not replaced or answer.usage is None or answer.usage.total < self._threshold:
            return
        try:
            item, _ = yield from self._make(run, replaced, kept)
        except GatewayError as error:
            run.outcome.losses.append(self._loss(error))
            return
        last.frames[-1:-1] = _frames(item, len(shown["output"])) if last.frames else []
        shown["output"] = [*shown["output"], item]

    def _make(
        self, run: Run, replaced: list[Item], kept: list[Item]
    ) -> Generator[Batch, None, tuple[dict[str, Any], list[Item]]]:
        """Return the item, and what it stands for; ``run`` will have the usage of the call for the summary."""
        call = self._call
        sealer, tenant = self._services.state().sealer, call.principal.tenant
        outcome = yield from self._ask(run, replaced)
        items = replacement(summary_of(outcome), kept)
        item = aside_for(call, lambda: seal_replacement(items, sealer, tenant))
        run.on_answer(partial(_add_usage, outcome))
        return item, items

    def _ask(self, run: Run, items: Sequence[Item]) -> Generator[Batch, None, Outcome]:
        """Return the outcome of the call for the summary; yield empty batches while it writes."""
        call = self._call
        inner = self._proceed(replace(_summary_call(call, items), progress=_progress_within(call.progress)))
        inner.on_attempt(run.announce)
        inner.patience = run.patience
        for batch in inner.batches():
            if not batch.last:
                yield Batch([], last=False)
        if inner.outcome.error is not None:
            raise inner.outcome.error
        finish = inner.outcome.finish
        if finish is not None and finish.reason not in _WHOLE:
            raise GatewayError("upstream_invalid", f"The summary was not completed ({finish.reason}).")
        return inner.outcome

    def _loss(self, error: GatewayError) -> Loss:
        """Return the warning of a turn that goes on; raises an error that must end it."""
        call = self._call
        call.abort.check()
        call.remaining()
        if call.strict or error.kind.name in _FATAL or call.progress.refusal is not None:
            raise call.progress.refusal or error
        return Loss(MEMBER, f"The history was not compacted: {error.message}")


def split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Return the items that a summary may replace, none if it would replace summaries alone, and those that stay."""
    staying = stay(items)
    replaced = [item for place, item in enumerate(items) if place not in staying]
    kept = [item for place, item in enumerate(items) if place in staying]
    return ([] if all(map(is_summary, replaced)) else replaced), kept


def _is_due(call: Call, replaced: Sequence[Item], threshold: int) -> bool:
    """Tell whether a summary replaces items of a call's history before its answer."""
    return bool(replaced) and aside_for(call, lambda: tokens_of_body(call.full_body)) >= threshold


def _summary_call(call: Call, items: Sequence[Item]) -> Call:
    """Return the call for the summary of ``items``."""
    body = summary_body(call, items)
    return replace(call, body=body, upstream_body=None, host=None, keep_raw=frozenset())


def _progress_within(progress: Progress) -> Progress:
    """Return the progress of a call within a turn, which shares the attempts of the turn."""
    return Progress(
        route=progress.route,
        headers=progress.headers,
        span=progress.span,
        admitted=progress.admitted,
    )


def _add_usage(within: Outcome, outcome: Outcome, frames: list[Frame]) -> None:
    """Add usage and cost of the call within a turn to those of its answer."""
    outcome.usage = add_usages(within.usage, outcome.usage)
    outcome.cost = add_costs(within.cost, outcome.cost)
    write = dialect(_WIRE).write_usage
    for shown in (outcome.body, _final_response(frames)):
        if isinstance(shown, dict):
            shown["usage"] = outcome.usage and write(outcome.usage)


def _final_response(frames: Sequence[Frame]) -> dict[str, Any] | None:
    """Return the response object of the terminal event."""
    return next((frame.data["response"] for frame in reversed(frames) if frame.event in TERMINAL), None)


def _frames(item: Mapping[str, Any], place: int) -> list[Frame]:
    """Return the events of a whole output item."""
    kinds = ("response.output_item.added", "response.output_item.done")
    return [
        Frame(kind, {"type": kind, "sequence_number": 0, "output_index": place, "item": item})
        for kind in kinds
    ]
