"""The server under test, and the models that the checks use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from app.conformance.client import Client, Skip

_NO_CHAT: Final = ("embed", "tts", "whisper", "speech", "transcri", "image", "dall", "rerank", "moderation")


@dataclass(slots=True)
class Subject:
    """One server. A model that is None becomes the first of its list whose name fits."""

    client: Client
    chat_model: str | None = None
    vector_model: str | None = None

    @property
    def model(self) -> str:
        """Return the model for chat and responses; raise ``Skip`` if none is known."""
        if self.chat_model is None:
            missing = "no model is known; name one by --model"
            self.chat_model = self._first_model(
                lambda name: not any(word in name for word in _NO_CHAT), missing
            )
        return self.chat_model

    @property
    def embedding_model(self) -> str:
        """Return the model for embeddings; raise ``Skip`` if none is known."""
        if self.vector_model is None:
            missing = "no model for embeddings is known; name one by --embedding-model"
            self.vector_model = self._first_model(lambda name: "embed" in name, missing)
        return self.vector_model

    def chat(self, text: str, **members: Any) -> dict[str, Any]:
        """Return the body of a chat request."""
        return {"model": self.model, "messages": [{"role": "user", "content": text}], **members}

    def response(self, content: Any, **members: Any) -> dict[str, Any]:
        """Return the body of a Responses request."""
        return {"model": self.model, "input": content, **members}

    def _first_model(self, fits: Callable[[str], bool], missing: str) -> str:
        for entry in self.client.get("/models")["data"]:
            if fits(entry["id"].lower()):
                return str(entry["id"])
        raise Skip(missing)
