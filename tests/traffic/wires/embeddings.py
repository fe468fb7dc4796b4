"""Embeddings: OpenAI's list, Cohere's typed lists, Google's values, Titan's and Nova's vectors."""

import base64
import struct
from typing import Any

from tests.traffic.answers import Usage, Vectors, failure, total
from tests.traffic.load import Exchange


def openai(exchange: Exchange) -> Vectors:
    """Also Azure, Mistral, Ollama, OpenRouter, Perplexity. base64 text is float32, or int8 there."""
    if error := failure(exchange):
        return Vectors(error=error)
    body = exchange.json()
    coded = (exchange.request["body"] or {}).get("encoding_format")
    default = "base64_int8" if exchange.provider == "perplexity" else "base64"
    vectors = [numbers(entry["embedding"], coded or default) for entry in body["data"]]
    raw = body["usage"]
    cost = raw.get("cost")
    used = Usage(
        input=raw["prompt_tokens"],
        total=raw["total_tokens"],
        cost=cost.get("total_cost") if isinstance(cost, dict) else cost,
        raw=raw,
    )
    return vectors_of(vectors, used, body["model"])


def numbers(vector: str | list[float], coded: str) -> list[float]:
    if isinstance(vector, list):
        return vector
    data = base64.b64decode(vector)
    if coded == "base64_int8":
        return [float(value) for value in struct.unpack(f"{len(data)}b", data)]
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def cohere(exchange: Exchange) -> Vectors:
    """``embeddings.float``; on Bedrock an older form is a bare list, and usage is in a header."""
    if error := failure(exchange):
        return Vectors(error=error)
    body = exchange.json()
    units = body.get("meta", {}).get("billed_units", {})
    by_type: Any = body["embeddings"]
    vectors = by_type["float"] if isinstance(by_type, dict) else by_type
    return vectors_of(vectors, counted(units.get("input_tokens"), exchange), exchange.model)


def google(exchange: Exchange) -> Vectors:
    """One ``embedding`` or a list; Vertex ``predict`` counts tokens per instance."""
    if error := failure(exchange):
        return Vectors(error=error)
    body = exchange.json()
    if "predictions" in body:
        entries = [entry["embeddings"] for entry in body["predictions"]]
        tokens = total(*(entry["statistics"]["token_count"] for entry in entries))
    else:
        entries = body.get("embeddings") or [body["embedding"]]
        tokens = body.get("usageMetadata", {}).get("promptTokenCount")
    return vectors_of([entry["values"] for entry in entries], counted(tokens, exchange), exchange.model)


def invoke(exchange: Exchange) -> Vectors:
    """Titan: one ``embedding`` a call. Nova: a list of them, usage in a header."""
    if error := failure(exchange):
        return Vectors(error=error)
    body = exchange.json()
    vectors = [e["embedding"] for e in body["embeddings"]] if "embeddings" in body else [body["embedding"]]
    return vectors_of(vectors, counted(body.get("inputTextTokenCount"), exchange), exchange.model)


def counted(tokens: int | None, exchange: Exchange) -> Usage | None:
    header = exchange.response["headers"].get("x-amzn-bedrock-input-token-count")
    if tokens is None and header is not None:
        tokens = int(header)
    return None if tokens is None else Usage(input=tokens, total=tokens)


def vectors_of(vectors: list[list[float]], used: Usage | None, model: str | None) -> Vectors:
    sizes = {len(vector) for vector in vectors}
    if len(sizes) != 1:
        raise ValueError(f"vectors of {len(sizes)} sizes")
    return Vectors(None, len(vectors), sizes.pop(), [v[:3] for v in vectors], model, used)
