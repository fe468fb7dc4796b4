"""Store the results of a provider's batch in the batch's own files, and write one row of the call log for all.

Lines keep the provider's order. Usage and cost are summed line by line, at the catalogue's price of
batches. Tests: tests/lifecycle/test_native_batches.py.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from app.canonical.batches import BatchObject
from app.canonical.response import Billing, Usage
from app.dialects.chat.usage import decode_usage
from app.dialects.shared.lenient_json import as_dict, count, dicts
from app.dialects.shared.usage_sides import lacks_side
from app.errors import GatewayError
from app.gateway.batch_lines import Line, Request, error_line, lines_of, read_request
from app.gateway.call import Abort, Attempt, Call, Principal, Target, absent_owner
from app.gateway.cost import PriceList
from app.gateway.estimates import complete_usage, tokens_of_body
from app.gateway.exchange import Answer
from app.gateway.provider_batches import ProviderBatches
from app.gateway.run import Batch, Run
from app.state.batch_queue import BatchWork, Lookahead, Progress
from app.state.ids import new_id
from app.state.records import JSON
from app.state.state import State
from app.wire.fairness import Turns
from app.wire.json import loads_lenient
from app.wire.offload import aside

if TYPE_CHECKING:
    from app.gateway.core import Gateway


_CHUNK_BYTES: Final = 1024 * 1024  # of results that are written in one transaction
_MAX_LINE: Final = 128 * 1024 * 1024
_TERMS: Final = {"processing": "batch"}
"""The catalogue's terms for the price of batches."""
_OPERATIONS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embedding",
    "/v1/completions": "completion",
}


def store_results(
    gateway: Gateway,
    state: State,
    work: BatchWork,
    account: ProviderBatches,
    batch: BatchObject,
    target: Target,
    errors: list[JSON] | None,
) -> bool:
    """Store the results of a batch that has ended, end it here, and write its row; return False where another
    process did so."""
    totals = _Totals(gateway.prices, target)
    writer, turns = _Writer(state, work), Turns()
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id is not None:
            for line in lines_of(account.content(file_id), max_bytes=_MAX_LINE):
                writer.write(*totals.row(line))
                turns.take()
    writer.flush()
    if totals.uncounted:
        stored = state.files.get(work.tenant, work.input_file_id)
        max_bytes = gateway.settings.max_body_bytes
        for line in lines_of(state.files.content(stored), max_bytes=max_bytes):
            totals.estimate(read_request(line, work.endpoint, max_bytes))
            turns.take()
    if not state.batch_queue.finish(work.id, work.fence, batch.status, errors):
        return False
    _record(gateway, work, target, totals)
    return True


def call_of(gateway: Gateway, work: BatchWork, target: Target, abort: Abort) -> Call:
    """Return the call that stands for a whole batch."""
    return Call(
        id=new_id("req"),
        operation=_OPERATIONS[work.endpoint],
        dialect="chat",
        body={},
        model=target.label,
        candidates=(target.label,),
        principal=_owner(gateway, work),
        abort=abort,
        sealing=gateway.sealing(work.tenant),
        deadline=time.monotonic() + gateway.settings.timeouts.background,
        surface=work.mount,
        log_metadata={"batch": work.id},
    )


def _owner(gateway: Gateway, work: BatchWork) -> Principal:
    """Return the owner of a batch, by its id if its key is gone or disabled."""
    try:
        owner = gateway.principal_of(work.key_id, work.tenant)
    except GatewayError:
        return absent_owner(work.key_id, work.tenant)
    return Principal(key=owner.key, tenant=work.tenant, id=owner.id)


@dataclass(slots=True)
class _Totals:
    """The usage and cost of the lines so far. ``cost`` is None once the price of one line is unknown.

    ``uncounted`` are answers that the provider did not count, or one side of which: by ``custom_id`` what it counted, and
    the estimate of the output."""

    prices: PriceList
    target: Target
    usage: Usage = Usage(input_tokens=0, output_tokens=0)
    cost: dict[str, Any] | None = field(default_factory=dict)
    uncounted: dict[str, tuple[Usage | None, int]] = field(default_factory=dict)

    def row(self, line: Line) -> tuple[bytes, bool]:
        """Add the usage of a line; return the line, and whether it is an answer rather than an error."""
        if line.data is None:
            error = GatewayError("upstream_invalid", f"The answer is longer than {_MAX_LINE} bytes.")
            return error_line(None, error).encode(), False
        answer = aside(len(line.data), partial(_answer, line.data))
        response = as_dict(answer.get("response"))
        status, body = count(response.get("status_code")) or 0, as_dict(response.get("body"))
        usage, name, is_good = decode_usage(body.get("usage")), answer.get("custom_id"), 200 <= status < 400
        if is_good and isinstance(name, str) and lacks_side(usage):
            texts = [choice.get("message", choice.get("text")) for choice in dicts(body.get("choices"))]
            self.uncounted[name] = usage, aside(len(line.data), partial(tokens_of_body, texts))
        elif usage is not None:
            self._add(usage)
        return line.data + b"\n", is_good

    def estimate(self, request: Request) -> None:
        """Add the usage of a line if its answer is uncounted."""
        if request.custom_id in self.uncounted:
            usage, output = self.uncounted.pop(request.custom_id)
            before = aside(request.size, partial(tokens_of_body, request.body))
            own = Usage(input_tokens=before, output_tokens=output, estimated=True)
            self._add(complete_usage(usage, lambda: own))

    def _add(self, usage: Usage) -> None:
        so_far = self.usage
        self.usage = Usage(
            input_tokens=so_far.input_tokens + usage.input_tokens,
            output_tokens=so_far.output_tokens + usage.output_tokens,
            cached_tokens=so_far.cached_tokens + usage.cached_tokens,
            reasoning_tokens=so_far.reasoning_tokens + usage.reasoning_tokens,
            estimated=so_far.estimated or usage.estimated,
        )
        cost = self.prices.cost(self.target, replace(usage, billing=Billing(terms=_TERMS)))
        if cost is None or self.cost is None:
            self.cost = None
            return
        for name, value in cost.items():
            before = self.cost.get(name)
            self.cost[name] = value if before is None or not isinstance(value, float) else before + value


def _answer(data: bytes) -> dict[str, Any]:
    try:
        return as_dict(loads_lenient(data))
    except ValueError:
        return {}


class _Writer:
    """Appends results to a batch's files, from where an earlier process stopped."""

    def __init__(self, state: State, work: BatchWork) -> None:
        self._state, self._work = state, work
        self._seen = 0
        self._at = work.line
        self._good, self._bad = list[bytes](), list[bytes]()
        self._size = 0

    def write(self, row: bytes, good: bool) -> None:
        """Add a row, unless the files already have it."""
        self._seen += 1
        if self._seen <= self._work.line:
            return
        (self._good if good else self._bad).append(row)
        self._size += len(row)
        if self._size >= _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows added so far; raises ``server_lost`` where another process has the batch."""
        good, bad = self._good, self._bad
        if not good and not bad:
            return
        line = self._at + len(good) + len(bad)
        progress = Progress(self._at, line, 0, len(good), len(bad), b"".join(good), b"".join(bad))
        if not self._state.batch_queue.advance(self._work, progress, Lookahead({}, {})):
            raise GatewayError("server_lost", "Another process looks after this batch now.")
        self._at, self._size, self._good, self._bad = line, 0, [], []


def _record(gateway: Gateway, work: BatchWork, target: Target, totals: _Totals) -> None:
    """Write the row of a batch into the call log and the ledger."""
    call = call_of(gateway, work, target, Abort())
    began = gateway.accounts.clock()
    attempt = Attempt(call, target, status=200, usage=totals.usage, cost=totals.cost or None, complete=True)
    call.attempts.append(attempt)
    attempt.close()
    gateway.accounts.note(attempt, began)

    def source(run: Run) -> Generator[Batch, None, None]:
        run.outcome.target = target
        yield Batch([], last=True, answer=Answer(None, usage=totals.usage, cost=totals.cost or None))

    gateway.answer(call, source).result()
