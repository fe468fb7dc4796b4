"""Decide where a file is stored: at the provider that its caller names, else in the gateway.

Tests: tests/lifecycle/test_batches.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.errors import GatewayError
from app.gateway.call import Call

if TYPE_CHECKING:
    from app.gateway.core import Gateway


def home_of(gateway: Gateway, call: Call, provider: str | None, model: str | None) -> str | None:
    """Return the name of the provider that a caller names itself or by one of its models; None for none.

    Raises 400 for the name of no provider, and ``forbidden`` for one that the key may not use."""
    if provider is not None:
        if provider not in gateway.registry.names:
            raise GatewayError(
                "bad_request",
                f"Invalid value: '{provider[:64]}'. It is not the name of a provider.",
                param="provider",
                code="invalid_value",
            )
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
