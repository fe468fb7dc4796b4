"""An outage of the database, played: what was acknowledged before it is there after it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.behaviour.world import Answer
from tests.lifecycle.house import Client, events_of, eventually, running_house, text_of
from tests.lifecycle.test_leaving import first_words
from tests.lifecycle.wire import relayed


def unavailable(answer: Answer) -> None:
    """Check the refusal of what must be durable."""
    assert (answer.status, answer.error["type"], answer.error["code"]) == (
        503,
        "server_error",
        "store_unavailable",
    )
    assert answer.headers["retry-after"].isdigit()
    assert "sqlalchemy" not in answer.body.decode().lower()


def an_outage_passes(database_url: str, folder: Path) -> None:
    """Cut the wire to the database under load, and mend it."""
    with relayed(database_url) as (relay, url), running_house(url) as house:
        ann = house.client()
        response = ann.make("say exactly: kept")
        background = ann.make("take 5 seconds\nsay exactly: a b c", background=True)
        text = "take 3 seconds\nsay exactly: a b c d e f g h"
        connection = ann.open(
            "POST", "/v1/responses", {"model": "sandbox/echo", "input": text, "stream": True, "metadata": {}}
        )
        answer = connection.getresponse()
        seen = first_words(answer)
        relay.cut()
        began = time.monotonic()
        unavailable(ann.create())
        unavailable(ann.get(f"/v1/responses/{response['id']}"))
        assert time.monotonic() - began < 6
        assert ann.create("say exactly: x", store=False).text == "x"
        seen += answer.read()
        events = events_of(Answer(200, {"content-type": "text/event-stream; charset=utf-8"}, seen))
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert events[-2]["code"] == "store_unavailable"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        relay.mend()
        eventually(lambda: ann.get(f"/v1/responses/{response['id']}").status == 200, 10)
        assert ann.get(f"/v1/responses/{response['id']}").json["output"] == response["output"]
        assert text_of(ann.ended(background["id"], seconds=30)) == "a b c"
        assert ann.make(previous_response_id=response["id"])["status"] == "completed"
        unfinished = events[0]["response"]["id"]
        lost = eventually(lambda: _stored_response(ann, unfinished), 20)
        assert (lost["status"], lost["error"]["code"]) == ("failed", "server_lost")


def _stored_response(client: Client, response_id: str) -> Any:
    answer = client.get(f"/v1/responses/{response_id}")
    return answer.json if answer.status == 200 else None
