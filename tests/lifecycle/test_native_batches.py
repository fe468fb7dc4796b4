"""Batches that a provider runs: which go there, what they come to, and what kills do to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lifecycle.batches import CHAT, ended, jsonl, line, ran, rows_of, started, texts_of, uploaded
from tests.lifecycle.house import Client, House, eventually, running_house
from tests.lifecycle.native import Provider
from tests.services import new_postgres
from tests.traffic.replay import Reply

MASTER = "sk-master-0123456789"
ENV = {"SLUICE_MASTER_KEY": MASTER}
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

    assert (batch["status"], batch["input_file_id"], batch["metadata"]) == ("completed", file_id, {"of": "mine"})
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}
    assert batch["error_file_id"] is None
    rows = rows_of(ann, batch["output_file_id"])
    assert [row["custom_id"] for row in rows] == ["line-2", "line-1", "line-0"]
    assert texts_of(rows) == ["natively"] * 3
    assert [row["id"] for row in ann.get("/v1/batches").json["data"]][0] == batch["id"]
    assert len(provider.paths("DELETE")) == 2

    row = row_of(running, batch["id"])
    assert (row["provider"], row["model"], row["tenant"], row["key"]) == ("openai", "gpt-4o", "red", "ann")
    assert row["usage"]["input_tokens"] == 3_000_000
    assert row["cost"] == pytest.approx(3 * (1.25 + 0.5))
