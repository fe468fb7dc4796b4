"""Batches that a provider runs: which go there, what they come to, and what kills do to them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from sqlalchemy import create_engine, text

from app.state.database import parse_url
from tests.behaviour.world import chat_body
from tests.lifecycle.batches import CHAT, ended, jsonl, line, ran, rows_of, started, texts_of, uploaded
from tests.lifecycle.house import (
    Client,
    House,
    children_of,
    eventually,
    kill,
    running_house,
    running_worker,
    variables,
)
from tests.lifecycle.native import USAGE, Provider
from tests.services import new_postgres
from tests.traffic.replay import Reply, Upstream

MASTER = "sk-master-0123456789"
NATIVE = {"SLUICE_NATIVE_BATCHES": "openai,groq"}
ENV = {"SLUICE_MASTER_KEY": MASTER, **NATIVE}
CONFIG = """
[models.fast]
target = "openai/gpt-4o"
[models.two]
targets = [{target = "openai/gpt-4o"}, {target = "groq/x"}]
"""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def running(request: pytest.FixtureRequest) -> Iterator[House]:
    if request.param == "sqlite":
        with running_house(env=ENV, config=CONFIG) as house:
            yield house
        return
    with new_postgres() as url, running_house(url, env=ENV, config=CONFIG) as house:
        yield house


@pytest.fixture
def provider(running: House) -> Provider:
    made = Provider()
    running.upstream.forget()
    running.upstream.script = made
    return made


@pytest.fixture
def ann(running: House, provider: Provider) -> Client:
    return running.client("ann")


def asks(text: str, model: str = "openai/gpt-4o", **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **members}


def content(*models: str) -> bytes:
    return jsonl(line(f"line-{at}", asks(f"ask {at}", model)) for at, model in enumerate(models))


def row_of(house: House, batch_id: str) -> dict[str, Any]:
    """Return the row of the call log that a whole batch has."""
    admin = Client(house.gateways[0].port, MASTER)

    def look() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = admin.get("/admin/calls?limit=100").json["data"]
        return [row for row in rows if row["metadata"].get("batch") == batch_id]

    (row,) = eventually(look)
    return dict(row)


def test_a_batch_of_one_model_runs_at_its_provider(running: House, ann: Client, provider: Provider) -> None:
    file_id = uploaded(ann, content("openai/gpt-4o", "fast", "gpt-4o"))
    batch = ended(ann, started(ann, file_id, metadata={"of": "mine"})["id"])

    (made,) = provider.batches.values()
    assert made["endpoint"] == CHAT
    assert made["completion_window"] == "24h"
    assert made["metadata"] == {"sluice_batch": batch["id"]}
    assert [row["custom_id"] for row in provider.lines()] == ["line-0", "line-1", "line-2"]
    assert {row["body"]["model"] for row in provider.lines()} == {"gpt-4o"}
    assert provider.prompted == 0

    assert (batch["status"], batch["input_file_id"], batch["metadata"]) == (
        "completed",
        file_id,
        {"of": "mine"},
    )
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert batch["error_file_id"] is None
    rows = rows_of(ann, batch["output_file_id"])
    assert [row["custom_id"] for row in rows] == ["line-2", "line-1", "line-0"]
    assert texts_of(rows) == ["natively"] * 3
    assert ann.get("/v1/batches?limit=1").json["data"] == [
        {name: value for name, value in batch.items() if name != "extra_fields"}
    ]
    assert len(provider.paths("DELETE")) == 2

    row = row_of(running, batch["id"])
    assert (row["provider"], row["model"], row["tenant"], row["key"]) == ("openai", "gpt-4o", "red", "ann")
    assert row["usage"]["input_tokens"] == 3_000_000
    assert row["cost"] == pytest.approx(3 * (1.25 + 0.5))


def test_what_a_provider_does_not_count_is_estimated(running: House, ann: Client, provider: Provider) -> None:
    usages = {
        "line-0": USAGE,
        "line-1": None,
        "line-2": {"completion_tokens": 500},
        "line-3": {"prompt_tokens": 70},
    }
    provider.answer = lambda line: (200, chat_body("four", usage=usages[line["custom_id"]]))
    asked = jsonl(line(f"line-{at}", asks("four" * 1_000)) for at in range(4))
    row = row_of(running, ran(ann, asked)["id"])
    before, after = row["usage"]["input_tokens"], row["usage"]["output_tokens"]
    assert 1_000_000 + 2 * 1_000 + 70 <= before < 1_000_000 + 2 * 1_010 + 70
    assert 100_000 + 500 + 2 <= after < 100_000 + 500 + 20
    assert row["cost"] == pytest.approx(before * 1.25e-6 + after * 5e-6)


HERE: list[tuple[str, bytes, dict[str, Any]]] = [
    ("two models", content("openai/gpt-4o", "openai/gpt-4o-mini"), {}),
    ("two providers", content("openai/gpt-4o", "groq/x"), {}),
    ("a name that leads to two", content("two"), {}),
    ("a provider without batches", content("sandbox/echo"), {}),
    ("fallbacks", jsonl([line("a", asks("x", fallbacks=["sandbox/echo"]))]), {}),
    ("a line that cannot run", jsonl([line("a", asks("x")), line("b", asks("x"), url="/v1/embeddings")]), {}),
    ("a body that is none", jsonl([line("a", asks("x")), line("b", {"model": "openai/gpt-4o"})]), {}),
    ("an id twice", jsonl([line("a", asks("x")), line("a", asks("x"))]), {}),
    ("a member that is left out", jsonl([line("a", asks("x", model="groq/x", logit_bias={"1": 1}))]), {}),
    ("another window", content("openai/gpt-4o"), {"completion_window": "1h"}),
]


@pytest.mark.parametrize("content, members", [row[1:] for row in HERE], ids=[row[0] for row in HERE])
def test_what_needs_the_gateway_runs_here(
    ann: Client, provider: Provider, content: bytes, members: dict[str, Any]
) -> None:
    batch = ran(ann, content, **members)
    assert (batch["status"], provider.asked) == ("completed", [])
    assert batch["request_counts"]["total"] == len(content.splitlines())


def test_a_line_that_names_a_file_runs_here(ann: Client, provider: Provider) -> None:
    part = {"type": "file", "file": {"file_id": "file-" + "0" * 48}}
    batch = ran(ann, jsonl([line("a", asks("x") | {"messages": [{"role": "user", "content": [part]}]})]))
    assert provider.asked == []
    assert rows_of(ann, batch["error_file_id"])[0]["response"]["status_code"] == 404


def test_failed_lines_stand_in_the_error_file(ann: Client, provider: Provider) -> None:
    fault = {"error": {"message": "Bad", "type": "invalid_request_error", "param": None, "code": None}}
    provider.answer = lambda line: (400, fault) if line["custom_id"] == "line-1" else (200, chat_body())
    batch = ran(ann, content(*["openai/gpt-4o"] * 3))
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert [row["custom_id"] for row in rows_of(ann, batch["output_file_id"])] == ["line-2", "line-0"]
    (failed,) = rows_of(ann, batch["error_file_id"])
    assert (failed["custom_id"], failed["response"]) == (
        "line-1",
        {"status_code": 400, "request_id": "r", "body": fault},
    )


def test_a_batch_that_its_provider_refuses_runs_here(ann: Client, provider: Provider) -> None:
    told = {"error": {"message": "No batches for you", "type": "invalid_request_error"}}
    provider.refusal = Reply.json(told, 403)
    batch = ran(ann, content("openai/gpt-4o"))
    assert texts_of(rows_of(ann, batch["output_file_id"])) == ["here"]
    assert provider.paths("DELETE") == ["/openai/v1/files/file-up0"]


def test_a_batch_that_fails_before_a_line_ran_runs_here(ann: Client, provider: Provider) -> None:
    provider.fault = "The model has no batches."
    batch = ran(ann, content("openai/gpt-4o", "openai/gpt-4o"))
    assert texts_of(rows_of(ann, batch["output_file_id"])) == ["here", "here"]
    assert (batch["status"], batch["errors"]) == ("completed", None)
    assert len(provider.batches) == 1


def test_a_batch_whose_making_was_not_answered_is_found_again(ann: Client, provider: Provider) -> None:
    original = provider.answer_create

    def unheard(body: dict[str, Any]) -> Reply:
        original(body)
        provider.answer_create = original
        return Reply.json({"error": {"message": "Try again", "type": "server_error"}}, 500)

    provider.answer_create = unheard
    batch = ran(ann, content("openai/gpt-4o"))
    assert texts_of(rows_of(ann, batch["output_file_id"])) == ["natively"]
    assert len(provider.batches) == 1


def test_a_look_that_fails_is_made_again(ann: Client, provider: Provider) -> None:
    provider.holds = True
    batch = started(ann, uploaded(ann, content("openai/gpt-4o")))
    eventually(lambda: provider.batches)
    provider.troubles = 2
    eventually(lambda: ann.get(f"/v1/batches/{batch['id']}").status == 200 and not provider.troubles)
    provider.holds = False
    assert ended(ann, batch["id"])["status"] == "completed"


def test_a_batch_that_its_provider_lost_fails_with_its_words(ann: Client, provider: Provider) -> None:
    provider.holds = True
    batch = started(ann, uploaded(ann, content("openai/gpt-4o")))
    eventually(lambda: provider.batches)
    provider.batches.clear()
    over = ended(ann, batch["id"])
    assert (over["status"], over["output_file_id"]) == ("failed", None)
    (fault,) = over["errors"]["data"]
    assert (fault["message"], fault["line"]) == ("No such thing", None)


def test_a_batch_that_expired_keeps_what_was_done(ann: Client, provider: Provider) -> None:
    provider.holds = True
    batch = started(ann, uploaded(ann, content("openai/gpt-4o", "openai/gpt-4o")))
    (made,) = eventually(lambda: list(provider.batches.values()))
    made["errors"] = {"object": "list", "data": [{"code": "late", "message": "openai-key is late"}]}
    provider.end(made, "expired")
    over = ended(ann, batch["id"])
    assert (over["status"], over["request_counts"]["completed"]) == ("expired", 2)
    (fault,) = over["errors"]["data"]
    assert fault["code"] == "late"
    assert "openai-key" not in fault["message"]
    assert len(rows_of(ann, over["output_file_id"])) == 2


OTHERS = {
    "SLUICE_NATIVE_BATCHES": "groq, azure",
    "AZURE_OPENAI_API_KEY": "azure-key",
    "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:{port}/azure",
    "SLUICE_MASTER_KEY": MASTER,
}


def test_other_providers_speak_the_same_batches() -> None:
    with Upstream(Provider()) as upstream:
        env = {name: value.replace("{port}", str(upstream.port)) for name, value in OTHERS.items()}
        with running_house(env=env) as house:
            for model, place, url in (
                ("azure/my-batches", "/azure/openai/", "/chat/completions"),
                ("groq/x", "/groq/openai/v1/", CHAT),
            ):
                house.upstream.script = upstream.script = provider = Provider()
                batch = ran(house.client("ann"), content(model, model))
                assert texts_of(rows_of(house.client("ann"), batch["output_file_id"])) == ["natively"] * 2
                assert provider.paths("POST") == [f"{place}files", f"{place}batches"]
                assert {row["url"] for row in provider.lines()} == {url}
                assert {row["body"]["model"] for row in provider.lines()} == {model.partition("/")[2]}
                assert [one["endpoint"] for one in provider.batches.values()] == [url]
                row = row_of(house, batch["id"])
                assert (row["usage"]["output_tokens"], row["cost"]) == (200_000, None)


def test_a_cancelled_batch_is_cancelled_there(ann: Client, provider: Provider) -> None:
    provider.holds = True
    batch = started(ann, uploaded(ann, content("openai/gpt-4o")))
    eventually(lambda: provider.batches)
    assert ann.post(f"/v1/batches/{batch['id']}/cancel").json["status"] == "cancelling"
    over = ended(ann, batch["id"])
    assert over["status"] == "cancelled"
    assert texts_of(rows_of(ann, over["output_file_id"])) == ["natively"]
    assert provider.paths("POST").count("/openai/v1/batches/batch_up0/cancel") == 1


@pytest.mark.parametrize("change", ["disables", "deletes"])
def test_a_batch_at_its_provider_is_logged_under_its_key_whatever_becomes_of_it(
    running: House, provider: Provider, change: str
) -> None:
    provider.holds = True
    admin = Client(running.gateways[0].port, MASTER)
    made = admin.post("/admin/keys", {"tenant": "red", "name": change}).json
    key, place = Client(admin.port, made["key"]), f"/admin/keys/{made['id']}"
    started(key, uploaded(key, content("openai/gpt-4o")))
    eventually(lambda: provider.batches)
    if change == "disables":
        assert admin.send("PATCH", place, {"enabled": False}).status == 200
    else:
        assert admin.send("DELETE", place).status == 200
    provider.holds = False

    def look() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = admin.get("/admin/usage?group_by=key").json["data"]
        return [row for row in rows if row["cost"] and row["key_id"] == made["id"]]

    (sums,) = eventually(look)
    assert (sums["key"], sums["cost"]) == (change, pytest.approx(1.25 + 0.5))


def test_another_tenant_has_no_such_batch(running: House, ann: Client, provider: Provider) -> None:
    batch = ran(ann, content("openai/gpt-4o"))
    bob = running.client("bob")
    assert bob.get(f"/v1/batches/{batch['id']}").status == 404
    assert bob.post(f"/v1/batches/{batch['id']}/cancel").status == 404
    for name in ("input_file_id", "output_file_id"):
        assert bob.get(f"/v1/files/{batch[name]}/content").status == 404
    assert [row["id"] for row in bob.get("/v1/batches").json["data"]] == []


LIMITED = """
[keys.held]
key = "sk-held-0123456789"
limits = [{ requests = 100, per = "hour" }]
[keys.paid]
key = "sk-paid-0123456789"
budgets = [{ usd = 100, per = "day" }]
[keys.narrow]
key = "sk-narrow-0123456789"
models = ["openai/other"]
"""


@pytest.mark.parametrize("name", ["held", "paid", "narrow"])
def test_what_a_limit_holds_runs_here(name: str) -> None:
    with running_house(env=NATIVE, config=LIMITED) as house:
        house.upstream.script = provider = Provider()
        key = Client(house.gateways[0].port, f"sk-{name}-0123456789")
        batch = ran(key, content("openai/gpt-4o"))
        assert provider.asked == []
        assert batch["request_counts"]["failed"] == (1 if name == "narrow" else 0)


def test_a_setting_keeps_all_batches_here() -> None:
    with running_house() as house:  # whose setting is off
        house.upstream.script = provider = Provider()
        batch = ran(house.client("ann"), content("openai/gpt-4o"))
        assert (batch["request_counts"]["completed"], provider.asked) == (1, [])


def test_a_kill_while_a_batch_is_made_makes_no_second_one() -> None:
    with running_house(env=NATIVE) as house:
        house.upstream.script = provider = Provider()
        original = provider.answer_create

        def silent(body: dict[str, Any]) -> Reply:
            original(body)
            return Reply.json({}, wait=60.0)

        provider.answer_create = silent
        ann = house.client("ann")
        batch = started(ann, uploaded(ann, content("openai/gpt-4o", "openai/gpt-4o")))
        eventually(lambda: provider.batches)
        for pid in children_of(house.gateways[0].process):
            kill(pid)
        over = ended(ann, batch["id"], 60)
        assert texts_of(rows_of(ann, over["output_file_id"])) == ["natively"] * 2
        assert len(provider.batches) == 1
        assert provider.paths("GET").count("/openai/v1/batches") == 1


def test_a_kill_while_results_are_read_writes_none_twice() -> None:
    with running_house(env=NATIVE) as house:
        house.upstream.script = provider = Provider()
        provider.answer = lambda line: (200, chat_body("x" * 100_000, usage=USAGE))
        provider.stops = 3_000_000
        ann = house.client("ann")
        batch = started(ann, uploaded(ann, content(*["openai/gpt-4o"] * 50)))
        eventually(lambda: line_of(house, batch["id"]) > 0)
        for pid in children_of(house.gateways[0].process):
            kill(pid)
        provider.stops = None
        over = ended(ann, batch["id"], 60)
        ids = [row["custom_id"] for row in rows_of(ann, over["output_file_id"])]
        assert ids == [f"line-{at}" for at in reversed(range(50))]
        assert over["request_counts"] == {"total": 50, "completed": 50, "failed": 0}


def test_a_worker_that_leaves_while_lines_go_out_hands_the_batch_over(tmp_path: Path) -> None:
    env = {"SLUICE_BACKGROUND": "off", "SLUICE_WORKER_GRACE": "1", **NATIVE}
    with running_house(workers=1, env=env) as house:
        house.upstream.script = provider = Provider()
        original = provider.answer_create

        def slow(body: dict[str, Any]) -> Reply:
            original(body)
            return Reply.json({}, wait=60.0)

        provider.answer_create = slow
        ann = house.client("ann")
        batch = started(ann, uploaded(ann, content("openai/gpt-4o")))
        eventually(lambda: provider.batches)
        house.workers[0].send_signal(signal.SIGTERM)
        assert house.workers[0].wait(15) == 0
        with running_worker(variables(house.upstream, house.database_url) | NATIVE, tmp_path / "second"):
            over = ended(ann, batch["id"])
        assert texts_of(rows_of(ann, over["output_file_id"])) == ["natively"]
        assert len(provider.batches) == 1


def line_of(house: House, batch_id: str) -> int:
    """Return how many results of a batch are written."""
    engine = create_engine(parse_url(house.database_url))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT line FROM batch WHERE id = :id"), {"id": batch_id}).scalar()
    engine.dispose()
    return int(found or 0)


def test_openais_own_client_sees_a_batch_like_any(running: House, provider: Provider) -> None:
    url = f"http://127.0.0.1:{running.gateways[0].port}/v1"
    with OpenAI(base_url=url, api_key=running.client("ann").key, max_retries=0) as client:
        file = client.files.create(file=("lines.jsonl", content("openai/gpt-4o")), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"of": "mine"}
        )
        over = eventually(
            lambda: (found := client.batches.retrieve(batch.id)).status == "completed" and found
        )
        assert (over.request_counts.completed, over.metadata) == (1, {"of": "mine"})
        assert "natively" in client.files.content(over.output_file_id).text
        assert client.batches.list(limit=1).data[0].id == batch.id
        assert client.files.content(file.id).read() == content("openai/gpt-4o")
