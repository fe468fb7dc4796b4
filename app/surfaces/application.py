"""The Flask application: it checks ids and credentials before each request, and turns errors into answers after it."""

from __future__ import annotations

import datetime
import re
import time
from typing import Final

from flask import Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from app.config import Settings, Timeouts
from app.errors import GatewayError
from app.gateway.core import Gateway, gateway_of
from app.state.ids import new_request_id
from app.surfaces.admin.dispatcher import AdminDispatcher
from app.surfaces.base_urls import ModelName
from app.surfaces.blueprints import blueprints
from app.surfaces.body.queries import refuse_nul
from app.surfaces.browsers import Browsers
from app.surfaces.context import app_context, request_context
from app.surfaces.credentials import KeyRing
from app.surfaces.idempotency import REPLAY_HEADER, Replay, replay, settle
from app.surfaces.minimal_flask import SessionlessFlask
from app.surfaces.mounts import KEYLESS, Mount
from app.surfaces.replies.answers import allow_header, error_response, finish_headers, no_websocket
from app.surfaces.rules import SurfaceRule, current_meant_path, current_mount, current_operation, matched_rule
from app.surfaces.views import operators

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SLASH: Final = "%2f"
_NO_PROGRESS: Final = 30.0  # seconds for one write
_NO_PROGRESS_KEYLESS: Final = 5.0
_CHUNK: Final = 64 * 1024  # bytes of one write
_ARGUMENT: Final = re.compile(r"<[^<>]+>")
_WITH_SLASHES: Final = re.compile(r"<(?:path|model):[^<>]+>")
_API_VERSION: Final = re.compile(r"v1|preview|\d{4}-\d{2}-\d{2}(-preview)?")


def build(settings: Settings) -> Flask:
    """Return the WSGI application for ``settings``."""
    app = build_surfaces(Gateway(settings))
    admin = app.extensions["sluice_admin"] = AdminDispatcher(app, build_surfaces)
    app.wsgi_app = admin  # type: ignore[method-assign]
    if hops := settings.proxy_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops, x_prefix=hops)  # type: ignore[method-assign]
    return app


def build_surfaces(gateway: Gateway) -> Flask:
    """Return the application of the surfaces alone, over ``gateway``."""
    settings = gateway.settings
    app = SessionlessFlask("sluice")
    app.url_map.merge_slashes = False
    app.url_map.converters = {**app.url_map.converters, "model": ModelName}
    app.extensions["sluice"] = gateway
    app.extensions["sluice_keys"] = KeyRing(settings, gateway.keys)
    app.extensions["sluice_browsers"] = Browsers(settings)
    app.before_request(_before)
    app.after_request(_finish)  # registered first, so it runs last
    if settings.allowed_origins:
        app.after_request(_mark_for_browsers)
    app.register_error_handler(GatewayError, _gateway_error)
    app.register_error_handler(Replay, _replay)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(
        Exception, lambda error: _gateway_error(gateway.fault(error, g.get("request_id")))
    )
    for blueprint in blueprints():
        app.register_blueprint(blueprint)
    app.register_blueprint(operators.blueprint())
    return app


def _before() -> Response | None:
    """Give the request an id, check the caller, then the api-version.

    A path without a rule below the prefix of a mount needs the key of that mount."""
    request, context = request_context().request, app_context()
    own = context.g
    request_id = request.environ.get("HTTP_X_REQUEST_ID", "")
    own.started = time.monotonic()
    own.request_id = request_id if request_id and _REQUEST_ID.fullmatch(request_id) else new_request_id()
    rule = matched_rule()
    mount = current_mount() if rule is None else rule.mount
    places = rule.credentials if rule is not None else mount.credentials if mount is not None else KEYLESS
    raw = request.environ.get("RAW_URI", "").partition("?")[0]
    if "%" in raw or raw.startswith("//"):
        _check_spelling(raw, request.path, rule)
    if places.keyless:
        return None
    parts = context.app.extensions
    browsers: Browsers = parts["sluice_browsers"]
    if mount is not None and request.method == "OPTIONS":
        answer = browsers.preflight(request, _methods)
        if answer is not None:
            return answer
    browsers.check(request)
    if rule is not None and rule.websocket:
        browsers.check_upgrade(request)
    keys: KeyRing = parts["sluice_keys"]
    own.principal = keys.authenticate(places, request)
    if rule is not None and rule.operation is not None:
        own.principal.check_operation(rule.operation.name)
    if mount is not None and mount.versioned:
        _check_version(request.args.get("api-version"))
    refuse_nul(request)
    return None


def _methods(request: Request) -> list[str]:
    """Return the methods that the path of a request supports."""
    adapter = current_app.url_map.bind_to_environ(request.environ)
    return sorted(adapter.allowed_methods()) or ["GET", "POST", "DELETE"]


def _mark_for_browsers(response: Response) -> Response:
    """Add the headers that say which web pages may read the answer of a surface."""
    if current_mount() is not None:
        current_app.extensions["sluice_browsers"].mark(request, response)
    return response


def _check_spelling(raw: str, path: str, rule: SurfaceRule | None) -> None:
    """Raise ``not_found`` if ``raw``, which was decoded to ``path``, matches ``rule`` only after decoding or trimming: a slash may
    be escaped in an argument alone.

    ``raw`` may have more above ``path``: a host, or the path below which the gateway is hosted."""
    argument = None if rule is None else _WITH_SLASHES.search(rule.rule)
    words = beyond_arguments = raw.lower().split("/")
    if rule is not None and argument is not None:
        above = raw.count("/") + raw.lower().count(_SLASH) - path.count("/")
        start = above + rule.rule.count("/", 0, argument.start())
        end = len(words) - rule.rule.count("/", argument.end())
        beyond_arguments = words[:start] + words[end:]
    if raw.startswith("//") or (rule is not None and any(_SLASH in word for word in beyond_arguments)):
        raise GatewayError("not_found", f"Invalid URL ({request.method} {request.path}).")


def _finish(response: Response) -> Response:
    """Note a request that was no call, limit the time of writes, add the headers of every answer, and settle a claim."""
    request, context, mount = request_context().request, app_context(), current_mount()
    own = context.g
    gateway, members = gateway_of(context.app), vars(own)
    if mount is not None and "call" not in members:
        _note(gateway, response, mount)
    _set_write_timeouts(response, request, gateway.settings.timeouts)
    finish_headers(response, own.request_id, mount)
    return _settle_claim(response) if "claim" in members else response


def _note(gateway: Gateway, response: Response, mount: Mount) -> None:
    """Log and count a request that was no call; calls are logged when they end."""
    own = app_context().g
    principal = own.get("principal")
    gateway.note_request(
        current_operation() or "none",
        own.get("refusal"),
        response.status_code,
        request_id=own.request_id,
        method=request_context().request.method,
        door=mount.name,
        key=principal.key if principal else None,
        tenant=principal.tenant if principal else None,
        ms=round((time.monotonic() - own.started) * 1000),
    )


def _set_write_timeouts(response: Response, request: Request, times: Timeouts) -> None:
    """Disconnect a client that stops reading: after 30 s without progress, or 5 s on paths without keys.

    A large body is written in chunks, because the limit applies to each write."""
    sock, rule = request.environ.get("gunicorn.socket"), request.url_rule
    if sock is None:
        return
    keyless = not isinstance(rule, SurfaceRule) or rule.credentials.keyless
    sock.settimeout(min(_NO_PROGRESS_KEYLESS if keyless else _NO_PROGRESS, times.idle, times.total))
    chunks = response.response
    if isinstance(chunks, list) and max(map(len, chunks), default=0) > _CHUNK:
        body = response.get_data()
        response.response = [body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK)]


def _check_version(version: str | None) -> None:
    if version is None or _is_version(version):
        return
    raise GatewayError(
        "bad_request",
        f"Invalid value: '{version[:64]}'. Supported values are: 'v1', 'preview' and dates such as "
        "'2025-04-01-preview'.",
        param="api-version",
        code="invalid_value",
    )


def _is_version(version: str) -> bool:
    if not _API_VERSION.fullmatch(version):
        return False
    try:
        return not version[0].isdigit() or bool(datetime.date.fromisoformat(version[:10]))
    except ValueError:
        return False


def _gateway_error(error: GatewayError) -> Response:
    context = app_context()
    call = context.g.get("call")
    if call is None:
        context.g.refusal = error
    else:
        gateway_of(context.app).refuse(error, call)
    drop_frames(error)
    return error_response(error, call)


def _replay(error: Replay) -> Response:
    """Return the stored answer to an earlier request with the same key."""
    answer = error.answer
    if answer.response_id is None:
        return replay(answer)
    from app.surfaces.views.stored import follow

    return follow(gateway_of(current_app), answer.response_id, -1, {**answer.headers, REPLAY_HEADER: "true"})


def _settle_claim(response: Response) -> Response:
    """Store the answer of a request with an Idempotency-Key; send an error if that fails."""
    try:
        return settle(response)
    except GatewayError as error:
        return finish_headers(error_response(error, g.get("call")), g.request_id, current_mount())


def drop_frames(error: BaseException) -> None:
    """Clear the tracebacks of a logged error, since their frames and the error would form a reference cycle."""
    link: BaseException | None = error
    links = set[int]()
    while link is not None and id(link) not in links:  # an error may be its own cause
        links.add(id(link))
        link.__traceback__, link = None, link.__cause__ or link.__context__


def _http_error(error: HTTPException) -> Response:
    request = request_context().request
    if "websocket" in request.headers.get("upgrade", "").lower():
        refusal = no_websocket()
    elif error.code == 404:
        refusal = GatewayError(
            "not_found", f"Invalid URL ({request.method} {request.path}).{_change() or _served_here()}"
        )
    elif error.code == 405:
        refusal = GatewayError(
            "method_not_allowed", f"Not allowed to {request.method} on {request.path}.{_change()}"
        )
    else:
        refusal = GatewayError("bad_request", error.description or error.name, status=error.code or 400)
    app_context().g.refusal = refusal
    response = error_response(refusal)
    response.add_headers(allow_header(error), {})
    drop_frames(error)
    return response


def _change() -> str:
    """Return what to change in the base URL of a client whose path is not served, else nothing."""
    place = current_meant_path()
    return "" if place is None else f" {place.advice}"


def _served_here() -> str:
    """Return a sentence that lists the routes of a mount with its own dialect, else nothing."""
    mount = current_mount()
    if mount is None or mount.dialect is None:
        return ""
    routes = (route for routes in mount.operations.values() for route in routes)
    paths = ", ".join(f"{route.method} {mount.prefixes[0]}{route.path}" for route in routes)
    return f" This API serves: {_ARGUMENT.sub('{id}', paths)}."
