"""Pass: a Responses body on its way to a Responses provider, and the answer on its way back.

Two pure patches. ``state_patch`` makes the call stateless upstream, with the gateway's
history in ``input``; ``reverse_patch`` gives the answer our id and the caller's own echo.
Encrypted reasoning leaves tagged with its realm and goes out only to the realm that made
it. Whatever else a body holds stays as it was sent. ``ResponsesPatch`` does both for one
attempt, streams included.

Rules: docs/architecture.md ("pass"); contract/responses.md 3 (echo), 4.3 and 4.6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from app.canonical.request import Signature
from app.canonical.response import Response, Usage
from app.dialects.base import Frame, PassThrough
from app.dialects.responses.compatibility import DEFAULT_OPTIONS, REASONING_LOST, ResponsesOptions, fit
from app.dialects.responses.echo import response_shell
from app.dialects.responses.grammar import Grammar
from app.dialects.responses.items_in import NAME
from app.dialects.responses.items_out import ItemWriter
from app.dialects.responses.response import encode_usage, overlay
from app.dialects.responses.whole_items import whole_item
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, count, dicts, opt_str, without_nulls
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from app.responses_form.errors import event_of_error, failure_body
from app.responses_form.events import TERMINAL

_SECRETIVE: Final = frozenset({"reasoning", "compaction"})
_KIND: Final = re.compile(r"[\w.:/-]{1,128}")  # it stands in the frame's event line
_REWRITTEN: Final = frozenset({"type", "obfuscation", "sequence_number"})


def state_patch(
    body: Mapping[str, Any],
    *,
    model: str,
    input: Sequence[Mapping[str, Any]] | str | None = None,
    unwrap: Callable[[str], Signature | None],
    accepts: Callable[[Signature], bool],
    options: ResponsesOptions = DEFAULT_OPTIONS,
    losses: Losses,
) -> dict[str, Any]:
    """Return the body to send for the caller's ``body``.

    ``input`` is the expanded history with the caller's new items (None: the body's own).
    ``previous_response_id``, ``conversation``, ``background`` and ``fallbacks`` are gone,
    ``store`` is false, encrypted reasoning is asked for. Raises GatewayError when the
    target lacks something that would change the answer.
    """
    sent = {**body, "model": model}
    if input is not None:
        sent["input"] = input if isinstance(input, str) else list(input)
    if isinstance(sent.get("input"), list):
        sent["input"] = list(_opened_items(sent["input"], unwrap, accepts, losses))
    return fit(sent, options, losses)


def _opened_items(
    items: Iterable[Any],
    unwrap: Callable[[str], Signature | None],
    accepts: Callable[[Signature], bool],
    losses: Losses,
) -> Iterable[Any]:
    """Yield the items with their own text in ``encrypted_content``, or without it where it
    may not go (``fit`` leaves out what then is nothing)."""
    for item in items:
        secret = item.get("encrypted_content") if isinstance(item, dict) else None
        signature = unwrap(secret) if isinstance(secret, str) else None
        if signature is None:
            yield item
        elif accepts(signature):
            yield {**item, "encrypted_content": signature.value}
        else:
            losses.report("reasoning_signature", REASONING_LOST)
            yield {name: value for name, value in item.items() if name != "encrypted_content"}


def reverse_patch(
    response: Mapping[str, Any],
    *,
    id: str,
    caller_body: Mapping[str, Any],
    wrap: Callable[[Signature], str],
    realm: str | None,
    now: int,
    created_at: int | None = None,
    output: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return an upstream's response object (a whole answer or a stream's snapshot) as the
    caller shall see it: all keys, our ``id``, the caller's own request as the echo.

    ``created_at`` and ``now`` are Unix seconds; ``output`` replaces the upstream's items
    (they are sealed already). ``encrypted_content`` stays in, wrapped.
    """
    status = opt_str(response.get("status")) or "completed"
    items = [seal_item(item, wrap, realm) for item in dicts(response.get("output"))]
    error = response.get("error")
    shell = response_shell(
        caller_body,
        id=id,
        created_at=created_at or count(response.get("created_at")) or now,
        model=opt_str(response.get("model")),
        status=status,
        output=items if output is None else output,
        usage=whole_usage(response.get("usage")),
        error=error if isinstance(error, dict) else None,
        completed_at=count(response.get("completed_at")) or now,
        service_tier=opt_str(response.get("service_tier")),
    )
    if isinstance(response.get("incomplete_details"), dict):
        shell["incomplete_details"] = response["incomplete_details"]
    return overlay(shell, response, caller_body)


def whole_usage(value: Any) -> dict[str, Any] | None:
    """Return a usage with the members that the newest schema requires; others stay."""
    if not isinstance(value, dict) or not value:
        return None
    before = {
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        **without_nulls(as_dict(value.get("input_tokens_details"))),
    }
    after = {"reasoning_tokens": 0, **without_nulls(as_dict(value.get("output_tokens_details")))}
    return {**value, "input_tokens_details": before, "output_tokens_details": after}


def seal_item(item: Mapping[str, Any], wrap: Callable[[Signature], str], realm: str | None) -> dict[str, Any]:
    """Return an output item with its ``encrypted_content`` tagged by its maker's realm."""
    secret = item.get("encrypted_content")
    if as_str(item.get("type")) not in _SECRETIVE or not isinstance(secret, str) or not secret:
        return {name: value for name, value in item.items() if name != "encrypted_content" or value}
    return {**item, "encrypted_content": wrap(Signature(secret, NAME, realm))}


@dataclass(slots=True)
class ResponsesPatch:
    """Both patches for one attempt.

    ``input`` is the expanded history or None. Stream events are numbered from ``number``
    on, their items remembered, so that the terminal object holds what was sent (OpenAI
    encrypts anew for it, OpenRouter changes ids) and a failure what was seen.
    """

    breaks_fail: ClassVar[bool] = False  # a response says "failed" by itself
    is_steady: ClassVar[bool] = False  # each frame has its number

    caller_body: Mapping[str, Any]
    id: str
    model: str
    realm: str | None
    now: int
    wrap: Callable[[Signature], str]
    unwrap: Callable[[str], Signature | None]
    accepts: Callable[[Signature], bool]
    losses: Losses
    new_id: Callable[[str], str]
    options: ResponsesOptions = DEFAULT_OPTIONS
    input: Sequence[Mapping[str, Any]] | str | None = None
    created_at: int | None = None
    number: int = 0
    final: dict[str, Any] | None = None
    _grammar: Grammar | None = None
    _items: dict[int, dict[str, Any]] = field(default_factory=dict)
    _snapshot: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, passage: PassThrough) -> ResponsesPatch:
        """Return the patch of one attempt: its state taken out, our ids and echo put in."""
        client, server = passage.client, passage.server
        return cls(
            caller_body=passage.body,
            id=server.response_id or "",
            model=client.model,
            realm=client.realm,
            now=server.now,
            wrap=server.wrap,
            unwrap=server.unwrap,
            accepts=lambda signature: client.accepts(signature, NAME),
            losses=client.losses,
            options=client.options or DEFAULT_OPTIONS,
            input=passage.expanded.get("input") if passage.expanded is not None else None,
            created_at=server.now,
            new_id=server.new_id,
        )

    def request(self) -> dict[str, Any]:
        """Return the body to send."""
        return state_patch(
            self.caller_body,
            model=self.model,
            input=self.input,
            unwrap=self.unwrap,
            accepts=self.accepts,
            options=self.options,
            losses=self.losses,
        )

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a whole answer as the caller shall see it; also kept in ``final``.

        Items without an id get one of ``new_id``, so that a stored item is found by the id shown.
        """
        self.final = self._reverse(body)
        self.final["output"] = [whole_item(item, self.new_id) for item in self.final["output"]]
        return self.final

    def frames(self, event: str | None, data: Mapping[str, Any]) -> list[Frame]:
        """Return what the caller shall see of a stream frame, in the grammar; nothing after the
        terminal one."""
        kind = as_str(data.get("type")) or event or ""
        if self.final is not None or not _KIND.fullmatch(kind):
            return []
        if self._grammar is None:
            self._grammar = Grammar(self.new_id)
        shown = {name: value for name, value in data.items() if name not in _REWRITTEN}
        return [self._frame(*payload) for payload in self._grammar.feed(kind, shown)]

    def _frame(self, kind: str, shown: dict[str, Any]) -> Frame:
        if isinstance(shown.get("item"), dict):
            shown["item"] = seal_item(shown["item"], self.wrap, self.realm)
            self._note(kind, shown)
        if isinstance(shown.get("response"), dict):
            shown["response"] = self._remember(kind, shown["response"])
        return self._number(kind, shown)

    def closing(self, usage: Usage | None = None) -> list[Frame]:
        """Return what ends a good stream beyond the upstream's own frames: nothing."""
        return []

    def fail(
        self, error: GatewayError, answer: Response | None = None, usage: Usage | None = None
    ) -> list[Frame]:
        """Return the frames that end the stream in ``error``, as OpenAI does: the numbered
        error event, then ``response.failed``, without closing what was open. ``answer`` is
        the fold so far, shown as partial output (None: the finished items). A cancelled
        stream ends with ``response.failed`` alone."""
        cancelled = error.kind.name == "cancelled"
        frames = [] if cancelled else [self._number("error", event_of_error(error))]
        response = {
            **self._snapshot,
            "status": "cancelled" if cancelled else "failed",
            "error": failure_body(error),
            "incomplete_details": None,
            "usage": encode_usage(usage),
        }
        self.final = self._reverse(response, self._partial(answer))
        return [*frames, self._number("response.failed", {"response": self.final})]

    def _partial(self, answer: Response | None) -> list[dict[str, Any]]:
        """Return the finished items as they were sent, and the fold's others as incomplete."""
        sent = self._sent_items()
        if answer is None or not answer.choices:
            return sent
        known = {item.get("id") for item in sent}
        items = ItemWriter(self.wrap, lambda prefix: prefix).items(answer.choices[0].messages, "incomplete")
        return sent + [item for item in items if item.get("id") not in known]

    def _note(self, kind: str, shown: Mapping[str, Any]) -> None:
        index = count(shown.get("output_index"))
        if index is not None and kind == "response.output_item.done":
            self._items[index] = shown["item"]

    def _sent_items(self) -> list[dict[str, Any]]:
        return [self._items[index] for index in sorted(self._items)]

    def _remember(self, kind: str, response: Mapping[str, Any]) -> dict[str, Any]:
        self._snapshot = {name: value for name, value in response.items() if name != "usage"}
        if kind not in TERMINAL:
            return self._reverse(response)
        whole = len(self._items) >= len(as_list(response.get("output")))
        self.final = self._reverse(response, self._sent_items() if whole else None)
        return self.final

    def _reverse(
        self, response: Mapping[str, Any], output: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        return reverse_patch(
            response,
            id=self.id,
            caller_body=self.caller_body,
            wrap=self.wrap,
            realm=self.realm,
            now=self.now,
            created_at=self.created_at,
            output=output,
        )

    def _number(self, kind: str, members: Mapping[str, Any]) -> Frame:
        frame = Frame(kind, {"type": kind, "sequence_number": self.number, **members})
        self.number += 1
        return frame
