"""What must never be said: the secrets that the gateway holds, taken out of others' words.

A provider that refuses a key may repeat it, and a proxy its password. ``scrub`` of the
dialects knows what keys look like; this knows what ours are, so that no spelling escapes
(contract/reliability.md 2, A10). Everything is replaced by value, before anyone sees it.

Tests: tests/behaviour/test_secrets.py.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from app.config import Secret, Settings
from app.database_url import password_of
from app.errors import GatewayError

_SHORTEST: Final = 8  # shorter ones would take harmless words out; nobody should have such a key
_FRAGMENT: Final = 12  # characters of a secret that stand together; vendors show fewer, to tell keys apart
_DIGIT: Final = re.compile("[0-9]")
_MASK: Final = "[redacted]"
_LABEL: Final = re.compile(r"[\w.:/\[\]() -]{1,128}")


class Redactor:
    """Takes the secrets of ``settings`` out of texts, errors and JSON values."""

    def __init__(self, settings: Settings) -> None:
        known = {secret for secret in _secrets(settings) if len(secret) >= _SHORTEST}
        self._known = sorted(known, key=len, reverse=True)
        self._fragments = {s[i : i + _FRAGMENT] for s in known for i in range(len(s) - _FRAGMENT + 1)}
        self._pattern = re.compile("|".join(map(re.escape, self._known))) if known else None

    def text(self, text: str) -> str:
        """Return ``text`` without secrets, nor the beginning of one at its cut-off end."""
        if self._pattern is None:
            return text
        shown = self._without_pieces(self._pattern.sub(_MASK, text))
        return self._without_half(shown[:-1]) + "…" if shown.endswith("…") else shown

    def error(self, error: GatewayError) -> GatewayError:
        """Clean what a client will see of ``error``, in place, and return it."""
        error.message = self.text(error.message)
        error.code = self._label(error.code)
        error.param = self._label(error.param)
        error.type = self._label(error.type) or error.kind.type
        return error

    def value(self, value: Any) -> Any:
        """Return a JSON value without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(name): self.value(member) for name, member in value.items()}
        return [self.value(member) for member in value] if isinstance(value, list) else value

    def _label(self, label: str | None) -> str | None:
        return self.text(label) if label is not None and _LABEL.fullmatch(label) else None

    def _without_pieces(self, text: str) -> str:
        """Return ``text`` without long pieces of a secret; those without a digit may be words."""
        spans: list[list[int]] = []
        for start in range(len(text) - _FRAGMENT + 1):
            if text[start : start + _FRAGMENT] not in self._fragments:
                continue
            if spans and start <= spans[-1][1]:
                spans[-1][1] = start + _FRAGMENT
            else:
                spans.append([start, start + _FRAGMENT])
        pieces, at = [], 0
        for start, end in spans:
            if _DIGIT.search(text, start, end):
                pieces += [text[at:start], _MASK]
                at = end
        return "".join(pieces) + text[at:]

    def _without_half(self, text: str) -> str:
        for secret in self._known:
            for size in range(len(secret) - 1, 3, -1):
                if text.endswith(secret[:size]):
                    return text[:-size] + _MASK
        return text


def _secrets(settings: Settings) -> Iterator[str]:
    """Yield every secret: keys, sealed options, operator's headers, passwords in URLs."""
    yield from _secrets_in(settings)
    urls = [settings.redis_url, *settings.environ.values()]
    for provider in settings.providers.values():
        yield from provider.headers.values()
        urls.append(provider.proxy)
    yield from _passwords(url for url in urls if url)
    for url in (settings.database_url, settings.listen_url or ""):
        password = password_of(url)
        if password:
            yield from {password, unquote(password)}


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        yield value.reveal()
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _secrets_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _secrets_in(member)
    elif isinstance(value, tuple | list):
        for member in value:
            yield from _secrets_in(member)


def _passwords(urls: Iterable[str]) -> Iterator[str]:
    for url in urls:
        password = urlsplit(url).password if "@" in url else None
        if password:
            yield from {password, unquote(password)}
