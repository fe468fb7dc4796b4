"""Members that would steer a call: never the client's business, so they go nowhere.

SDKs and other gateways take an address, a credential or a header by these names. Ours come
from the operator alone (contract/reliability.md 2, A4): they are left out with a warning,
whatever dialect the target speaks, and their values are shown to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.dialects.shared.losses import Loss
from app.errors import GatewayError

STEERING: Final = frozenset(
    {
        *("base_url", "api_base", "api_key", "api_version", "api_type", "azure_endpoint", "azure_ad_token"),
        *("headers", "default_headers", "extra_headers", "extra_body", "extra_query"),
        *("proxy", "proxies", "timeout", "request_timeout", "max_retries", "num_retries"),
        *("organization", "project", "custom_llm_provider", "litellm_params"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_region_name"),
        *("vertex_project", "vertex_location", "vertex_credentials"),
    }
)


def steers(name: str) -> bool:
    """Tell whether a member steers; a form may write one of it as ``headers[name]``."""
    return name in STEERING or name.partition("[")[0] in STEERING


def without_steering(body: Mapping[str, Any], *, strict: bool) -> tuple[Mapping[str, Any], tuple[Loss, ...]]:
    """Return ``body`` without steering members, and a warning for each.

    Raises GatewayError ``unsupported_parameter`` when ``strict``.
    """
    found = {name for name in body if steers(name)}
    if not found:
        return body, ()
    losses = tuple(Loss(name, f"'{name}' is set by the gateway's operator.") for name in sorted(found))
    if strict:
        raise GatewayError("unsupported_parameter", losses[0].message, param=losses[0].param)
    return {name: value for name, value in body.items() if name not in found}, losses
