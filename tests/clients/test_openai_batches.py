"""openai-python uploads a file, runs a batch of it here and reads its results."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.behaviour.world import World
from tests.clients.conftest import KEY

ENDED = ("completed", "failed", "expired", "cancelled")
SECONDS = 30.0


@pytest.fixture(scope="module")
def client(world: World) -> OpenAI:
    """The SDK as users make it."""
    return OpenAI(base_url=f"{world.gateway.url}/v1", api_key=KEY, timeout=20, max_retries=0)


def jsonl(*bodies: dict[str, Any], url: str = "/v1/chat/completions") -> io.BytesIO:
    """Return the file of a batch, with a name as the SDK reads it."""
    lines = [
        json.dumps({"custom_id": f"line-{number}", "method": "POST", "url": url, "body": body})
        for number, body in enumerate(bodies)
    ]
    file = io.BytesIO("\n".join(lines).encode())
    file.name = "lines.jsonl"
    return file


def asks(text: str, model: str = "sandbox/echo") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": f"say exactly: {text}"}]}


def ended(client: OpenAI, batch_id: str) -> Any:
    """Ask for a batch until it has ended."""
    limit = time.monotonic() + SECONDS
    while (batch := client.batches.retrieve(batch_id)).status not in ENDED:
        assert time.monotonic() < limit, batch
        time.sleep(0.1)
    return batch


def rows(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_a_file_is_uploaded_listed_read_and_deleted(client: OpenAI) -> None:
    sent = jsonl(asks("one"))
    made = client.files.create(file=sent, purpose="batch")
    assert (made.object, made.purpose, made.filename) == ("file", "batch", "lines.jsonl")
    assert made.bytes == len(sent.getvalue())
    found = client.files.retrieve(made.id)
    assert (found.id, found.bytes, found.created_at) == (made.id, made.bytes, made.created_at)
    assert made.id in [file.id for file in client.files.list(purpose="batch", limit=1)]  # pages are followed
    assert client.files.content(made.id).read() == sent.getvalue()
    assert client.files.delete(made.id).deleted
    with pytest.raises(NotFoundError):
        client.files.retrieve(made.id)


def test_a_batch_runs_and_its_files_are_read(client: OpenAI) -> None:
    bodies = [asks("one"), asks("lost", "nobody/knows"), asks("two")]
    file = client.files.create(file=jsonl(*bodies), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"of": "ours"},
    )
    batch = ended(client, made.id)
    assert (batch.status, batch.metadata, batch.input_file_id) == ("completed", {"of": "ours"}, file.id)
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
    good = rows(client, batch.output_file_id)
    said = [row["response"]["body"]["choices"][0]["message"]["content"] for row in good]
    assert (said, [row["custom_id"] for row in good]) == (["one", "two"], ["line-0", "line-2"])
    (bad,) = rows(client, batch.error_file_id)
    assert bad["custom_id"] == "line-1"
    assert made.id in [one.id for one in client.batches.list(limit=1)]
    with pytest.raises(BadRequestError):
        client.batches.cancel(made.id)


def test_a_batch_of_responses_is_read_as_responses(client: OpenAI) -> None:
    lines = jsonl({"model": "sandbox/echo", "input": "say exactly: three"}, url="/v1/responses")
    file = client.files.create(file=lines, purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
    (row,) = rows(client, ended(client, batch.id).output_file_id)
    assert row["response"]["body"]["output"][-1]["content"][0]["text"] == "three"


def test_a_batch_is_cancelled(client: OpenAI) -> None:
    slow = [
        {"model": "sandbox/echo", "messages": [{"role": "user", "content": "take 5 seconds\nsay exactly: x"}]}
    ] * 40
    file = client.files.create(file=jsonl(*slow), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    assert ended(client, batch.id).status == "cancelled"


def test_what_is_not_kept_here_is_refused_in_words(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.files.create(file=jsonl(asks("one")), purpose="user_data")
    assert refused.value.code == "unsupported_operation"
    with pytest.raises(NotFoundError):
        client.batches.create(
            input_file_id="file-0", endpoint="/v1/chat/completions", completion_window="24h"
        )
