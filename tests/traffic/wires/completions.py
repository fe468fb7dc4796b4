"""Text completions: ``choices[].text``, whole or in chunks."""

from collections.abc import Iterable

from tests.traffic.answers import Answer, Json, failure
from tests.traffic.frames import payloads
from tests.traffic.load import Exchange
from tests.traffic.wires.chat import usage


def read(exchange: Exchange) -> Answer:
    if error := failure(exchange):
        return Answer(error=error)
    chunks = payloads(exchange.content()) if exchange.streamed else [exchange.json()]
    return fold(chunks, exchange.streamed)


def fold(chunks: Iterable[Json], stream: bool) -> Answer:
    """Join chunks, or read one body as a single one."""
    answer = Answer(stream=stream)
    for chunk in chunks:
        answer.id = answer.id or chunk.get("id")
        answer.model = answer.model or chunk.get("model")
        answer.usage = usage(chunk.get("usage")) or answer.usage
        for choice in chunk.get("choices") or []:
            into = answer.choice(choice["index"])
            into.text += choice["text"]
            into.finish_raw = choice.get("finish_reason") or into.finish_raw
            into.logprobs += len((choice.get("logprobs") or {}).get("tokens") or [])
    return answer
