"""Makes the Call of an HTTP request at a mount."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from flask import request

from app.dialects import dialect_of
from app.dialects.base import Row
from app.errors import GatewayError
from app.gateway.call import Abort, Call
from app.gateway.core import Gateway
from app.operations import Operation
from app.surfaces.body.forbidden_members import without_forbidden
from app.surfaces.body.reader import names_files, size_of
from app.surfaces.client_headers import ClientHeaders
from app.surfaces.context import app_context, request_context
from app.surfaces.mounts import Mount
from app.surfaces.rules import current_rule
from app.wire.json import loads

_MODEL: Final = re.compile(r"(?=.*\S)[^\x00-\x1f\x7f]{1,512}")
_MOST_FALLBACKS: Final = 16


def current_gateway() -> Gateway:
    """Return the gateway of the application that serves this request."""
    gateway: Gateway = app_context().app.extensions["sluice"]
    return gateway


def make_call(
    mount: Mount,
    body: Mapping[str, Any],
    *,
    deployment: str | None = None,
    stream: bool = False,
    background: bool = False,
    nameless: bool = False,
    operation: Operation | None = None,
    dialect: str | None = None,
    size: int | None = None,
    **more: Any,
) -> Call:
    """Return the Call of the current rule's operation for a checked body; it is the call of this request (``g.call``).

    ``nameless``: the call has no model. ``operation`` and ``dialect`` replace those of the rule, for a body that names them.
    ``size`` are the bytes of a body that is not the request's. ``more`` are other members of the call.

    Raises GatewayError for a missing or invalid model, and for invalid fallbacks.
    """
    gateway, rule, own = current_gateway(), current_rule(), app_context().g
    request, settings, principal = request_context().request, gateway.settings, own.principal
    environ, times = request.environ, settings.timeouts
    if operation is not None:
        principal.check_operation(operation.name)
    operation = operation or rule.served
    wire = dialect or rule.route.dialect or mount.dialect or operation.dialect
    model = "" if nameless else model_string(body, deployment, gateway.registry.names)
    strict = _is_strict(environ.get("HTTP_X_SLUICE_STRICT"))
    body, losses = without_forbidden(body, strict=strict)
    own.call = call = Call(
        id=own.request_id,
        operation=operation.name,
        dialect=wire,
        body=body,
        model=model,
        candidates=(model, *fallbacks_of(body, wire)),
        principal=principal,
        surface=mount.name,
        status_of=mount.status_of,
        abort=Abort(),
        sealing=gateway.sealing(principal.tenant),
        deadline=time.monotonic() + (times.background if background else times.total),
        default_provider=mount.provider_of_bare_name(gateway.registry.configured),
        stream=stream,
        strict=strict,
        left_out=losses,
        client_headers=ClientHeaders(environ),
        keep_raw=_raw_members(environ) if settings.raw_allowed else frozenset(),
        socket=environ.get("gunicorn.socket"),
        log_metadata=_log_metadata(environ.get("HTTP_X_TFY_METADATA")),
        size=size_of(request) if size is None else size,
        names_files=names_files(request),
        **more,
    )
    return call


def _is_strict(text: str | None) -> bool:
    """Return the value of ``x-sluice-strict``; a client that means to be refused must not be served by a typing error."""
    if text is None or text.lower() in ("true", "false"):
        return text is not None and text.lower() == "true"
    raise GatewayError(
        "bad_request",
        "The header 'x-sluice-strict' must be 'true' or 'false'.",
        param="x-sluice-strict",
        code="invalid_value",
    )


def model_string(body: Mapping[str, Any], deployment: str | None, providers: frozenset[str]) -> str:
    """Return the model of body or path (docs/surfaces.md, "Model strings"): a body's ``provider/model``, else the path's deployment,
    else the body's bare model.

    Raises GatewayError ``bad_request`` for an invalid or missing one.
    """
    model = body.get("model")
    if isinstance(model, str) and not _MODEL.fullmatch(model):
        raise GatewayError(
            "bad_request",
            "Invalid value for 'model': 1 to 512 characters, no control characters.",
            param="model",
            code="invalid_value",
        )
    has_provider = isinstance(model, str) and "/" in model and model.partition("/")[0] in providers
    if deployment is not None and not has_provider:
        return _check_deployment(deployment)
    if not isinstance(model, str):
        raise GatewayError(
            "bad_request",
            "Missing required parameter: 'model'.",
            param="model",
            code="missing_required_parameter",
        )
    return model


def _check_deployment(deployment: str) -> str:
    if {"", ".", ".."} & set(deployment.split("/")) or not _MODEL.fullmatch(deployment):
        raise GatewayError("not_found", f"Invalid URL ({request.method} {request.path})")
    return deployment


def fallbacks_of(body: Mapping[str, Any], dialect: str) -> tuple[str, ...]:
    """Return the model strings of a body's ``fallbacks``; raise GatewayError ``bad_request`` for invalid ones."""
    fallbacks = body.get("fallbacks")
    if not fallbacks:
        return ()
    names = isinstance(fallbacks, list) and all(isinstance(name, str) for name in fallbacks)
    if dialect_of(Row, dialect).own_fallbacks and not names:
        return ()
    if len(fallbacks) > _MOST_FALLBACKS:
        raise GatewayError(
            "bad_request",
            f"Invalid 'fallbacks': array too long. Expected an array with maximum length {_MOST_FALLBACKS}, "
            f"but got an array with length {len(fallbacks)} instead.",
            param="fallbacks",
            code="array_above_max_length",
        )
    for index, model in enumerate(fallbacks):
        if not isinstance(model, str) or not _MODEL.fullmatch(model):
            raise GatewayError(
                "bad_request",
                f"Invalid type for 'fallbacks[{index}]': expected a string 'provider/model'.",
                param=f"fallbacks[{index}]",
                code="invalid_type",
            )
    return tuple(fallbacks)


def _raw_members(environ: Mapping[str, Any]) -> frozenset[str]:
    """Return what the client wants to see of the exchange with the provider."""
    return frozenset(name for name, key in _RAW.items() if environ.get(key, "").lower() == "true")


def _log_metadata(header: str | None) -> dict[str, str]:
    """Return the strings of the JSON object in ``x-tfy-metadata``, for the log only.

    Raises GatewayError ``bad_request`` for anything else."""
    if header is None:
        return {}
    refusal = GatewayError("bad_request", "The header 'x-tfy-metadata' must be a JSON object of strings.")
    try:
        value = loads(header.encode("latin-1", "replace"), strict=True)
    except GatewayError as error:
        raise refusal from error
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise refusal
    return value


_RAW: Final = {
    "raw_request": "HTTP_X_BF_SEND_BACK_RAW_REQUEST",
    "raw_response": "HTTP_X_BF_SEND_BACK_RAW_RESPONSE",
}
