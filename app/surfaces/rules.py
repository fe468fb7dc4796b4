"""Rules of the URL map that say what they serve, at which door, and who may call."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Final, NoReturn

from flask import Request, current_app
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import MapAdapter, Rule

from app.operations import OPERATIONS, Operation, Route
from app.surfaces.context import request_context
from app.surfaces.mounts import Credentials, Mount, mount_of


class MatchedRule(Rule):
    """A rule that is only matched. Werkzeug compiles two functions a rule, to make URLs of it: as much work again
    as its own."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _no_url


class SurfaceRule(MatchedRule):
    """A rule with its route, the operation and door that it belongs to (None for health and the
    like), and where a caller's key is looked for."""

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

    @property
    def body(self) -> str | None:
        """The place of the schema for bodies at this path, or None."""
        takes_chat = self.mount is not None and self.mount.chat_shaped
        return (self.route.chat_body if takes_chat else None) or self.route.body

    @property
    def served(self) -> Operation:
        """The operation that the rule's view serves; RuntimeError for a rule of none."""
        if self.operation is None:
            raise RuntimeError(f"{self.rule} serves no operation")
        return self.operation


def _no_url(rule: Rule, **values: Any) -> NoReturn:
    raise RuntimeError("URLs are never made from routes here")


def matched_rule() -> SurfaceRule | None:
    """Return the rule that the current request matched, None for one that matched none."""
    rule = request_context().request.url_rule
    return rule if isinstance(rule, SurfaceRule) else None


def current_rule() -> SurfaceRule:
    """Return the rule whose view is running."""
    rule = matched_rule()
    if rule is None:
        raise RuntimeError("no rule was matched")
    return rule


def current_mount() -> Mount | None:
    """Return the door of the current request: its rule's, else that of its path by another method,
    else the one that its path lies below."""
    request = request_context().request
    rule = request.url_rule or _other_method(request)
    return rule.mount if isinstance(rule, SurfaceRule) else mount_of(request.path)


def _other_method(asked: Request) -> Rule | None:
    error = asked.routing_exception
    if not isinstance(error, MethodNotAllowed) or not error.valid_methods:
        return None
    adapter = current_app.url_map.bind_to_environ(asked.environ)
    others = product((False, True), sorted(error.valid_methods))
    return next(filter(None, (_matched(adapter, method, upgrades) for upgrades, method in others)), None)


def _matched(adapter: MapAdapter, method: str, upgrades: bool) -> Rule | None:
    """Return the rule of a path by ``method``, or by an upgrade with it; None where that is refused, too."""
    try:
        return adapter.match(method=method, return_rule=True, websocket=upgrades)[0]
    except HTTPException:
        return None


def current_operation() -> str | None:
    """Return the operation of the current request, as far as its path tells where no rule was
    matched; None for none of ours."""
    rule = matched_rule()
    if rule is not None and rule.operation is not None:
        return rule.operation.name
    path = request_context().request.path
    named = (row.name for row in OPERATIONS.values() if any(path.endswith(r.path) for r in row.routes))
    parts = path.split("/")
    below = next((name for word, name in _FAMILIES.items() if word in parts), None)
    return next(named, below)


_FAMILIES: Final = {"models": "models", "responses": "responses"}
"""Words of paths that hold an id, and the operation that those belong to."""
