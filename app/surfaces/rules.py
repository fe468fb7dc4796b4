"""Rules of the URL map: each has its operation, its mount, and where the caller's key is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Final, NoReturn

from flask import Request, current_app
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import MapAdapter, Rule

from app.operations import OPERATIONS, Operation, Route
from app.surfaces.base_urls import MeantPath, meant_path
from app.surfaces.context import app_context, request_context
from app.surfaces.mounts import Credentials, Mount, mount_of


class MatchedRule(Rule):
    """A rule that only matches paths. Werkzeug also compiles two functions that build URLs, which takes as long as the
    rest of the rule."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _no_url


class SurfaceRule(MatchedRule):
    """A rule with its route, its operation and its mount (None for health and the like), and where the caller's key is."""

    def __init__(
        self,
        string: str,
        *,
        route: Route,
        credentials: Credentials,
        operation: Operation | None = None,
        mount: Mount | None = None,
        **options: Any,
    ) -> None:
        super().__init__(string, **options)
        self.route = route
        self.operation = operation
        self.mount = mount
        self.credentials = credentials
        takes_chat = mount is not None and mount.chat_shaped
        self.body: str | None = (route.chat_body if takes_chat else None) or route.body
        """The place of the schema for bodies at this path, or None."""

    @property
    def served(self) -> Operation:
        """The operation that the rule's view serves; RuntimeError for a rule of none."""
        if self.operation is None:
            raise RuntimeError(f"{self.rule} serves no operation")
        return self.operation


def _no_url(rule: Rule, **values: Any) -> NoReturn:
    raise RuntimeError("URLs are never made from routes here")


def matched_rule() -> SurfaceRule | None:
    """Return the rule that the current request matched, or None."""
    rule = request_context().request.url_rule
    return rule if isinstance(rule, SurfaceRule) else None


def current_rule() -> SurfaceRule:
    """Return the rule of the running view."""
    rule = request_context().request.url_rule
    if not isinstance(rule, SurfaceRule):
        raise RuntimeError("no rule was matched")
    return rule


def current_mount() -> Mount | None:
    """Return the mount of the current request: that of its rule, else that of its path with another method, else that of
    the path that was meant, else the one above its path."""
    request = request_context().request
    rule = request.url_rule or _other_method(request)
    if isinstance(rule, SurfaceRule):
        return rule.mount
    place = current_meant_path()
    return mount_of(request.path) if place is None else place.mount


def current_meant_path() -> MeantPath | None:
    """Return the path that a request without a rule probably meant, or None."""
    own, request = app_context().g, request_context().request
    if "meant" not in own:
        own.meant = meant_path(current_app.url_map, request.method, request.path)
    place: MeantPath | None = own.meant
    return place


def _other_method(request: Request) -> Rule | None:
    error = request.routing_exception
    if not isinstance(error, MethodNotAllowed) or not error.valid_methods:
        return None
    adapter = current_app.url_map.bind_to_environ(request.environ)
    others = product((False, True), sorted(error.valid_methods))
    return next(filter(None, (_match(adapter, method, upgrades) for upgrades, method in others)), None)


def _match(adapter: MapAdapter, method: str, upgrades: bool) -> Rule | None:
    """Return the rule of the path for ``method``, or for an upgrade with it; None if there is none."""
    try:
        return adapter.match(method=method, return_rule=True, websocket=upgrades)[0]
    except HTTPException:
        return None


def current_operation() -> str | None:
    """Return the operation of the current request; without a matched rule, the one that its path suggests, or None."""
    rule = matched_rule()
    if rule is not None and rule.operation is not None:
        return rule.operation.name
    path = request_context().request.path
    if path.endswith(_ENDINGS):
        return next(row.name for row in OPERATIONS.values() if any(path.endswith(r.path) for r in row.routes))
    return next((word for word in _WITH_IDS if word in path.split("/")), None)


_ENDINGS: Final = tuple({route.path for row in OPERATIONS.values() for route in row.routes})
_WITH_IDS: Final = ("models", "responses")
"""Operations whose name is a part of paths that end with an id."""
