"""One decision: which wire serves a call at a target, and whether it passes or is translated.

``pass`` when the caller's dialect is the very one the target takes whole; else translate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.errors import GatewayError
from app.gateway.call import Call, Target
from app.operations import OPERATIONS
from app.providers.base import Wire


@dataclass(frozen=True, slots=True)
class Plan:
    """``wire`` serves the call as operation ``serves``, by passing or by translating."""

    way: Literal["pass", "translate"]
    wire: Wire
    serves: str


def plan(call: Call, target: Target, wires: tuple[str, ...] | None = None) -> Plan:
    """Decide how ``call`` is put to ``target``.

    ``wires`` overrides the order in which the target's wires are looked for. Raises
    GatewayError ``unsupported_operation`` naming operation and provider.
    """
    for operation in wires or OPERATIONS[call.operation].wires:
        wire = target.provider.wire(operation, target.model)
        if wire is not None:
            same = wire.dialect == call.dialect and operation == call.operation
            return Plan("pass" if same and wire.passes else "translate", wire, operation)
    raise unsupported(call.operation, target.provider.name)


def unsupported(operation: str, provider: str) -> GatewayError:
    """Return the error for an operation that a provider cannot do."""
    return GatewayError(
        "unsupported_operation",
        f"Provider '{provider}' does not support the operation '{operation}'.",
        param="model",
    )
