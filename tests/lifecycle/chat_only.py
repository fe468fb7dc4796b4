"""A model behind a provider that knows chat completions alone, and what is said to it."""

from __future__ import annotations

import json
from typing import Any

from tests.traffic.replay import Reply, Request

MODEL = "groq/llama"
SMALL = "groq/canopylabs/orpheus-v1-english"
"""A model with a context window of 4,000 tokens in the price catalogue."""

LONG = "Ada is a cat. " * 400
"""About 1,400 tokens."""


def user(text: str) -> dict[str, Any]:
    """Return a message of the user."""
    return {"role": "user", "content": text}


def chunk(**members: Any) -> str:
    """Return a frame of a stream."""
    base = {"id": "up", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": []}
    return f"data: {json.dumps(base | members)}\n\n"


class Model:
    """Writes a summary when it is asked for one, else an answer.

    ``summaries`` and ``prompts`` are the messages that it got. Where it ``fails``, it refuses to write summaries; ``broken``
    is the number of answers that fail."""

    def __init__(self) -> None:
        self.answer = "She is nine."
        self.answered = {"prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47}
        self.summaries: list[Any] = []
        self.prompts: list[Any] = []
        self.fails = False
        self.broken = 0
        self.finish = "stop"

    def __call__(self, request: Request) -> Reply:
        body = request.json()
        if "must be replaced by a summary" in json.dumps(body["messages"][-1]):
            self.summaries.append(body["messages"])
            if self.fails:
                return Reply.json({"error": {"message": "The model is ill."}}, 400)
            usage = {"prompt_tokens": 1500, "completion_tokens": 60, "total_tokens": 1560}
            return self.reply(body, "THE SUMMARY: Ada is a cat.", usage, self.finish)
        self.prompts.append(body["messages"])
        if self.broken:
            self.broken -= 1
            return Reply.json({"error": {"message": "broken"}}, 500)
        return self.reply(body, self.answer, self.answered, "stop")

    def reply(self, body: Any, text: str, usage: Any, finish: str) -> Reply:
        """Return an answer, whole or as a stream."""
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            answer = {"id": "up", "object": "chat.completion", "created": 1, "model": "up"}
            return Reply.json(answer | {"choices": [choice], "usage": usage})
        frames = [chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])]
        pieces = [text[place : place + 5] for place in range(0, len(text), 5)]
        frames += [chunk(choices=[{"index": 0, "delta": {"content": piece}}]) for piece in pieces]
        frames += [chunk(choices=[{"index": 0, "delta": {}, "finish_reason": finish}])]
        return Reply.sse("".join([*frames, chunk(usage=usage), "data: [DONE]\n\n"]))
