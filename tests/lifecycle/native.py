"""A provider with OpenAI's batch API: what was uploaded, the batches that were made, and what becomes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.behaviour.world import chat_body
from tests.traffic.replay import Reply, Request

_BOUNDARY = re.compile(r"boundary=([^;]+)")
USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 100_000, "total_tokens": 1_100_000}


def no_batch() -> Reply:
    """Answer for what there is not."""
    return Reply.json({"error": {"message": "No such thing", "type": "invalid_request_error"}}, 404)


@dataclass
class Provider:
    """The provider. ``holds``: its batches do not end by themselves. ``refusal`` answers whoever makes one,
    ``fault`` is why a new batch fails. ``answer`` makes the result of a line; files come
    as far as ``stops`` bytes, and then no further. ``troubles``: so many looks at a
    batch are answered by an error. ``made`` takes the body that asks for a batch."""

    holds: bool = False
    refusal: Reply | None = None
    fault: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    prompted: int = 0
    stops: int | None = None
    troubles: int = 0
    answer: Callable[[Mapping[str, Any]], tuple[int, Any]] = lambda line: (
        200,
        chat_body("natively", usage=USAGE),
    )

    def __post_init__(self) -> None:
        self.answer_create: Callable[[dict[str, Any]], Reply] = self._make

    def __call__(self, request: Request) -> Reply:
        """Answer a request."""
        place = re.search(r"/(files|batches)(/.*)?$", request.path)
        if place is None:
            self.prompted += 1
            return Reply.json(chat_body("here"))
        self.asked.append(request)
        identity, _, below = (place[2] or "").removeprefix("/").partition("/")
        if place[1] == "files":
            return self._file(request, identity, below)
        return self._batch(request, identity, below)

    def paths(self, method: str) -> list[str]:
        """Return the paths that were asked for by a method."""
        return [one.path for one in self.asked if one.method == method]

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of the only batch that was made."""
        (made,) = self.batches.values()
        return [json.loads(row) for row in self.files[made["input_file_id"]].splitlines()]

    def _file(self, request: Request, identity: str, below: str) -> Reply:
        if request.method == "POST":
            identity = f"file-up{len(self.files)}"
            self.files[identity] = _content(request)
            return Reply.json({"id": identity, "object": "file", "bytes": 1, "purpose": "batch"})
        if identity not in self.files:
            return no_batch()
        if below == "content":
            kind = {"content-type": "application/octet-stream"}
            return Reply(200, self.files[identity], kind, hang=self.stops)
        return Reply.json({"id": identity, "deleted": True})

    def _batch(self, request: Request, identity: str, below: str) -> Reply:
        if request.method == "GET" and not identity:
            return Reply.json({"object": "list", "data": list(self.batches.values()), "has_more": False})
        if request.method == "POST" and not identity:
            return self.refusal or self.answer_create(request.json())
        if identity not in self.batches:
            return no_batch()
        if self.troubles:
            self.troubles -= 1
            return Reply.json({"error": {"message": "Not now", "type": "server_error"}}, 500)
        made = self.batches[identity]
        if below == "cancel":
            made["status"] = "cancelling"
        elif made["status"] == "cancelling":
            self.end(made, "cancelled")
        elif not self.holds and made["status"] != "failed":
            self.end(made)
        return Reply.json(made)

    def _make(self, body: dict[str, Any]) -> Reply:
        identity = f"batch_up{len(self.batches)}"
        made = {**body, "id": identity, "object": "batch", "status": "validating", "created_at": 1}
        if self.fault is not None:
            faults = [{"code": "invalid_model", "message": self.fault, "line": None, "param": None}]
            made |= {"status": "failed", "errors": {"object": "list", "data": faults}}
        self.batches[identity] = made
        return Reply.json(made)

    def end(self, made: dict[str, Any], status: str = "completed") -> None:
        """Answer the lines of a batch, and end it."""
        if made["status"] in ("completed", "cancelled", "failed"):
            return
        results: dict[bool, list[bytes]] = {True: [], False: []}
        for row in reversed(self.files[made["input_file_id"]].splitlines()):
            line = json.loads(row)
            code, body = self.answer(line)
            told = {"status_code": code, "request_id": "r", "body": body}
            result = {"id": "batch_req_up", "custom_id": line["custom_id"], "response": told, "error": None}
            results[code == 200].append(json.dumps(result).encode() + b"\n")
        for good, name in ((True, "output_file_id"), (False, "error_file_id")):
            if results[good]:
                made[name] = f"file-{name}-{made['id']}"
                self.files[made[name]] = b"".join(results[good])
        counts = {"total": len(results[True]) + len(results[False])}
        made["request_counts"] = counts | {"completed": len(results[True]), "failed": len(results[False])}
        made["status"] = status


def _content(request: Request) -> bytes:
    boundary = _BOUNDARY.search(request.headers["content-type"])
    assert boundary is not None
    part = request.body.split(b"--" + boundary[1].encode())[2]
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
