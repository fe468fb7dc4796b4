"""Every wire is a row of its family, and a name asked for as another family's is none."""

import pytest

from app.dialects import dialect, dialect_of
from app.dialects.base import CompletionDialect, Dialect, ModelListDialect, Row
from app.dialects.media.audio import SpeechDialect, TranscriptionDialect
from app.dialects.media.base import EmbeddingDialect

ROWS: dict[str, type[Row]] = {
    "chat": Dialect,
    "responses": Dialect,
    "messages": Dialect,
    "gemini": Dialect,
    "converse": Dialect,
    "cohere": Dialect,
    "completions": CompletionDialect,
    "bedrock_invoke": CompletionDialect,
    "embeddings_openai": EmbeddingDialect,
    "embeddings_gemini": EmbeddingDialect,
    "embeddings_cohere": EmbeddingDialect,
    "embeddings_bedrock": EmbeddingDialect,
    "openai_speech": SpeechDialect,
    "elevenlabs_speech": SpeechDialect,
    "gemini_speech": SpeechDialect,
    "openai_transcription": TranscriptionDialect,
    "elevenlabs_transcription": TranscriptionDialect,
    "gemini_transcription": TranscriptionDialect,
    "models": ModelListDialect,
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_answers_to_its_name_in_its_own_family_alone(name: str) -> None:
    assert dialect_of(ROWS[name], name).name == name
    for family in {*ROWS.values()} - {ROWS[name]}:
        with pytest.raises(KeyError, match=name):
            dialect_of(family, name)


def test_what_a_wire_lacks_says_so() -> None:
    with pytest.raises(NotImplementedError, match="does not have this half"):
        dialect("chat").decode_count({})
