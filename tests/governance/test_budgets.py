"""Budgets at the HTTP edge of one process: what is refused, what is charged, and what the ledger says of it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gevent
import pytest

from tests.behaviour.world import CHAT_DONE, ROLE, Answer, chat_body, chat_stream, chat_text, received
from tests.governance.city import CHAT, PROMPT, City, good, running_city
from tests.lifecycle.house import Client, eventually
from tests.running import ROOT, environment
from tests.traffic.replay import Reply, Request
from tests.websocket_client import connect

PRICES = """
[providers.groq.prices]
x = { input = 100000, output = 100000 }
y = { input = 100000, output = 100000 }
dear = { input = 1000000, output = 1000000 }
"""
"""A token of x or y costs ten cents, one of dear a dollar; ``good`` answers with three tokens in, two out."""

DAY = 'per = "day"'


def owners(**budgets: str) -> str:
    """Return the tables of client keys, each of the tenant red, with budgets in TOML."""
    return "".join(
        f'[keys.{name}]\nkey = "sk-{name}"\ntenant = "red"\nbudgets = [{text}]\n'
        for name, text in budgets.items()
    )


CONFIG = (
    "[server]\n"
    + f'budgets = [{{ usd = 1.2, {DAY}, models = "groq/gate*" }}]\n'
    + owners(
        free="",
        two=f"{{ usd = 1.2, {DAY} }}",
        stream=f"{{ usd = 9, {DAY} }}",
        left=f"{{ usd = 9, {DAY} }}",
        failed=f"{{ usd = 9, {DAY} }}",
        next=f"{{ usd = 4, {DAY} }}",
        allows=f"{{ usd = 1, {DAY} }}",
        denies=f'{{ usd = 1, {DAY}, unpriced = "deny" }}',
        alias=f'{{ usd = 0.5, {DAY}, models = "fast" }}',
        poor='{ usd = 0.000000001, per = "total" }',
        asks=f'{{ usd = 50, per = "month" }}, {{ usd = 5, {DAY}, models = "groq/dear*" }}, {{ usd = 7, per = "total" }}',
        queue=f"{{ usd = 5, {DAY} }}",
        counts=f"{{ usd = 100, {DAY} }}",
    )
    + f"""
[keys.blue]
key = "sk-blue"
tenant = "blue"
[tenants.blue]
budgets = [{{ usd = 0.5, per = "week" }}]
[providers.openai]
base_url = "{{upstream}}/openai"
api_key = "k"
[providers.openai.prices]
x = {{ input = 1000000, output = 1000000 }}
[providers.groq]
limits = [{{ requests = 1, per = "hour", models = "groq/tight" }}]
[providers.gone]
dialect = "chat"
base_url = "http://127.0.0.1:9/v1"
[providers.gone.prices]
x = {{ input = 100000, output = 100000 }}
[models."fast"]
target = "groq/x"
{PRICES}
gate = {{ input = 100000, output = 100000 }}
"""
)


@pytest.fixture(scope="module")
def running() -> Iterator[City]:
    with running_city(CONFIG, env={"SLUICE_MASTER_KEY": "sk-master"}) as city:
        yield city
        assert check(city) == (0, [])


def check(city: City) -> tuple[int, list[str]]:
    """Return what ``sluice ledger check`` says of a city's database: its exit code, and the faults."""
    gateway = city.gateways[0]
    ran = subprocess.run(
        [sys.executable, "-m", "app.cli", "ledger", "check", "--json"],
        env=environment({}, gateway.folder, gateway.port),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)["faults"]


def admin(city: City, path: str) -> Any:
    return city.client("master").get(f"/admin{path}").json


def rows(city: City, key: str, count: int = 1) -> list[dict[str, Any]]:
    """Return the ledger's rows of a key once there are so many, the oldest first."""
    found: list[dict[str, Any]] = eventually(
        lambda: len(got := admin(city, f"/ledger?key={key}&limit=100")["data"]) >= count and [got]
    )[0]
    return found[::-1]


def budgets(city: City, key: str) -> list[dict[str, Any]]:
    """Return how a key's budgets stand once nothing is reserved of them."""

    def settled() -> Any:
        found = city.client(key).get("/v1/key").json["budgets"]
        return None if any(row["reserved"] for row in found) else found

    found: list[dict[str, Any]] = eventually(settled)
    return found


def spent(city: City, key: str) -> float:
    """Return what a key spent of its first budget."""
    return float(budgets(city, key)[0]["spent"])


def statuses(*answers: Answer) -> list[int]:
    return [answer.status for answer in answers]


def test_a_budget_refuses_what_it_has_not_enough_left_for(city: City) -> None:
    answers = [city.ask("two", max_tokens=2) for _ in range(4)]
    assert statuses(*answers) == [200, 200, 402, 402]
    error = answers[-1].error
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    assert error["message"].startswith(
        "The budget of this key is exceeded: $1.20 per day, of which $1.00 are spent; "
        "this request may cost up to $0.30. It starts anew at "
    )
    assert error["message"].endswith("T00:00:00Z.")
    assert city.served == 2


def test_the_ledger_says_what_each_attempt_cost(city: City) -> None:
    answer = city.ask("counts", max_tokens=2)
    (row,) = rows(city, "counts")
    cost = {"input_tokens_cost": 0.3, "output_tokens_cost": 0.2, "request_cost": 0.0, "total_cost": 0.5}
    assert row == {
        "id": row["id"],
        "object": "ledger.entry",
        "attempt_id": row["attempt_id"],
        "call_id": answer.headers["x-request-id"],
        "created_at": row["created_at"],
        "tenant": "red",
        "key": "counts",
        "key_id": None,
        "provider": "groq",
        "model": "x",
        "provider_key": row["provider_key"],
        "request_type": "chat_completion",
        "usage": {"input_tokens": 3, "output_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0},
        "cost": 0.5,
        "cost_details": row["cost_details"],
        "state": "settled",
        "corrects": None,
        "reason": None,
    }
    assert (
        cost.items()
        <= {
            name: round(v, 9) if isinstance(v, float) else v for name, v in row["cost_details"].items()
        }.items()
    )
    assert (row["id"][:4], row["attempt_id"][:4]) == ("led_", "att_")
    assert admin(city, f"/ledger/{row['id']}") == row
    assert admin(city, f"/ledger?call_id={row['call_id']}&state=settled&model=x")["data"] == [row]
    assert admin(city, "/ledger?state=odd")["error"]["param"] == "state"


def test_an_attempt_without_a_budget_has_its_row_too(city: City) -> None:
    city.ask("free")
    assert [(row["cost"], row["state"]) for row in rows(city, "free")] == [(0.5, "settled")]


def test_a_stream_is_settled_on_what_the_provider_counted(city: City) -> None:
    city.upstream.script = lambda request: Reply.sse(chat_stream("good"))
    assert city.ask("stream", stream=True, max_tokens=2).text == "good"
    assert spent(city, "stream") == 0.5
    assert [(row["request_type"], row["state"]) for row in rows(city, "stream")] == [
        ("chat_completion_stream", "settled")
    ]


def test_who_leaves_a_stream_pays_an_estimate_of_what_was_sent(city: City) -> None:
    body = ROLE + chat_text("w" * 24)
    city.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, hang=len(body))
    connection = city.client("left").open("POST", CHAT, {**PROMPT, "stream": True, "max_tokens": 20})
    assert connection.sock is not None
    received(connection.sock, b"wwww")
    connection.close()
    (row,) = rows(city, "left")
    assert (row["state"], row["usage"]["input_tokens"], row["usage"]["output_tokens"]) == ("estimated", 1, 6)
    assert row["cost"] == spent(city, "left") == 0.7


def test_who_leaves_pays_no_more_than_was_reserved(city: City) -> None:
    before = spent(city, "left")
    body = ROLE + chat_text("w" * 200)
    city.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, hang=len(body))
    connection = city.client("left").open("POST", CHAT, {**PROMPT, "stream": True, "max_tokens": 20})
    assert connection.sock is not None
    received(connection.sock, b"wwww")
    connection.close()
    assert rows(city, "left", 2)[-1]["cost"] == 2.1
    assert round(spent(city, "left") - before, 9) == 2.1


def test_who_leaves_before_an_answer_pays_the_estimate_of_his_input(city: City) -> None:
    before = spent(city, "left")
    city.upstream.script = lambda request: Reply.json(chat_body(), wait=3)
    connection = city.client("left").open("POST", CHAT, {**PROMPT, "max_tokens": 20})
    eventually(lambda: city.served == 1)
    connection.close()
    row = rows(city, "left", 3)[-1]
    assert (row["state"], row["cost"]) == ("estimated", 0.1)
    assert round(spent(city, "left") - before, 9) == 0.1


def test_who_leaves_before_anything_is_sent_pays_nothing(city: City) -> None:
    """The call waits for its reservation while another process writes."""
    before = spent(city, "left")
    known = {row["id"] for row in rows(city, "left", 0)}
    with closing(sqlite3.connect(city.gateways[0].folder / "sluice.db", isolation_level=None)) as store:
        store.execute("BEGIN IMMEDIATE")
        connection = city.client("left").open("POST", CHAT, {**PROMPT, "max_tokens": 20})
        gevent.sleep(0.3)
        connection.close()
        gevent.sleep(0.3)
        store.execute("COMMIT")
    (row,) = eventually(lambda: [row for row in rows(city, "left", 0) if row["id"] not in known])
    assert (row["state"], row["cost"], city.served) == ("settled", 0.0, 0)
    assert spent(city, "left") == before


def entries(city: City, answer: Answer, count: int = 1) -> list[dict[str, Any]]:
    """Return the ledger's rows of a call once there are so many."""
    path = f"/ledger?call_id={answer.headers['x-request-id']}"
    found: list[dict[str, Any]] = eventually(lambda: len(got := admin(city, path)["data"]) >= count and got)
    return found


@pytest.mark.parametrize("key", ["failed", "free"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("more", [{}, {"fallbacks": ["groq/y"]}])
def test_the_call_log_has_the_tokens_and_the_cost_of_the_ledger(
    city: City, key: str, stream: bool, more: dict[str, Any]
) -> None:
    """The first answer breaks off, after content where it streams."""
    lead = ROLE + chat_text("w" * 24)
    broken = Reply.sse(lead + CHAT_DONE, cut=len(lead)) if stream else Reply.json(chat_body(), cut=20)
    whole = Reply.sse(chat_stream("good")) if stream else Reply.json(chat_body())
    city.upstream.script = lambda request: broken if request.json()["model"] == "x" else whole
    answer = city.ask(key, stream=stream, max_tokens=20, **more)
    charged = entries(city, answer, 2 if more and not stream else 1)
    path = f"/calls?request_id={answer.headers['x-request-id']}"
    (call,) = eventually(lambda: admin(city, path)["data"])
    assert call["cost"] == round(sum(row["cost"] for row in charged), 9) > 0
    for kind, count in call["usage"].items():
        assert count == sum(row["usage"][kind] for row in charged), kind
    assert len(call["attempts"]) == len(charged)


def test_usage_counts_calls_of_which_any_attempt_has_an_unknown_price(city: City) -> None:
    def answer(request: Request) -> Reply:
        return Reply.json(chat_body(), cut=20 if request.json()["model"] == "unknown" else None)

    city.upstream.script = answer
    for model in ("groq/unknown", "groq/unknown", "groq/x"):
        answered = city.ask("free", model=model, fallbacks=["groq/y"], metadata={"case": "unpriced"})
        assert answered.status == 200
    queued = city.client("free").create(
        model="groq/x", background=True, max_output_tokens=16, metadata={"case": "unpriced"}
    )
    assert city.client("free").ended(queued.json["id"])["status"] == "completed"

    def sums() -> list[tuple[int, int, bool]]:
        rows = admin(city, "/usage?group_by=metadata.case")["data"]
        found = [row for row in rows if row["metadata.case"] == "unpriced"]
        return [(row["calls"], row["unpriced"], row["cost"] > 0) for row in found]

    eventually(lambda: sums() == [(5, 2, True)])  # a queued response is a call, and its run another


def test_a_failed_attempt_that_the_provider_did_not_charge_costs_nothing(city: City) -> None:
    before = spent(city, "failed")
    city.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, 500)
    answer = city.ask("failed", max_tokens=2)
    assert answer.status == 500
    (row,) = entries(city, answer)
    assert (row["state"], row["cost"], set(row["usage"].values())) == ("settled", 0.0, {0})
    assert spent(city, "failed") == before


def test_a_stream_that_its_provider_cuts_is_estimated(city: City) -> None:
    body = ROLE + chat_text("w" * 24)
    city.upstream.script = lambda request: Reply.sse(body + CHAT_DONE, cut=len(body))
    (row,) = entries(city, city.ask("failed", stream=True, max_tokens=20))
    assert (row["state"], row["usage"]["output_tokens"], row["cost"]) == ("estimated", 6, 0.7)


def test_an_answer_that_cannot_be_read_may_have_cost_its_input(city: City) -> None:
    city.upstream.script = lambda request: Reply.json({"choices": "none"})
    answer = city.ask("failed", max_tokens=20)
    assert answer.status == 502
    (row,) = entries(city, answer)
    assert (row["state"], row["cost"]) == ("estimated", 0.1)


def test_a_provider_that_is_not_there_costs_nothing(city: City) -> None:
    answer = city.ask("failed", model="gone/x", max_tokens=20)
    assert answer.status == 502
    (row,) = entries(city, answer)
    assert (row["provider"], row["state"], row["cost"]) == ("gone", "settled", 0.0)


def test_each_attempt_of_a_call_is_settled(city: City) -> None:
    def script(request: Request) -> Reply:
        failing = request.json()["model"] == "y"
        return Reply.json({"error": {"message": "no"}}, 500) if failing else Reply.json(chat_body())

    city.upstream.script = script
    answer = city.ask("failed", model="groq/y", fallbacks=["groq/x"], max_tokens=2)
    assert answer.status == 200
    found = entries(city, answer, 2)
    assert sorted((row["model"], row["cost"]) for row in found) == [("x", 0.5), ("y", 0.0)]
    assert len({row["attempt_id"] for row in found}) == 2


def test_a_target_that_a_budget_refuses_is_passed_over(city: City) -> None:
    answer = city.ask("next", model="groq/dear", fallbacks=["groq/x"], max_tokens=20)
    assert (answer.status, answer.headers["x-sluice-model"]) == (200, "x")
    both = city.ask("next", model="groq/dear", fallbacks=["groq/x"], max_tokens=60)
    assert both.status == 402
    assert "may cost up to $61.00" in both.error["message"]  # the first's
    city.upstream.script = lambda request: Reply.json({"error": {"message": "no"}}, 500)
    failed = city.ask("next", model="groq/dear", fallbacks=["groq/x"], max_tokens=20)
    assert failed.status == 500  # not all were refused


def test_a_target_that_comes_free_again_is_told_before_a_budget(city: City) -> None:
    assert city.ask("free", model="groq/tight").status == 200
    answer = city.ask("next", model="groq/dear", fallbacks=["groq/tight"], max_tokens=60)
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")


def test_a_model_of_unknown_price_is_not_charged_or_not_let_in(city: City) -> None:
    assert city.ask("allows", model="groq/unknown").status == 200
    assert spent(city, "allows") == 0
    assert [row["cost"] for row in rows(city, "allows")] == [None]
    refused = city.ask("denies", model="groq/unknown")
    assert (refused.status, refused.error["code"]) == (402, "budget_exceeded")
    assert "The price of the model 'groq/unknown' is unknown" in refused.error["message"]
    assert city.served == 1


def test_a_tenants_and_the_gateways_budgets_hold_all_of_their_callers(city: City) -> None:
    assert statuses(*(city.ask("blue", max_tokens=2) for _ in range(2))) == [200, 402]
    assert "the tenant 'blue'" in city.ask("blue", max_tokens=2).error["message"]
    assert statuses(*(city.ask("free", model="groq/gate", max_tokens=2) for _ in range(3))) == [200, 200, 402]
    assert "the whole gateway" in city.ask("free", model="groq/gate").error["message"]
    assert city.ask("free", model="groq/x").status == 200


def test_a_budget_of_a_name_of_the_operators_counts_where_it_is_asked_for(city: City) -> None:
    asked = [
        city.ask("alias", model=name, max_tokens=2).status for name in ("groq/x", "fast", "groq/x", "fast")
    ]
    assert asked == [200, 200, 200, 402]


def test_without_max_tokens_a_whole_answer_is_reserved(city: City) -> None:
    assert "may cost up to $819.30" in city.ask("counts").error["message"]
    assert "may cost up to $400.10" in city.ask("counts", max_tokens=2000, n=2).error["message"]


def test_a_model_whose_maximum_is_known_reserves_no_more(city: City) -> None:
    city.upstream.script = lambda request: Reply.json({"data": [{"id": "y", "max_completion_tokens": 3_000}]})
    assert city.client("counts").get("/v1/models?provider=groq").status == 200
    city.upstream.script = good
    assert "may cost up to $300.10" in city.ask("counts", model="groq/y").error["message"]
    assert "may cost up to $819.30" in city.ask("counts", model="groq/x").error["message"]


def test_an_embedding_reserves_its_input_alone(city: City) -> None:
    answer = city.client("poor").send(
        "POST", "/v1/embeddings", {"model": "openai/x", "input": "twelve bytes"}
    )
    assert answer.status == 402
    assert "may cost up to $3.00" in answer.error["message"]


SURFACES: list[tuple[str, dict[str, Any], Any]] = [
    ("/v1/chat/completions", PROMPT, ("error", "code", "budget_exceeded")),
    ("/openai/v1/chat/completions", PROMPT, ("error", "code", "budget_exceeded")),
    ("/v1/responses", {"model": "groq/x", "input": "hi"}, ("error", "code", "budget_exceeded")),
    ("/anthropic/v1/messages", {**PROMPT, "max_tokens": 5}, ("error", "type", "billing_error")),
    ("/cohere/v2/chat", PROMPT, None),
    (
        "/genai/v1beta/models/groq/x:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        ("error", "status", "RESOURCE_EXHAUSTED"),
    ),
    ("/bedrock/model/groq%2Fx/converse", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, None),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body", "told"), SURFACES, ids=[path for path, *_ in SURFACES])
def test_every_surface_refuses_in_its_own_form(
    city: City, path: str, body: dict[str, Any], told: Any, stream: bool
) -> None:
    if stream and "stream" not in body and ("models/" in path or "/model/" in path):
        path = path.replace("generateContent", "streamGenerateContent").replace(
            "/converse", "/converse-stream"
        )
        members = body
    else:
        members = {**body, "stream": stream}
    answer = city.client("poor").send("POST", path, members)
    assert answer.status == 402, answer.text
    assert "The budget of this key is exceeded" in answer.body.decode()
    if told is not None:
        holder, member, value = told
        assert answer.json[holder][member] == value
    assert city.served == 0


def test_a_turn_over_a_websocket_is_refused_by_an_event_and_the_connection_stays(city: City) -> None:
    url = f"ws://127.0.0.1:{city.gateways[0].port}/v1/responses"
    turn = json.dumps({"type": "response.create", "model": "groq/x", "input": "hi"})
    with connect(url, additional_headers={"authorization": "Bearer sk-poor"}) as socket:
        for _ in range(2):
            socket.send(turn)
            value = json.loads(socket.recv(timeout=20))
            assert (value["type"], value["status"], value["error"]["code"]) == (
                "error",
                402,
                "budget_exceeded",
            )
    assert city.served == 0


def test_a_background_run_is_budgeted(city: City) -> None:
    client = city.client("queue")
    members = {"background": True, "model": "groq/x", "max_output_tokens": 20}
    response = client.ended(client.make("hi", **members)["id"])
    assert response["status"] == "completed"
    assert spent(city, "queue") == 0.5
    assert [row["request_type"] for row in rows(city, "queue")] == ["responses_stream"]
    refused = client.create("hi", **{**members, "max_output_tokens": 60})
    assert (refused.status, refused.error["code"], refused.error["type"]) == (
        402,
        "budget_exceeded",
        "insufficient_quota",
    )
    begun, over = threading.Event(), threading.Event()

    def slow(request: Request) -> Reply:
        begun.set()
        over.wait(20)
        return good(request)

    city.upstream.script = slow
    running = gevent.spawn(city.ask, "queue", max_tokens=40)
    assert begun.wait(10)
    asked = client.make("hi", **members)  # what another call holds may be free when its turn comes
    ended = client.ended(asked["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "budget_exceeded")
    over.set()
    assert running.get(timeout=20).status == 200
    city.upstream.forget()
    assert city.served == 0


def test_a_key_asks_how_its_budgets_stand(city: City) -> None:
    first = city.client("asks").get("/v1/key").json["budgets"]
    assert [{name: row[name] for name in row if name != "resets_at"} for row in first] == [
        {"usd": 50, "per": "month", "level": "key", "spent": 0.0, "reserved": 0.0, "remaining": 50.0},
        {
            "usd": 5,
            "per": "day",
            "models": "groq/dear*",
            "level": "key",
            "spent": 0.0,
            "reserved": 0.0,
            "remaining": 5.0,
        },
        {"usd": 7, "per": "total", "level": "key", "spent": 0.0, "reserved": 0.0, "remaining": 7.0},
        {
            **{"usd": 1.2, "per": "day", "models": "groq/gate*", "level": "gateway"},
            **{name: first[3][name] for name in ("spent", "reserved", "remaining")},
        },
    ]
    assert first[2]["resets_at"] is None
    assert first[1]["resets_at"] % 86_400 == 0
    city.ask("asks", max_tokens=2)
    assert [row["spent"] for row in budgets(city, "asks")[:3]] == [0.5, 0.0, 0.5]


def test_counting_tokens_costs_nothing_and_is_never_refused(city: City) -> None:
    answer = city.client("poor").send("POST", "/anthropic/v1/messages/count_tokens", PROMPT)
    assert answer.status == 200, answer.text
    assert admin(city, "/ledger?key=poor")["data"] == []


def test_a_key_that_is_renamed_keeps_what_it_spent(city: City) -> None:
    master = city.client("master")
    members = {"tenant": "red", "name": "before", "budgets": [{"usd": 1.2, "per": "total"}]}
    body = master.post("/admin/keys", members).json
    client = Client(city.gateways[0].port, body["key"])
    assert client.post(CHAT, {**PROMPT, "max_tokens": 2}).status == 200
    rows(city, "before")
    assert master.send("PATCH", f"/admin/keys/{body['id']}", {"name": "after"}).status == 200
    eventually(lambda: client.get("/v1/key").json["name"] == "after")
    assert client.get("/v1/key").json["budgets"][0]["spent"] == 0.5
    asked = [client.post(CHAT, {**PROMPT, "max_tokens": 2}).status for _ in range(3)]
    assert (asked[0], asked[-1]) == (200, 402)


def test_a_budget_that_is_added_begins_with_the_call_just_before_it(city: City) -> None:
    master = city.client("master")
    body = master.post("/admin/keys", {"tenant": "red", "name": "late"}).json
    client = Client(city.gateways[0].port, body["key"])
    assert client.post(CHAT, {**PROMPT, "max_tokens": 2}).status == 200
    budget = {"usd": 9, "per": "day"}
    assert master.send("PATCH", f"/admin/keys/{body['id']}", {"budgets": [budget]}).status == 200
    eventually(lambda: client.get("/v1/key").json["budgets"])
    assert client.get("/v1/key").json["budgets"][0]["spent"] == 0.5


def test_absurd_numbers_of_tokens_add_up_in_a_budget(city: City) -> None:
    """Each attempt counts as a little more than the largest budget; ten of them are more nano-dollars than 64 bits hold."""
    absurd = chat_body()
    absurd["usage"] = {"prompt_tokens": 2**53, "completion_tokens": 2**53, "total_tokens": 2**54}
    city.upstream.script = lambda request: Reply.json(absurd, wait=1)
    largest = {"usd": 1_000_000_000, "per": "day"}
    asked = {**PROMPT, "max_tokens": 2}
    master = city.client("master")
    made = [
        master.post("/admin/keys", {"tenant": "red", "name": f"absurd{number}", "budgets": budgets}).json
        for number, budgets in enumerate([[largest], []])
    ]
    clients = [Client(city.gateways[0].port, body["key"]) for body in made]
    calls = [gevent.spawn(client.post, CHAT, asked) for client in clients for _ in range(12)]
    assert [call.get().status for call in calls] == [200] * 24
    rows(city, "absurd1", 12)
    assert master.send("PATCH", f"/admin/keys/{made[1]['id']}", {"budgets": [largest]}).status == 200
    for client in clients:
        row = eventually(lambda client=client: client.get("/v1/key").json["budgets"])[0]
        assert row["spent"] == 4 * 10**9
        assert client.post(CHAT, asked).status == 402
