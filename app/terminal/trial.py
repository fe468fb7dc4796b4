"""``sluice test MODEL``: one prompt through a gateway in this process, with timing and cost.

It reads the configuration as the server does, needs no client key, and stores and logs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from app.config_loading import load
from app.wire.sse import SSEDecoder

_PROMPT: Final = "Say in two sentences what a sluice is."
_PATH: Final = "/v1/chat/completions"

Chunk = Mapping[str, Any]


@dataclass
class Trial:
    """The result: seconds to the first text and to the end, the last usage and the last error."""

    first: float | None = None
    total: float = 0.0
    usage: Chunk | None = None
    answered: str = ""
    error: str | None = None

    def add(self, chunk: Chunk, since: float) -> str:
        """Record a chunk and return its text."""
        if "error" in chunk:
            self.error = str(chunk["error"].get("message"))
        self.usage = chunk.get("usage") or self.usage
        extra = chunk.get("extra_fields") or {}
        self.answered = (
            f"{extra.get('provider')}/{extra.get('model_deployment')}" if extra.get("provider") else ""
        )
        text = "".join(_texts(chunk))
        if text and self.first is None:
            self.first = time.monotonic() - since
        return text

    def summary(self) -> str:
        """Return one line: target, time to first text, speed, tokens and cost."""
        usage = self.usage or {}
        tokens = int(usage.get("completion_tokens") or 0)
        seconds = self.total - (self.first or 0.0)
        cost = usage.get("cost")
        price = cost.get("total_cost") if isinstance(cost, Mapping) else cost
        figures = (
            self.answered,
            f"first text after {round((self.first or self.total) * 1000)} ms",
            f"{tokens / seconds:.1f} tokens/s" if tokens and seconds > 0 else "",
            f"{int(usage.get('prompt_tokens') or 0)}+{tokens} tokens" if usage else "usage unknown",
            f"${price:.6f}" if price is not None else "price unknown",
        )
        return ", ".join(filter(None, figures))


def run(args: argparse.Namespace) -> int:
    """Print the answer as it arrives, then the figures; return 1 if there is no answer."""
    from app import create_app
    from app.gateway.core import gateway_of
    from app.gateway.layers.log import mute

    mute()
    settings = load(os.environ, args.config)
    open_settings = replace(settings, keys=(), master_key=None, open=True, call_log="off", metrics=False)
    app = create_app(open_settings)
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt or _PROMPT
    try:
        trial = _ask(app.test_client(), args.model, prompt, quiet=args.json)
    finally:
        gateway_of(app).close()
    return _report(trial, as_json=args.json)


def _ask(client: Any, model: str, prompt: str, *, quiet: bool) -> Trial:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    trial, since = Trial(), time.monotonic()
    answer = client.post(_PATH, json=body, buffered=False)
    for chunk in _chunks(answer.response, answer.status_code):
        text = trial.add(chunk, since)
        if text and not quiet:
            print(text, end="", flush=True)
    trial.total = time.monotonic() - since
    return trial


def _report(trial: Trial, *, as_json: bool) -> int:
    if as_json:
        figures = {
            "answered_by": trial.answered or None,
            "first_text_ms": None if trial.first is None else round(trial.first * 1000),
            "total_ms": round(trial.total * 1000),
            "usage": trial.usage,
            "error": trial.error,
        }
        print(json.dumps(figures))
    else:
        if trial.first is not None:
            print()
        target = f"{trial.answered}: " if trial.answered else ""
        print(f"sluice: {target}{trial.error}" if trial.error else trial.summary(), file=sys.stderr)
    return 1 if trial.error else 0


def _chunks(pieces: Iterable[bytes], status: int) -> Iterator[Chunk]:
    """Yield the JSON objects of an event stream, or the object of an error."""
    if status != 200:
        yield json.loads(b"".join(pieces))
        return
    decoder = SSEDecoder()
    for frame in chain.from_iterable(map(decoder.feed, pieces)):
        if frame.data != b"[DONE]":
            yield json.loads(frame.data)


def _texts(chunk: Chunk) -> Iterator[str]:
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        yield from (str(delta[name]) for name in ("reasoning", "content") if delta.get(name))
