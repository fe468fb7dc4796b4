"""Streams of text completions: canonical events whose blocks are texts, one for each choice.

Their log probabilities are parallel arrays, ``{tokens, token_logprobs, top_logprobs, text_offset}``. The
canonical form has token objects as in chat completions; ``text_offset`` is kept on each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from app.canonical.events import BlockDelta, BlockEnded, BlockStarted, Ended, Event, Failed, Finished, Started
from app.canonical.media import CompletionRequest
from app.canonical.request import RefusalPart, TextPart
from app.dialects.base import ClientContext, Frame, ServerContext
from app.dialects.chat.chunks import ChunkDecoder, ChunkEncoder
from app.dialects.chat.response_in import CHOICE_MEMBERS, remainder
from app.dialects.chat.response_out import split_choices
from app.dialects.chat.stream_in import gather
from app.dialects.chat.usage import decode_choice_finish, decode_usage, encode_finish
from app.dialects.shared.lenient_json import (
    as_dict,
    as_list,
    as_str,
    count,
    dicts,
    number,
    opt_str,
    rest,
    without_nulls,
)
from app.dialects.shared.members import as_native, own_members
from app.dialects.shared.repeats import Grow

_NAME: Final = "completions"
_TOP: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})


class CompletionStreamDecoder(ChunkDecoder):
    """Decodes the chunks of a text completion to events."""

    growing = (("choices", 0, "text"),)

    def __init__(self, context: ClientContext) -> None:
        super().__init__()
        self._blocks: dict[int, int] = {}
        self._choices: dict[int, Mapping[str, Any] | None] = {}
        self._top: dict[str, Any] = {}
        self._rows: dict[int, dict[str, Any]] = {}
        self._thoughts: dict[int, list[str]] = {}

    def _grow_of(self, chunk: Mapping[str, Any], block: int) -> Grow | None:
        others = any(remainder(choice, CHOICE_MEMBERS) for choice in dicts(chunk["choices"]))
        return None if others else str  # texts are not recorded

    def _note(self, chunk: Mapping[str, Any]) -> None:
        self._usage = decode_usage(chunk.get("usage")) or self._usage
        self._top.update(without_nulls(rest(chunk, _TOP)))

    def _opening(self, chunk: Mapping[str, Any]) -> Started:
        return Started(opt_str(chunk.get("id")), opt_str(chunk.get("model")), count(chunk.get("created")))

    def _feed_choice(self, raw: Mapping[str, Any], events: list[Event]) -> None:
        index = count(raw.get("index")) or 0
        self._choices.setdefault(index, None)
        text, rows = as_str(raw.get("text")), token_rows(raw.get("logprobs"))
        if text or rows:
            if index not in self._blocks:
                self._blocks[index] = len(self._blocks)
                events.append(BlockStarted(self._blocks[index], 0, TextPart(""), index))
            events.append(BlockDelta(self._blocks[index], text, rows or None))
        if own := remainder(raw, CHOICE_MEMBERS):
            if isinstance(own.get("reasoning"), str):  # it comes in pieces
                self._thoughts.setdefault(index, []).append(own.pop("reasoning"))
            gather(self._rows.setdefault(index, {}), own)
        if opt_str(raw.get("finish_reason")) is not None:
            self._choices[index] = raw

    def _finishes(self) -> Collection[Mapping[str, Any] | None]:
        return self._choices.values()

    def _closing(self) -> list[Event]:
        for index, pieces in self._thoughts.items():
            self._rows[index]["reasoning"] = "".join(pieces)
        self._top["choices"] = [{"index": index, **row} for index, row in self._rows.items()]
        return [
            *(BlockEnded(block) for block in self._blocks.values()),
            *(
                Finished(decode_choice_finish(choice or {}, calls=False), index)
                for index, choice in sorted(self._choices.items())
            ),
            Ended(self._usage, as_native(_NAME, self._top)),
        ]


class CompletionStreamEncoder(ChunkEncoder):
    """Encodes events as ``text_completion`` chunks; only text and refusal blocks are written."""

    object_type = "text_completion"
    id_prefix = "cmpl-"

    def __init__(self, request: CompletionRequest, context: ServerContext) -> None:
        super().__init__(context, request.model, include_usage=request.include_usage)
        self._choices: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._ends: dict[int, Frame] = {}
        self._native: dict[str, Any] = {}

    def _started(self, event: Started) -> list[Frame]:
        self._identify(event)
        self._native = own_members(event.native, _NAME)
        return []

    def _block_started(self, event: BlockStarted) -> list[Frame]:
        if isinstance(event.part, TextPart | RefusalPart):
            self._choices[event.block] = event.choice
        return []

    def _block_delta(self, event: BlockDelta) -> list[Frame]:
        choice = self._choices.get(event.block)
        if choice is None or not (event.text or event.logprobs):
            return []
        start = self._lengths.get(choice, 0)
        self._lengths[choice] = start + len(event.text)
        return [self._chunk(choice, event.text, legacy_logprobs(event.logprobs or (), start))]

    def _chunk(self, choice: int, text: str, logprobs: Any, finish: str | None = None) -> Frame:
        row = {"text": text, "index": choice, "logprobs": logprobs, "finish_reason": finish}
        return Frame(None, {**self._base, "choices": [row], **self._no_usage})

    def _finished(self, event: Finished) -> list[Frame]:
        word = encode_finish(event.finish, calls=False)
        self._ends[event.choice] = self._chunk(event.choice, "", None, word)
        return []

    def _ended(self, event: Ended) -> list[Frame]:
        """Return the last chunk of each choice, with its native members and those of the answer, and the end."""
        top, rows = split_choices({**self._native, **own_members(event.native, _NAME)})
        ends = {
            choice: self._ends.get(choice) or self._chunk(choice, "", None)
            for choice in {**self._ends, **rows}
        }
        for choice, frame in ends.items():
            frame.data["choices"][0].update(rows.get(choice, {}))
        return [*self._with_late(list(ends.values()), top), *self._end(event)]

    methods = {
        Started: _started,
        BlockStarted: _block_started,
        BlockDelta: _block_delta,
        BlockEnded: lambda encoder, event: [],
        Finished: _finished,
        Ended: _ended,
        Failed: ChunkEncoder._fail,
    }


def token_rows(legacy: Any) -> tuple[dict[str, Any], ...]:
    """Return the token objects of a text completion's ``logprobs``."""
    members = as_dict(legacy)
    values, tops = as_list(members.get("token_logprobs")), as_list(members.get("top_logprobs"))
    offsets = as_list(members.get("text_offset"))
    rows = []
    for index, token in enumerate(as_list(members.get("tokens"))):
        top = as_dict(tops[index]) if index < len(tops) else {}
        row: dict[str, Any] = {
            "token": as_str(token),
            "logprob": number(values[index]) if index < len(values) else None,
            "top_logprobs": [{"token": name, "logprob": value} for name, value in top.items()],
        }
        if index < len(offsets) and count(offsets[index]) is not None:
            row["text_offset"] = offsets[index]
        rows.append(row)
    return tuple(rows)


def legacy_logprobs(rows: Sequence[Mapping[str, Any]], start: int = 0) -> dict[str, Any] | None:
    """Return token objects as a text completion's ``logprobs``, None if there are none.

    Missing offsets are counted in characters from ``start``.
    """
    if not rows:
        return None
    offset, offsets = start, []
    for row in rows:
        offset = row.get("text_offset", offset)
        offsets.append(offset)
        offset += len(as_str(row.get("token")))
    return {
        "tokens": [as_str(row.get("token")) for row in rows],
        "token_logprobs": [row.get("logprob") for row in rows],
        "top_logprobs": [
            {as_str(top.get("token")): top.get("logprob") for top in dicts(row.get("top_logprobs"))} or None
            for row in rows
        ],
        "text_offset": offsets,
    }
