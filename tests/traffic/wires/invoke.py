"""Bedrock InvokeModel with a plain prompt: six model families, each with members of its own.

A stream is an AWS event stream whose payload holds the family's JSON, base64 coded.
"""

import base64
import json

from tests.traffic.answers import Answer, Json, Usage, failure, total
from tests.traffic.frames import eventstream
from tests.traffic.load import Exchange

TEXTS = ("text", "completion", "generation", "outputText")
STOPS = ("stop_reason", "finish_reason", "completionReason")
LISTS = ("outputs", "generations", "results", "choices")


def read(exchange: Exchange) -> Answer:
    if error := failure(exchange):
        return Answer(error=error)
    answer = Answer(stream=exchange.streamed)
    for body in chunks(exchange.content()) if exchange.streamed else [exchange.json()]:
        answer.usage = usage(body, exchange.response["headers"]) or answer.usage
        for position, piece in enumerate(pieces(body)):
            into = answer.choice(int(piece.get("index", position)))
            into.text += next((piece[key] for key in TEXTS if key in piece), "")
            stop = next((piece[key] for key in STOPS if piece.get(key)), None)
            into.finish_raw = stop or into.finish_raw
    return answer


def chunks(body: bytes) -> list[Json]:
    messages = eventstream(body)
    return [json.loads(base64.b64decode(json.loads(m.payload)["bytes"])) for m in messages]


def pieces(body: Json) -> list[Json]:
    """AI21 wraps each completion once more; most others name a list; Llama and Claude have none."""
    if "completions" in body:
        return [
            {"text": c["data"]["text"], "finish_reason": c["finishReason"]["reason"]}
            for c in body["completions"]
        ]
    return next((body[key] for key in LISTS if key in body), [body])


def usage(body: Json, headers: dict[str, str]) -> Usage | None:
    """The last streamed chunk's ``invocationMetrics``, else the headers, else the family's own counts."""
    if metrics := body.get("amazon-bedrock-invocationMetrics"):
        return counted(metrics["inputTokenCount"], metrics["outputTokenCount"])
    if "x-amzn-bedrock-input-token-count" in headers:
        return counted(*(int(headers[f"x-amzn-bedrock-{way}-token-count"]) for way in ("input", "output")))
    if "usage" in body:
        return counted(body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"])
    if body.get("prompt_token_count") is not None:
        return counted(body["prompt_token_count"], body["generation_token_count"])
    if "inputTextTokenCount" in body:
        each = [result["tokenCount"] for result in body.get("results", [])]
        written = sum(each) if each else int(body["totalOutputTextTokenCount"] or 0)
        return counted(int(body["inputTextTokenCount"]), written)
    return None


def counted(before: int, after: int) -> Usage:
    return Usage(before, after, total(before, after))
