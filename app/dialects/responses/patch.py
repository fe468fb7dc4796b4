"""The patch of a Responses body that passes to a Responses provider, and of the answer to it.

``request_body`` makes the request stateless, with the gateway's history in ``input``. ``response_object``
gives the answer the gateway's id and the echo of the client's request. Encrypted reasoning is sealed with
the realm that made it, and sent only to that realm. Everything else stays unchanged (docs/architecture.md,
"Two ways through"). ``ResponsesPatch`` does both for one attempt, including streams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from app.canonical.request import Signature
from app.canonical.response import Response, Usage
from app.dialects.base import Frame, PassThrough, Patch
from app.dialects.responses.compatibility import REASONING_LOST, ResponsesOptions, fit
from app.dialects.responses.echo import response_shell
from app.dialects.responses.items_in import NAME
from app.dialects.responses.items_out import ItemWriter
from app.dialects.responses.response import encode_usage, overlay, status_of
from app.dialects.responses.stream_in import ResponsesDecoder
from app.dialects.responses.whole_items import whole_item
from app.dialects.shared.lenient_json import (
    as_dict,
    as_list,
    as_str,
    count,
    dicts,
    opt_str,
    rest,
    without_nulls,
)
from app.errors import GatewayError
from app.responses_form.errors import event_of_error, failure_body
from app.responses_form.events import TERMINAL

_SEALED_TYPES: Final = frozenset({"reasoning", "compaction"})
_KIND: Final = re.compile(r"[\w.:/-]{1,128}")  # the ``event`` line of the frame contains it


def request_body(passage: PassThrough) -> dict[str, Any]:
    """Return the body to send for the client's body.

    State members are removed, ``store`` is false, and encrypted reasoning is requested
    (``compatibility.fit``). Raises GatewayError if the target lacks something that would change the
    answer.
    """
    client = passage.client
    history = passage.expanded.get("input") if passage.expanded is not None else None
    body = {**passage.body, "model": client.model}
    if history is not None:
        body["input"] = history
    if isinstance(body.get("input"), list):
        body["input"] = list(_open_items(body["input"], passage))
    return fit(body, client.options_as(ResponsesOptions), client.losses)


def _open_items(items: Iterable[Any], passage: PassThrough) -> Iterator[Any]:
    """Yield the items with their original ``encrypted_content``, or without it if the target does not accept it.

    ``fit`` removes items that are empty without it.
    """
    for item in items:
        token = item.get("encrypted_content") if isinstance(item, dict) else None
        signature = passage.server.unwrap(token) if isinstance(token, str) else None
        if signature is None:
            yield item
        elif passage.client.accepts(signature, NAME):
            yield {**item, "encrypted_content": signature.value}
        else:
            passage.client.losses.report("reasoning_signature", REASONING_LOST)
            yield rest(item, frozenset({"encrypted_content"}))


def response_object(
    response: Mapping[str, Any], passage: PassThrough, output: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return a provider's response object, or a snapshot of one in a stream, as the client sees it.

    It has all members, the gateway's id and the echo of the client's request. ``output`` replaces the
    provider's items. ``encrypted_content`` is sealed.
    """
    server, error = passage.server, response.get("error")
    if output is None:
        output = [
            seal_item(item, server.wrap, passage.client.realm) for item in dicts(response.get("output"))
        ]
    shell = response_shell(
        passage.body,
        id=server.response_id or "",
        created_at=server.now,
        model=opt_str(response.get("model")),
        status=status_of(response),
        output=output,
        usage=complete_usage(response.get("usage")),
        error=error if isinstance(error, dict) else None,
        completed_at=count(response.get("completed_at")) or server.now,
        service_tier=opt_str(response.get("service_tier")),
    )
    if isinstance(response.get("incomplete_details"), dict):
        shell["incomplete_details"] = response["incomplete_details"]
    return overlay(shell, response, passage.body)


def complete_usage(value: Any) -> dict[str, Any] | None:
    """Return a usage with the details that OpenAI's types require; None for anything but a non-empty object."""
    if not isinstance(value, dict) or not value:
        return None
    before = {"cached_tokens": 0, "cache_write_tokens": 0, **_details(value, "input_tokens_details")}
    after = {"reasoning_tokens": 0, **_details(value, "output_tokens_details")}
    return {**value, "input_tokens_details": before, "output_tokens_details": after}


def _details(usage: Mapping[str, Any], name: str) -> dict[str, Any]:
    return without_nulls(as_dict(usage.get(name)))


def seal_item(item: Mapping[str, Any], wrap: Callable[[Signature], str], realm: str | None) -> dict[str, Any]:
    """Return an output item with its ``encrypted_content`` sealed for ``realm``; an empty one is removed."""
    text = item.get("encrypted_content")
    if as_str(item.get("type")) in _SEALED_TYPES and isinstance(text, str) and text:
        return {**item, "encrypted_content": wrap(Signature(text, NAME, realm))}
    return dict(item) if text else rest(item, frozenset({"encrypted_content"}))


class ResponsesPatch(Patch):
    """The patch of one attempt.

    ``final`` is the response object that the client gets last. The events of a stream are numbered from 0.
    Their final items are recorded, so that the terminal object has the items that were sent (OpenAI
    encrypts reasoning anew for it, OpenRouter changes ids), and a failure those so far.
    """

    is_steady = True

    def __init__(self, passage: PassThrough) -> None:
        self.final: dict[str, Any] | None = None
        self._passage = passage
        self._next_number = 0
        self._items: dict[int, dict[str, Any]] = {}
        self._snapshot: dict[str, Any] = {}

    @cached_property
    def decoder(self) -> ResponsesDecoder:  # type: ignore[override]
        """The decoder of the stream, which also puts it in order."""
        return ResponsesDecoder(self._passage.client)

    def request(self) -> dict[str, Any]:
        """Return the body to send."""
        return request_body(self._passage)

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a whole answer as the client sees it, and record it as ``final``.

        Items without an id get one, so that a stored item can be found by the id that was shown.
        """
        self.final = response_object(body, self._passage)
        new_id = self._passage.server.new_id
        self.final["output"] = [whole_item(item, new_id) for item in self.final["output"]]
        return self.final

    def frames(self, event: str | None, data: Mapping[str, Any]) -> list[Frame]:
        """Return the client's frames for the frame that ``decoder`` read last; none after the terminal one."""
        if self.final is not None:
            return []
        return [self._frame(kind, members) for kind, members in self.decoder.ordered if _KIND.fullmatch(kind)]

    def _frame(self, kind: str, members: dict[str, Any]) -> Frame:
        if isinstance(members.get("item"), dict):
            item = members["item"] = seal_item(
                members["item"], self._passage.server.wrap, self._passage.client.realm
            )
            index = count(members.get("output_index"))
            if index is not None and kind == "response.output_item.done":
                self._items[index] = item
        if isinstance(members.get("response"), dict):
            members["response"] = self._snapshot_of(kind, members["response"])
        return self._number(kind, members)

    def fail(
        self, error: GatewayError, answer: Response | None = None, usage: Usage | None = None
    ) -> list[Frame]:
        """Return the frames that end the stream in ``error``, as OpenAI sends them.

        These are the ``error`` event and ``response.failed``; open items are not closed. A cancelled
        stream ends with ``response.failed`` alone. ``answer`` is the answer so far, whose other items
        are shown as incomplete (None: only the final items are shown).
        """
        is_cancelled = error.kind.name == "cancelled"
        frames = [] if is_cancelled else [self._number("error", event_of_error(error))]
        response = {
            **self._snapshot,
            "status": "cancelled" if is_cancelled else "failed",
            "error": failure_body(error),
            "incomplete_details": None,
            "usage": encode_usage(usage),
        }
        self.final = response_object(response, self._passage, self._partial_output(answer))
        return [*frames, self._number("response.failed", {"response": self.final})]

    def _partial_output(self, answer: Response | None) -> list[dict[str, Any]]:
        """Return the final items as they were sent, and the other items of the answer as incomplete."""
        final_items = self._sent_items()
        if answer is None or not answer.choices:
            return final_items
        ids = {item.get("id") for item in final_items}
        writer = ItemWriter(self._passage.server.wrap, lambda prefix: prefix)
        items = writer.items(answer.choices[0].messages, "incomplete")
        return final_items + [item for item in items if item.get("id") not in ids]

    def _sent_items(self) -> list[dict[str, Any]]:
        return [self._items[index] for index in sorted(self._items)]

    def _snapshot_of(self, kind: str, response: Mapping[str, Any]) -> dict[str, Any]:
        """Return a stream's response object as the client sees it, and record it for a failure."""
        self._snapshot = rest(response, frozenset({"usage"}))
        if kind not in TERMINAL:
            return response_object(response, self._passage)
        is_complete = len(self._items) >= len(as_list(response.get("output")))
        self.final = response_object(response, self._passage, self._sent_items() if is_complete else None)
        return self.final

    def _number(self, kind: str, members: Mapping[str, Any]) -> Frame:
        frame = Frame(kind, {"type": kind, "sequence_number": self._next_number, **members})
        self._next_number += 1
        return frame
