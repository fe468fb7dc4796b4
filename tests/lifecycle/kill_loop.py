"""kill -9 at random, under load; then look whether anything that was acknowledged is missing.

``python -m tests.lifecycle.kill_loop --minutes 5`` for the long form (``--database URL``; without it a SQLite
file of its own). The short form is a test. Gateways run two worker processes each; beside them run workers of
background responses. Whoever dies is replaced: by gunicorn's master, or by us.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import http.client  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from tests.behaviour.world import Answer  # noqa: E402
from tests.lifecycle.house import (  # noqa: E402
    Client,
    House,
    children_of,
    kill,
    running_house,
    running_worker,
    text_of,
    variables,
)
from tests.traffic.frames import sse  # noqa: E402

LOST = ("server_lost", "server_shutdown")
SETTLED_WITHIN = 40.0  # seconds after the last kill; three attempts may have to run out


@dataclass(slots=True)
class Promise:
    """What a client was told: the response's id, its kind, and what it saw of it."""

    id: str
    kind: str
    text: str
    whole: bool
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Loop:
    """A house under load and fire."""

    house: House
    stack: ExitStack
    folder: Path
    seed: int
    promises: list[Promise] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    conversation: str = ""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._firing = True

    def run(self, seconds: float) -> list[str]:
        """Load and kill for ``seconds``, and twice at least; return the faults found afterwards."""
        self.conversation = str(self._client().post("/v1/conversations").json["id"])
        clients = [gevent.spawn(self._load) for _ in range(6)]
        limit = time.monotonic() + seconds
        while time.monotonic() < limit or self.kills < 2:
            gevent.sleep(self._chance.uniform(0.3, 1.5))
            self._kill_one()
        self._firing = False
        gevent.joinall(clients, timeout=30)
        return [
            fault for promise in self.promises for fault in self._broken(promise)
        ] + self._conversation_faults()

    def _client(self) -> Client:
        return self.house.client(
            self._chance.choice(["ann", "ann-too"]), self._chance.randrange(len(self.house.gateways))
        )

    def _kill_one(self) -> None:
        number = self._chance.randrange(len(self.house.gateways) + len(self.house.workers))
        self.kills += 1
        if number >= len(self.house.gateways):
            number -= len(self.house.gateways)
            kill(self.house.workers[number].pid)
            self.house.workers[number].wait()
            self.house.workers[number] = self._new_worker()
            return
        pids = children_of(self.house.gateways[number].process)
        if pids:
            kill(self._chance.choice(pids))

    def _new_worker(self) -> "subprocess.Popen[bytes]":
        env = variables(self.house.upstream, self.house.database_url)
        return self.stack.enter_context(running_worker(env, self.folder / f"worker-{self.kills}"))

    def _load(self) -> None:
        while self._firing:
            kind = self._chance.choice(["sync", "sync-stream", "queued", "queued-stream", "conversation"])
            try:
                self._ask(kind)
            except (OSError, http.client.HTTPException) as error:
                self.refused[type(error).__name__] += 1

    def _ask(self, kind: str) -> None:
        text = f"{kind} {self._chance.randrange(10**9)} a b c d"
        body = {"model": "sandbox/echo", "input": f"take 0.6 seconds\nsay exactly: {text}"}
        body |= {"stream": kind.endswith("stream"), "background": kind.startswith("queued")}
        if kind == "conversation":
            body |= {"conversation": self.conversation, "input": f"say exactly: {text}"}
        connection = self._client().open("POST", "/v1/responses", body)
        answer = connection.getresponse()
        if answer.status != 200:
            self.refused[str(answer.status)] += 1
            answer.read()
        elif body["stream"]:
            self._watch(kind, text, answer)
        else:
            value = json.loads(answer.read())
            self.promises.append(Promise(value["id"], kind, text, whole=value["status"] == "completed"))

    def _watch(self, kind: str, text: str, answer: http.client.HTTPResponse) -> None:
        """Read a stream to its end or its break; a stored end that was shown is a promise."""
        seen = b""
        try:
            while piece := answer.read1(65536):
                seen += piece
        except (OSError, http.client.HTTPException) as error:
            self.refused[type(error).__name__] += 1
        events = [json.loads(frame.data) for frame in sse(seen[: seen.rfind(b"\n\n") + 2])]
        events = [event for event in events if "sequence_number" in event]
        if not events:
            return
        whole = events[-1]["type"] == "response.completed"
        self.promises.append(Promise(events[0]["response"]["id"], kind, text, whole=whole, events=events))

    def _broken(self, promise: Promise) -> list[str]:
        try:
            shown = self._settled(promise)
        except TimeoutError as error:
            return [f"{promise.kind} {promise.id}: {error}"]
        faults = []
        code = (shown["error"] or {}).get("code")
        if (
            promise.whole
            and promise.kind in ("sync", "sync-stream", "conversation")
            and shown["status"] != "completed"
        ):
            faults.append(f"was completed, is {shown['status']} ({code})")
        if shown["status"] == "failed" and code not in LOST:
            faults.append(f"failed with {code}")
        if shown["status"] not in ("completed", "failed", "cancelled"):
            faults.append(f"is {shown['status']}")
        if shown["status"] == "completed" and text_of(shown) != promise.text:
            faults.append(f"says {text_of(shown)!r}")
        if (
            promise.kind == "queued"
            and shown["status"] == "failed"
            and len(shown["extra_fields"]["attempts"]) < 3
        ):
            faults.append("failed although nothing was shown and tries were left")
        if promise.kind.startswith("queued"):
            faults += self._log_faults(promise, shown)
        return [f"{promise.kind} {promise.id}: {fault}" for fault in faults]

    def _settled(self, promise: Promise) -> dict[str, Any]:
        """Return the response once it has ended; a synchronous one is 404 until then."""
        limit = time.monotonic() + SETTLED_WITHIN
        last: Any = None
        while time.monotonic() < limit:
            answer = self._patient_get(f"/v1/responses/{promise.id}")
            last = answer.status
            if answer.status == 200:
                shown: dict[str, Any] = answer.json
                last = shown["status"]
                if last not in ("queued", "in_progress"):
                    return shown
            gevent.sleep(0.2)
        raise TimeoutError(f"still {last} after {SETTLED_WITHIN:g} s")

    def _patient_get(self, path: str) -> Answer:
        while True:
            try:
                return self._client().get(path)
            except (OSError, http.client.HTTPException):
                gevent.sleep(0.2)

    def _log_faults(self, promise: Promise, shown: dict[str, Any]) -> list[str]:
        log = self._patient_get(f"/v1/responses/{promise.id}?stream=true").events
        faults = []
        if [event["sequence_number"] for event in log] != list(range(len(log))):
            faults.append("its log has a gap")
        ends = [event for event in log if event["type"] in ("response.completed", "response.failed")]
        if len(ends) != 1 or ends[0] is not log[-1] or ends[0]["response"]["status"] != shown["status"]:
            faults.append(f"its log ends {[event['type'] for event in ends]}, it is {shown['status']}")
        if promise.events != log[: len(promise.events)]:
            faults.append("a reader saw something else than the log")
        return faults

    def _conversation_faults(self) -> list[str]:
        said: list[str] = []
        after = ""
        while True:
            page = self._patient_get(
                f"/v1/conversations/{self.conversation}/items?order=asc&limit=100{after}"
            ).json
            said += [item["content"][0]["text"] for item in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        pairs = dict(zip(said[::2], said[1::2], strict=True))
        faults = [
            f"the conversation pairs {q!r} with {a!r}" for q, a in pairs.items() if q != f"say exactly: {a}"
        ]
        held = set(pairs.values())
        texts = [p.text for p in self.promises if p.kind == "conversation" and p.whole and p.text not in held]
        return faults + [f"the conversation lost {text!r}" for text in texts]


def fire(seconds: float, database_url: str | None, seed: int) -> tuple[Loop, list[str]]:
    """Run the loop; return it with the faults it found."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-kill-")))
        gateways = 1 if database_url is None else 2
        house = stack.enter_context(
            running_house(
                database_url, gateways=gateways, processes=2, workers=1, env={"SLUICE_BACKGROUND": "embedded"}
            )
        )
        loop = Loop(house, stack, folder, seed)
        faults = loop.run(seconds)
        return loop, faults + [line for gateway in house.gateways for line in _own_faults(gateway.log)]


def _own_faults(log: str) -> list[str]:
    """Return the lines of a gateway's log that tell of defects of ours."""
    return [line[:2000] for line in log.splitlines() if '"level":"error"' in line or "Traceback" in line]


def main() -> int:
    """Run the long form and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--database", help="an empty database; without it a SQLite file")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    loop, faults = fire(arguments.minutes * 60, arguments.database, arguments.seed)
    kinds = Counter(promise.kind for promise in loop.promises)
    print(
        f"seed {arguments.seed}: {loop.kills} kills, {dict(kinds)} acknowledged, refused {dict(loop.refused)}"
    )
    print("\n".join(faults) or "nothing was lost")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
