"""Files at a provider: upload, retrieve, read and delete them, with the account that holds them.

A file belongs to an account. Of several keys one is drawn for an upload, and only that key can use the file
from then on. These requests are not retried: an upload may have arrived although its answer was lost.

Tests: tests/lifecycle/test_provider_files.py.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from app.canonical.files import FileObject, FileUpload
from app.config import Settings
from app.dialects import dialect_of
from app.dialects.base import ClientContext
from app.dialects.uploads.base import FileDialect
from app.errors import GatewayError
from app.gateway.account_requests import AccountRequests, open_attempt
from app.gateway.call import Attempt, Call, FileHome, Target
from app.gateway.router import Registry, unknown_provider
from app.gateway.translation import parse_upstream
from app.providers.base import Wire, key_realm
from app.state.ids import mint
from app.state.records import StoredFile, missing
from app.wire.paths import segment

if TYPE_CHECKING:
    from app.gateway.core import Gateway


_WIRE: Final = "file_upload"


def realm_of(target: Target) -> str:
    """Return the realm of the account that a target's files are uploaded to."""
    return key_realm(target.provider.name, target.provider.settings, target.key)


def account_of(registry: Registry, name: str, realm: str | None, model: str = "") -> Target | None:
    """Return the account of a provider in ``realm``, None where it is not configured any more."""
    if name not in registry.names:
        return None
    provider = registry.get(name)
    try:
        targets = [Target(provider, model, key) for key in provider.keys("")]
    except GatewayError:
        return None
    return next((one for one in targets if realm_of(one) == realm), None)


def at_home(targets: Iterable[Target | GatewayError], home: FileHome) -> list[Target | GatewayError]:
    """Return the targets of the account that holds a file, and a refusal in place of each other model."""
    steps = list(targets)
    places = {_place(step) for step in steps if isinstance(step, Target) and realm_of(step) == home.realm}
    result: list[Target | GatewayError] = []
    for target in steps:
        if isinstance(target, GatewayError) or realm_of(target) == home.realm:
            result.append(target)
        elif _place(target) not in places:
            places.add(_place(target))
            result.append(_wrong_account(target, home))
    return result


def _place(target: Target) -> tuple[str, str]:
    return target.provider.name, target.model


def _wrong_account(target: Target, home: FileHome) -> GatewayError:
    if target.provider.name == home.provider:
        reason = f"is stored at another account of provider '{home.provider}'"
    else:
        reason = f"is stored at provider '{home.provider}'; use one of its models, not '{target.label}'"
    return GatewayError("unsupported_parameter", f"The file '{home.file_id}' {reason}.", param="file_id")


def home_of(gateway: Gateway, call: Call, provider: str | None, model: str | None) -> str | None:
    """Return the name of the provider that a caller names itself or by one of its models; None for none.

    Raises 400 for the name of no provider, and ``forbidden`` for one that the key may not use."""
    if provider is not None:
        if provider not in gateway.registry.names:
            raise unknown_provider(provider)
        if not call.principal.allows_provider(provider):
            raise GatewayError(
                "forbidden", f"This key may not use the provider '{provider}'.", param="provider"
            )
        return provider
    if model is None:
        return None
    owner, name = gateway.router.resolve(model, call.default_provider)
    alias = model if gateway.router.is_alias(model) else None
    label = f"{owner}/{name}"
    if not call.principal.allows(label, alias):
        raise GatewayError("forbidden", f"This key may not use the model '{label}'.", param="model")
    return owner


class ProviderFiles:
    """The files of all accounts."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def keeps(self, provider: str) -> bool:
        """Tell whether a provider keeps files."""
        return self._gateway.registry.get(provider).wire(_WIRE, "") is not None

    def upload(self, call: Call, provider: str, new: FileUpload) -> tuple[Target, FileObject]:
        """Upload a file to one of a provider's accounts; return the account and the file."""
        target = self._target_of(provider)
        with self._open_attempt(call, target) as account:
            boundary = f"sluice-{secrets.token_hex(16)}"
            return target, account.dialect.upload(new, account.context, boundary, account.post)

    def retrieve(self, call: Call, stored: StoredFile) -> FileObject:
        """Return a file as its provider shows it now; raises ``not_found`` where it is gone."""
        with (
            self._open_attempt(call, self._target_at(stored), stored) as account,
            account.open("GET", account.path()) as upstream,
        ):
            return account.dialect.decode_file(parse_upstream(upstream.read()))

    def delete(self, call: Call, stored: StoredFile) -> None:
        """Delete a file at its provider, if it is still there."""
        try:
            with (
                self._open_attempt(call, self._target_at(stored), stored) as account,
                account.open("DELETE", account.path()) as upstream,
            ):
                upstream.read()
        except GatewayError as error:
            if error.kind.name != "not_found":
                raise

    def content(self, call: Call, stored: StoredFile) -> Iterator[bytes]:
        """Yield the bytes of a file; raises ``unsupported_operation`` where uploads cannot be downloaded."""
        home = self._target_at(stored)
        with self._open_attempt(call, home, stored) as account:
            if not account.dialect.downloads:
                raise GatewayError(
                    "unsupported_operation",
                    f"Provider '{home.provider.name}' does not give uploaded files back.",
                    param="file_id",
                )
            with account.open("GET", account.path("/content")) as upstream:
                while data := upstream.read1():
                    yield data

    def _target_of(self, name: str) -> Target:
        provider = self._gateway.registry.get(name)
        keys = provider.keys("")
        weights = [key.weight if key is not None else 1.0 for key in keys]
        return Target(provider, "", random.choices(keys, weights)[0])

    def _target_at(self, stored: StoredFile) -> Target:
        """Return the account that holds a file; raises ``provider_not_configured`` where it is gone."""
        account = account_of(self._gateway.registry, stored.provider or "", stored.realm)
        if account is None:
            raise GatewayError(
                "provider_not_configured",
                f"The account of provider '{stored.provider}' that holds this file is not configured any more.",
                param="file_id",
            )
        return account

    @contextmanager
    def _open_attempt(
        self, call: Call, target: Target, stored: StoredFile | None = None
    ) -> Iterator[_FileRequests]:
        """Open one attempt of a call at an account; raises ``not_found`` for a file that is gone."""
        wire = target.provider.wire(_WIRE, "")
        if wire is None:
            raise GatewayError(
                "unsupported_operation",
                f"Provider '{target.provider.name}' does not store files.",
                param="file_id" if stored is not None else "purpose",
            )
        not_found = None if stored is None else lambda message: missing(stored.id)
        with open_attempt(self._gateway, call, target, not_found) as attempt:
            yield _FileRequests(self._gateway.settings, attempt, wire, stored)


class _FileRequests(AccountRequests):
    """The requests of one attempt at an account for files."""

    def __init__(self, settings: Settings, attempt: Attempt, wire: Wire, stored: StoredFile | None) -> None:
        self.dialect = dialect_of(FileDialect, wire.dialect)
        super().__init__(settings, attempt, wire, self.dialect)
        self.context = context_of(attempt, wire)
        self._stored = stored

    def path(self, below: str = "") -> str:
        """Return the path of the stored file, or of what is ``below`` it."""
        identity = self._stored.upstream_id if self._stored is not None else None
        return f"{self.wire.path}/{segment(identity or '', name='file id')}{below}"


def context_of(attempt: Attempt, wire: Wire) -> ClientContext:
    """Return the context that a dialect of files needs for an attempt."""
    provider = attempt.target.provider.name
    return ClientContext("", mint, attempt.call.created_at, options=wire.options, provider=provider)
