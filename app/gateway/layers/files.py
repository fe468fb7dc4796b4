"""Files that a prompt names by our ids: only the account that stores them is asked, by its own ids for them.

Tests: tests/lifecycle/test_provider_files.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.errors import GatewayError
from app.gateway.call import Call, FileHome
from app.gateway.layers.base import CallLayer, Services
from app.state.records import StoredFile, missing

_OURS: Final = re.compile(r"file-[0-9a-f]{48}")
_SLOTS: Final = frozenset({"file_id", "file_ids", "fileUri", "file_uri"})
"""Members that name files: OpenAI's and Anthropic's, those of containers, Google's in both spellings."""

_MOST: Final = 100


def make(services: Services) -> CallLayer:
    """Return the layer. A call that names no files, and has no history that may, goes on unchanged."""
    return lambda call, proceed: proceed(with_files(services, call))


def with_files(services: Services, call: Call) -> Call:
    """Return the call with the ids that the account of its files knows.

    Raises ``not_found`` for a file that is not the tenant's, ``bad_request`` if no single account stores all."""
    if not call.names_files and call.upstream_body is None:
        return call
    ids = list(dict.fromkeys(_named_ids(call.full_body)))
    return _resolve(services, call, ids) if ids else call


def _named_ids(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of ours in the members that name files."""
    stack: list[Any] = [body]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            for name, member in value.items():
                if name in _SLOTS:
                    values = member if isinstance(member, list) else [member]
                    yield from (one for one in values if isinstance(one, str) and _OURS.fullmatch(one))
                elif isinstance(member, dict | list):
                    stack.append(member)


def _resolve(services: Services, call: Call, ids: list[str]) -> Call:
    if len(ids) > _MOST:
        raise GatewayError("bad_request", f"A request may name at most {_MOST} files.", param="file_id")
    files = {one.id: one for one in services.state().files.several(call.principal.tenant, ids)}
    homes = {_location(files.get(file_id), file_id) for file_id in ids}
    if len({home.realm for home in homes}) > 1:
        raise GatewayError(
            "bad_request",
            "The files of a request must be in one account; upload them to the same provider.",
            param="file_id",
        )
    names = {file_id: _reference(files[file_id]) for file_id in ids}
    body = _rename(call.full_body, names)
    home = min(homes)
    call.progress.route = None  # a turn may have planned targets that hold none of them
    if call.host is None:
        return replace(call, body=body, home=home)
    return replace(call, upstream_body=body, home=home)


def _location(stored: StoredFile | None, file_id: str) -> FileHome:
    if stored is None:
        raise missing(file_id)
    if stored.provider is None or stored.realm is None:
        raise GatewayError(
            "bad_request",
            f"The file '{file_id}' is stored at the gateway, for batches. To use it in prompts, upload it with a provider named.",
            param="file_id",
            code="invalid_value",
        )
    return FileHome(file_id, stored.provider, stored.realm)


def _reference(stored: StoredFile) -> str:
    return str(stored.members.get("reference") or stored.upstream_id)


def _rename(value: Any, names: Mapping[str, str], *, slot: bool = False) -> Any:
    """Return a value with the names that providers have for the files in its slots; parts without files are shared."""
    if isinstance(value, dict):
        changed = {
            name: _rename(member, names, slot=name in _SLOTS)
            for name, member in value.items()
            if isinstance(member, dict | list) or name in _SLOTS
        }
        return {**value, **changed} if changed else value
    if isinstance(value, list):
        return [_rename(member, names, slot=slot) for member in value]
    return names.get(value, value) if slot and isinstance(value, str) else value
