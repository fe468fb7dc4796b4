"""Remove the gateway's secrets from the words of others.

A provider that refuses a key may repeat it, and a proxy its password. ``scrub`` of the
dialects knows what keys look like; this module knows the secrets themselves, in every spelling.
They are replaced by value, before anyone sees them.

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

_MIN_LENGTH: Final = 8  # characters; shorter secrets are left, for they would match harmless words
_FRAGMENT: Final = 12  # characters of a secret in a row; vendors show fewer, to identify keys
_DIGIT: Final = re.compile("[0-9]")
_MASK: Final = "[redacted]"
_LABEL: Final = re.compile(r"[\w.:/\[\]() -]{1,128}")


def shorten(text: str, most: int) -> str:
    """Return at most ``most`` characters of ``text``; a cut is marked by ``…``, so that no half of a secret is left there."""
    return text if len(text) <= most else text[: most - 1] + "…"


class Redactor:
    """Takes the secrets of ``settings`` out of texts, errors and JSON values."""

    def __init__(self, settings: Settings) -> None:
        secrets = {secret for secret in _secrets(settings) if len(secret) >= _MIN_LENGTH}
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._fragments = {s[i : i + _FRAGMENT] for s in secrets for i in range(len(s) - _FRAGMENT + 1)}
        self._pattern = re.compile("|".join(map(re.escape, self._secrets))) if secrets else None

    def text(self, text: str) -> str:
        """Return ``text`` without secrets, and without the beginning of one at a cut-off end."""
        if self._pattern is None:
            return text
        redacted = self._without_fragments(self._pattern.sub(_MASK, text))
        return self._without_prefix(redacted[:-1]) + "…" if redacted.endswith("…") else redacted

    def error(self, error: GatewayError) -> GatewayError:
        """Redact what a client sees of ``error``, in place, and return it."""
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

    def _without_fragments(self, text: str) -> str:
        """Return ``text`` without long fragments of a secret; those without a digit may be words and stay."""
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

    def _without_prefix(self, text: str) -> str:
        for secret in self._secrets:
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
