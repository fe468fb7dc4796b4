"""Recorded usages of every provider: the ledger has the tokens and the cost that the call itself was told."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from typing import Any

from tests.lifecycle.house import eventually
from tests.replay import asking, left_out
from tests.replay.setting import replaying_world
from tests.traffic.load import Exchange, exchanges
from tests.traffic.replay import NEVER, Reply

_OF_EACH = 4
"""Recordings of each provider's API."""


def chosen() -> list[tuple[Exchange, asking.Ask]]:
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for one in exchanges():
        if left_out.reason(one) is not None:
            continue
        asks = [ask for ask in asking.asks(one) if ask.reads != "models"]
        if not asks or asking.outcome(one).error is not None:
            continue
        seen[one.provider, one.api] += 1
        if seen[one.provider, one.api] <= _OF_EACH:
            found.append((one, asks[0]))
    return found


def test_the_ledger_agrees_with_what_calls_were_told() -> None:
    cases = chosen()
    if not cases:
        return  # no recordings beside the checkout, which other tests say
    with replaying_world() as world:
        for recording, ask in cases:
            world.fresh().upstream.add(Reply.of(recording, chunk=0), times=NEVER)
            world.send(ask.method, ask.path, ask.body, ask.headers)

        def rows(statement: str) -> list[Any]:
            with sqlite3.connect(world.gateway.folder / "sluice.db") as store:
                store.row_factory = sqlite3.Row
                return store.execute(statement).fetchall()

        calls = eventually(lambda: len(got := rows("SELECT * FROM call_log")) >= len(cases) and got)
        told = {row["request_id"]: {**dict(row), **json.loads(row["body"])} for row in calls}
        paid = {name for name, row in told.items() if row["status"] == 200 and _is_one_attempt(row)}
        columns = "call_id, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, state"
        statement = f"SELECT {columns} FROM ledger"
        eventually(lambda: paid <= {row[0] for row in rows(statement)})
        entries = [row for row in rows(statement) if row[0] in paid]
    priced: set[str] = set()
    for call_id, *counts, cost, state in entries:
        row = told[call_id]
        assert counts == (list(row["usage"].values()) if "usage" in row else [None] * 4), row
        assert cost == (round(row["cost"] * 1e9) if "cost" in row else None), row
        assert state in ("settled", "estimated"), row
        priced.update([row["provider"]] if cost else [])
    assert len(priced) >= 9, priced


def _is_one_attempt(row: dict[str, Any]) -> bool:
    return len(row["attempts"]) == 1 and row["request_type"] != "count_tokens"
