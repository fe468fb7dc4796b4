"""A process that stalled, or whose clock jumped: what it was paid for is not lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select, update

from app.state.leases import sweep
from app.state.state import State, open_state
from app.state.tables import response
from tests.behaviour.world import Answer
from tests.lifecycle.house import SECRET, Client, House, eventually, text_of
from tests.traffic.load import exchange
from tests.traffic.replay import Reply


@contextmanager
def another_process(house: House) -> Iterator[State]:
    """The store as another process has it open."""
    state = open_state(house.database_url, {"SLUICE_SECRET_KEY": SECRET})
    yield state
    state.stop()


def sweep_up(state: State, key: str) -> str:
    """Let the leases of a running response lapse, and end it, before its owner can renew."""
    mine = response.c.status.in_(["in_progress"]) & (response.c.key_id == key)

    def lapse(connection) -> str | None:
        found = connection.execute(select(response.c.id).where(mine)).scalar()
        connection.execute(update(response).where(response.c.id == found).values(lease_until=0.0))
        return found

    def is_swept(response_id: str) -> bool:
        """Sweep; the gateway's own sweeper may be the first, and an owner that renewed is asked again."""
        state.db.write(lapse)
        sweep(state.db)
        query = select(response.c.status).where(response.c.id == response_id)
        return bool(state.db.read(lambda connection: connection.execute(query).scalar()) == "failed")

    found: str = eventually(lambda: state.db.write(lapse))
    eventually(lambda: is_swept(found))
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_replaces_the_server_lost_of_a_sweep(house: House, ann_too: Client, stream: bool) -> None:
    names = ("openai-responses-text", "openai-responses_stream-text")
    house.upstream.add(Reply.of(exchange(names[stream]), chunk=0, wait=1.5), path="*/responses")
    answers: list[Answer] = []
    body = {"model": "openai/gpt-4.1", "stream": stream}
    caller = threading.Thread(target=lambda: answers.append(ann_too.create("x", **body)))
    caller.start()
    with another_process(house) as state:
        response_id = sweep_up(state, "ann-too")
    lost = ann_too.get(f"/v1/responses/{response_id}").json
    assert (lost["status"], lost["error"]["code"]) == ("failed", "server_lost")
    caller.join()
    assert answers[0].status == 200
    assert b"server_lost" not in answers[0].body
    kept = ann_too.get(f"/v1/responses/{response_id}").json
    assert (kept["status"], kept["error"]) == ("completed", None)
    assert text_of(kept)
    assert ann_too.create("and then?", previous_response_id=response_id).status == 200
