"""Checks of model lists and embeddings."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any, Final
from urllib.parse import quote

from app.conformance.client import expect, expect_error, expect_shape
from app.conformance.subject import UNKNOWN_MODEL, Subject

_PATH: Final = "/embeddings"
_CLOSE: Final = 1e-3  # largest difference between numbers of the same vector


def a_list_of_models(subject: Subject) -> None:
    """Each entry has an id."""
    models = subject.client.get("/models")
    expect_shape(models, {"object": "list", "data": list}, "list")
    for number, entry in enumerate(models["data"]):
        expect_shape(entry, {"id": str, "object": "model"}, f"data[{number}]")
    names = [entry["id"] for entry in models["data"]]
    expect(len(names) == len(set(names)), "a model is listed twice")


def one_model(subject: Subject) -> None:
    """A model of the list can be retrieved by its id."""
    name = subject.model
    expect_shape(
        subject.client.get(f"/models/{quote(name, safe='/')}"), {"id": name, "object": "model"}, "model"
    )


def an_unknown_model_of_the_list(subject: Subject) -> None:
    """An unknown model is not found."""
    expect_error(subject.client.send("GET", f"/models/{UNKNOWN_MODEL}"), 404)


def one_vector(subject: Subject) -> None:
    """A text has one vector of numbers."""
    embeddings = _embed(subject, "The sluice is open.")
    expect_shape(embeddings, {"object": "list", "data": list, "model": str, "usage": dict}, "answer")
    expect_shape(embeddings["usage"], {"prompt_tokens": int, "total_tokens": int}, "usage")
    vector = _vectors(embeddings, 1)[0]
    numeric = all(isinstance(x, int | float) and math.isfinite(x) for x in vector)
    expect(vector and numeric, "no vector of numbers")


def many_vectors_in_order(subject: Subject) -> None:
    """A list has a vector for each text, in order, and each is the vector of that text alone."""
    texts = ["one", "two", "three"]
    together = _vectors(_embed(subject, texts), 3)
    (alone,) = _vectors(_embed(subject, texts[1]), 1)
    expect(_is_close(together[1], alone), "data[1] is not the vector of the second text")


def vectors_in_base64(subject: Subject) -> None:
    """``base64`` holds the same vector as little-endian 32-bit floats."""
    plain = _vectors(_embed(subject, "one"), 1)[0]
    text = _embed(subject, "one", encoding_format="base64")["data"][0]["embedding"]
    expect(isinstance(text, str), "the embedding is no text")
    data = base64.b64decode(text, validate=True)
    expect(len(data) == 4 * len(plain), f"{len(data)} bytes for {len(plain)} numbers")
    expect(_is_close(list(struct.unpack(f"<{len(plain)}f", data)), plain), "the numbers are others")


def no_input(subject: Subject) -> None:
    """A request without input is refused."""
    expect_error(subject.client.send("POST", _PATH, {"model": subject.embedding_model}), 400, 422)


def _embed(subject: Subject, text: Any, **members: Any) -> Any:
    return subject.client.post(_PATH, {"model": subject.embedding_model, "input": text, **members})


def _vectors(embeddings: Any, count: int) -> list[Any]:
    data = embeddings["data"]
    expect(len(data) == count, f"{len(data)} vectors for {count} texts")
    for number, entry in enumerate(data):
        expect_shape(entry, {"object": "embedding", "index": number, "embedding": list}, f"data[{number}]")
    return [entry["embedding"] for entry in data]


def _is_close(one: list[float], other: list[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= _CLOSE for a, b in zip(one, other, strict=True))


MODELS: Final = (a_list_of_models, one_model, an_unknown_model_of_the_list)
EMBEDDINGS: Final = (one_vector, many_vectors_in_order, vectors_in_base64, no_input)
