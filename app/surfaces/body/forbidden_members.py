"""Members that would redirect or authorise a call; they are never forwarded.

SDKs and other gateways accept URLs, credentials and headers under these names. Here only the operator sets them:
every dialect drops them with a warning, and their values are never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.losses import Loss
from app.errors import GatewayError

FORBIDDEN: Final = frozenset(
    {
        *("base_url", "api_base", "api_key", "api_version", "api_type", "azure_endpoint", "azure_ad_token"),
        *("headers", "default_headers", "extra_headers", "extra_body", "extra_query"),
        *("proxy", "proxies", "timeout", "request_timeout", "max_retries", "num_retries"),
        *("organization", "project", "custom_llm_provider", "litellm_params"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_region_name"),
        *("vertex_project", "vertex_location", "vertex_credentials"),
    }
)


def is_forbidden(name: str) -> bool:
    """Tell whether a member is forbidden; a form may also write ``headers[name]``."""
    return name in FORBIDDEN or name.partition("[")[0] in FORBIDDEN


def without_forbidden(body: Mapping[str, Any], *, strict: bool) -> tuple[Mapping[str, Any], tuple[Loss, ...]]:
    """Return ``body`` without forbidden members, and a warning for each.

    If ``strict``, raises GatewayError ``unsupported_parameter`` instead.
    """
    forbidden = {name for name in body if name in FORBIDDEN or "[" in name and is_forbidden(name)}
    if not forbidden:
        return body, ()
    losses = tuple(Loss(name, f"'{name}' is set by the gateway's operator.") for name in sorted(forbidden))
    if strict:
        raise GatewayError("unsupported_parameter", losses[0].message, param=losses[0].param)
    return {name: value for name, value in body.items() if name not in forbidden}, losses
