"""The models of the configuration in the window: where names lead, and what that costs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from tests.behaviour.world import chat_body, running_world
from tests.lifecycle.house import eventually
from tests.services import new_postgres
from tests.surfaces.visitor import ENV, MASTER, logged_in, plain_text
from tests.traffic.replay import Reply, Request

MESSAGE = {"role": "user", "content": "hi"}
CONFIG = """
[providers.groq.prices]
"x" = { input = 2, output = 3 }
[models."fast"]
strategy = "cheapest"
targets = [
    { target = "openai/gpt-4o-mini", weight = 3, max_tokens = 2000 },
    { target = "groq/x", defaults = { temperature = 0.5 } },
    { target = "sandbox/echo" },
]
fallbacks = ["mistral/small"]
[models."outer"]
target = "fast"
"""


def test_names_are_shown_with_their_targets_and_prices() -> None:
    with running_world({**ENV, "WEB_CONCURRENCY": "1"}, config=CONFIG) as world:
        visitor = logged_in(world)
        page = visitor.get("/ui/models")
        assert page.status == 200
        plain = plain_text(page)
        assert "fast cheapest" in plain
        assert "openai/gpt-4o-mini 3 $0.15 $0.60 at most 2 000 tokens" in plain
        assert "groq/x 1 $2.00 $3.00 defaults temperature 0.5" in plain
        assert "sandbox/echo 1 – –" in plain
        assert "mistral/small fallback" in plain
        assert "outer weighted" in plain
        assert 'href="/ui/playground?model=fast"' in page.body.decode()
        assert 'value="fast"' in visitor.get("/ui/playground?model=fast").body.decode()


def answer(request: Request) -> Reply:
    return Reply.json({}, status=400) if b"fail" in request.body else Reply.json(chat_body())


def test_sums_say_what_they_do_not_know() -> None:
    dear = "[providers.groq.prices]\nx = { input = 1000000, output = 1000000 }\n"
    with running_world({**ENV, "WEB_CONCURRENCY": "1"}, config=dear, key=MASTER) as world:
        world.upstream.script = answer
        asked = {"groq/x": ["hi"], "groq/unknown": ["hi", "fail", "hi"]}
        for model, texts in asked.items():
            for text in texts:
                world.ask(model=model, messages=[{"role": "user", "content": text}])
        world.send("POST", "/anthropic/v1/messages/count_tokens", {"model": "groq/x", "messages": [MESSAGE]})

        def usage() -> dict[str, dict[str, Any]]:
            rows = world.send("GET", "/admin/usage?group_by=model").json["data"]
            return {row["model"]: row for row in rows}

        found = eventually(
            lambda: (got := usage()) and sum(row["calls"] for row in got.values()) == 5 and got
        )
        assert (found["unknown"]["calls"], found["unknown"]["unpriced"], found["unknown"]["cost"]) == (
            3,
            2,
            0,
        )
        assert (found["x"]["calls"], found["x"]["unpriced"], found["x"]["cost"]) == (2, 0, 5)
        visitor = logged_in(world)
        page = plain_text(visitor.get("/ui"))
        assert "Cost at least $5.00 2 of unknown price" in page
        assert "unknown 3 1 0 10 unknown" in page
        assert "x 2 0 0 5 $5.00" in page


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_tokens_without_measure_leave_the_log_and_its_sums_whole(kind: str) -> None:
    """A provider may report any number; the calls beside and after it are logged, and sums end at a bound."""
    dear = "[providers.groq.prices]\nx = { input = 1000000, output = 1000000 }\n"
    with ExitStack() as stack:
        more = {"DATABASE_URL": stack.enter_context(new_postgres())} if kind == "postgres" else {}
        env = {**ENV, **more, "WEB_CONCURRENCY": "1"}
        world = stack.enter_context(running_world(env, config=dear, key=MASTER))
        usage = {"prompt_tokens": 2**53 - 1, "completion_tokens": 2, "total_tokens": 2**53 + 1}
        for huge in (True, False, True, False):
            body = {**chat_body(), "usage": usage} if huge else chat_body()
            world.upstream.script = lambda request, body=body: Reply.json(body)
            assert world.ask(model="groq/x", messages=[MESSAGE]).status == 200
        rows = eventually(lambda: len(got := world.send("GET", "/admin/calls").json["data"]) == 4 and got)
        assert [row["usage"]["input_tokens"] for row in rows] == [3, 2**53 - 1] * 2
        (sums,) = world.send("GET", "/admin/usage").json["data"]
        assert (sums["calls"], sums["input_tokens"], sums["cost"]) == (4, 2 * (2**53 - 1) + 6, 4e9)
        assert "the call log cannot be written" not in world.gateway.log
