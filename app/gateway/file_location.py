"""Where a file lives: at the provider that its caller names, else here.

Tests: tests/lifecycle/test_batches.py.
"""

from __future__ import annotations

from typing import Protocol

from app.errors import GatewayError
from app.gateway.call import Call
from app.gateway.router import Registry, Router


class Services(Protocol):
    """What the choice needs of the gateway."""

    registry: Registry
    router: Router


def home_of(services: Services, call: Call, named: str | None, model: str | None) -> str | None:
    """Return the name of the provider that a caller means, by its name or by a model of it; None for none.

    Raises 400 for a name that is no provider's, and ``forbidden`` for what the key may not use."""
    if named is not None:
        if named not in services.registry.names:
            raise GatewayError(
                "bad_request",
                f"Invalid value: '{named[:64]}'. It is no provider's name.",
                param="provider",
                code="invalid_value",
            )
        if not call.principal.allows_provider(named):
            raise GatewayError("forbidden", f"This key may not use the provider '{named}'.", param="provider")
        return named
    if model is None:
        return None
    provider, name = services.router.resolve(model, call.default_provider)
    alias = model if services.router.is_alias(model) else None
    if not call.principal.allows(f"{provider}/{name}", alias):
        label = f"{provider}/{name}"
        raise GatewayError("forbidden", f"This key may not use the model '{label}'.", param="model")
    return provider
