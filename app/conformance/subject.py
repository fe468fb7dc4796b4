"""Who is examined: a server, and which of its models to ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app.conformance.client import Client, Skipped

_NO_CHAT: Final = ("embed", "tts", "whisper", "speech", "transcri", "image", "dall", "rerank", "moderation")


@dataclass(slots=True)
class Subject:
    """One server. Models that were not given are the first of its list that fit by their names."""

    client: Client
    given_model: str | None = None
    given_embedding_model: str | None = None
    listed: list[str] | None = None

    @property
    def model(self) -> str:
        """Return the model for chat and responses; raises ``Skipped`` where none is known."""
        if self.given_model is not None:
            return self.given_model
        fits = [name for name in self._names() if not any(word in name.lower() for word in _NO_CHAT)]
        if not fits:
            raise Skipped("no model is known; name one by --model")
        return fits[0]

    @property
    def embedding_model(self) -> str:
        """Return the model for embeddings; raises ``Skipped`` where none is known."""
        if self.given_embedding_model is not None:
            return self.given_embedding_model
        fits = [name for name in self._names() if "embed" in name.lower()]
        if not fits:
            raise Skipped("no model for embeddings is known; name one by --embedding-model")
        return fits[0]

    def chat(self, text: str, **members: Any) -> dict[str, Any]:
        """Return the body of a chat request."""
        return {"model": self.model, "messages": [{"role": "user", "content": text}], **members}

    def response(self, content: Any, **members: Any) -> dict[str, Any]:
        """Return the body of a Responses request."""
        return {"model": self.model, "input": content, **members}

    def _names(self) -> list[str]:
        if self.listed is None:
            listed = self.client.get("/models")["data"]
            self.listed = [entry["id"] for entry in listed]
        return self.listed
