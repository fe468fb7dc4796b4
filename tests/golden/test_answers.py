"""What a surface answers is what was reviewed, and a stream says what the whole answer says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.golden.answers import ANSWERS, FOLDER, SURFACES, path, record


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_surface_answers_is_what_was_reviewed(name: str) -> None:
    stored = json.loads(path(name).read_text(encoding="utf-8"))
    now = json.loads(json.dumps(record(name)))
    for surface in SURFACES:
        assert now[surface] == stored[surface], f"{surface}: see python -m tests.golden --write"
    assert now == stored


WORDS = (
    "TEXTWORD",
    "MOREWORD",
    "THOUGHTWORD",
    "SIGNATURE",
    "ROMEWORD",
    "OSLOWORD",
    "CITEWORD",
    "REFUSALWORD",
)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_holds_the_words_of_the_whole_answer(name: str) -> None:
    def words_in(value: Any) -> set[str]:
        text = json.dumps(value)
        return {word for word in WORDS if word in text}

    for surface, both in record(name).items():
        assert words_in(both["stream"]) == words_in(both["body"]), surface


def test_no_answers_lie_about_without_a_trait() -> None:
    assert set(FOLDER.glob("*.json")) == set(map(path, ANSWERS))
