"""Files and batches over plain HTTP: uploaded, started, waited for, read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from tests.behaviour.world import Answer
from tests.lifecycle.house import Client

CHAT = "/v1/chat/completions"
OVER = ("completed", "failed", "expired", "cancelled")


def line(custom_id: str, body: Mapping[str, Any], url: str = CHAT, **members: Any) -> dict[str, Any]:
    """Return one request of a batch."""
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": dict(body), **members}


def chat_lines(prompts: Iterable[str], model: str = "sandbox/echo") -> bytes:
    """Return a file whose lines ask these prompts; their ids are their numbers."""
    rows = [
        line(f"line-{number}", {"model": model, "messages": [{"role": "user", "content": prompt}]})
        for number, prompt in enumerate(prompts)
    ]
    return jsonl(rows)


def jsonl(rows: Iterable[Any]) -> bytes:
    """Return rows as a file of lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def form(content: bytes | None, **fields: str) -> tuple[bytes, dict[str, str]]:
    """Return a multipart body and its header."""
    boundary = "a-boundary-of-the-tests"
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if content is not None:
        head = 'content-disposition: form-data; name="file"; filename="lines.jsonl"'
        parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"]
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


def upload(
    client: Client,
    content: bytes | None,
    *,
    surface: str = "/v1",
    headers: Mapping[str, str] | None = None,
    **fields: str,
) -> Answer:
    """Upload a file; its purpose is ``batch`` where nothing else is said."""
    body, sent = form(content, **{"purpose": "batch", **fields})
    return client.send("POST", f"{surface}/files", body, sent | dict(headers or {}))


def uploaded(client: Client, content: bytes, *, surface: str = "/v1") -> str:
    """Upload a file that must be taken; return its id."""
    answer = upload(client, content, surface=surface)
    assert answer.status == 200, answer.body
    return str(answer.json["id"])


def started(client: Client, file_id: str, *, surface: str = "/v1", **members: Any) -> dict[str, Any]:
    """Make a batch that must be taken; return it."""
    body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **members}
    answer = client.post(f"{surface}/batches", body)
    assert answer.status == 200, answer.body
    made: dict[str, Any] = answer.json
    return made


def ended(client: Client, batch_id: str, seconds: float = 30.0) -> dict[str, Any]:
    """Wait until a batch has ended; return it."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        answer = client.get(f"/v1/batches/{batch_id}")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        if found["status"] in OVER:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"{batch_id} did not end within {seconds} s: {found}")


def rows_of(client: Client, file_id: str | None) -> list[dict[str, Any]]:
    """Return the lines of a file, none where there is no file."""
    if file_id is None:
        return []
    answer = client.get(f"/v1/files/{file_id}/content")
    assert answer.status == 200, answer.body
    return [json.loads(row) for row in answer.body.splitlines()]


def texts_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the chat answers of an output file say."""
    return [row["response"]["body"]["choices"][0]["message"]["content"] for row in rows]


def ran(client: Client, content: bytes, **members: Any) -> dict[str, Any]:
    """Run a batch of these lines to its end; return it."""
    return ended(client, started(client, uploaded(client, content), **members)["id"])
