"""The paths below ``/admin``: one row each, with the role that may call it."""

from __future__ import annotations

from typing import Final, Literal

from app.canonical.record import record
from app.state import call_log, ledger, sums
from app.state.admin_queries import CONVERSATION_FILTERS, RESPONSE_FILTERS

Role = Literal["admin", "viewer"]


@record
class AdminRoute:
    """One path; ``view`` is a function below ``app.surfaces.admin``. An administrator may call a viewer's paths, too."""

    method: str
    path: str
    view: str
    role: Role
    query: tuple[str, ...] = ()
    """The parameters that its query may have."""


_PAGE: Final = ("limit", "after")
_SPAN: Final = ("from", "to")
_NOW: Final = ("now",)
_CALLS: Final = (*call_log.FILTERS, *_SPAN)

ROUTES: Final = (
    AdminRoute("GET", "/keys", "keys.index", "viewer", (*_PAGE, "tenant")),
    AdminRoute("POST", "/keys", "keys.create", "admin"),
    AdminRoute("GET", "/keys/<key_id>", "keys.get", "viewer"),
    AdminRoute("PATCH", "/keys/<key_id>", "keys.change", "admin", _NOW),
    AdminRoute("DELETE", "/keys/<key_id>", "keys.delete", "admin", _NOW),
    AdminRoute("POST", "/keys/<key_id>/rotate", "keys.rotate", "admin", _NOW),
    AdminRoute("GET", "/tenants", "tenants.index", "viewer", _PAGE),
    AdminRoute("POST", "/tenants", "tenants.create", "admin"),
    AdminRoute("GET", "/tenants/<name>", "tenants.get", "viewer"),
    AdminRoute("PATCH", "/tenants/<name>", "tenants.change", "admin"),
    AdminRoute("DELETE", "/tenants/<name>", "tenants.delete", "admin", ("confirm",)),
    AdminRoute("GET", "/admins", "admins.index", "viewer", _PAGE),
    AdminRoute("POST", "/admins", "admins.create", "admin"),
    AdminRoute("DELETE", "/admins/<admin_id>", "admins.delete", "admin"),
    AdminRoute("GET", "/calls", "calls.index", "viewer", (*_PAGE, *_CALLS)),
    AdminRoute("GET", "/calls.csv", "calls.as_csv", "viewer", _CALLS),
    AdminRoute("GET", "/calls.jsonl", "calls.as_jsonl", "viewer", _CALLS),
    AdminRoute("GET", "/calls/<call_id>", "calls.get", "viewer"),
    AdminRoute("GET", "/usage", "usage.sum_usage", "viewer", (*_SPAN, *sums.FILTERS, "group_by")),
    AdminRoute("GET", "/ledger", "ledger.index", "viewer", (*_PAGE, *ledger.FILTERS, *_SPAN)),
    AdminRoute("GET", "/ledger/<entry_id>", "ledger.get", "viewer"),
    AdminRoute("POST", "/ledger/<entry_id>/settle", "ledger.settle", "admin"),
    AdminRoute("GET", "/providers", "providers.index", "viewer", _PAGE),
    AdminRoute("POST", "/providers/<name>/check", "providers.check", "admin"),
    AdminRoute("GET", "/events", "events.stream", "viewer", ("types",)),
    AdminRoute("GET", "/responses", "stored.responses", "viewer", (*_PAGE, *RESPONSE_FILTERS, *_SPAN)),
    AdminRoute("GET", "/responses/<response_id>", "stored.response", "viewer"),
    AdminRoute(
        "GET", "/conversations", "stored.conversations", "viewer", (*_PAGE, *CONVERSATION_FILTERS, *_SPAN)
    ),
    AdminRoute("GET", "/conversations/<conversation_id>", "stored.conversation", "viewer"),
    AdminRoute(
        "GET", "/conversations/<conversation_id>/items", "stored.items", "viewer", (*_PAGE, "before", "order")
    ),
    AdminRoute("GET", "/background", "instance.background", "viewer"),
    AdminRoute("GET", "/settings", "instance.settings", "viewer"),
    AdminRoute("POST", "/doctor", "doctor.run", "admin"),
    AdminRoute("POST", "/reload", "reload.now", "admin"),
    AdminRoute("GET", "/version", "instance.version", "viewer"),
    AdminRoute("POST", "/explain", "explain.run", "viewer"),
    AdminRoute("DELETE", "/cache", "cache.clear", "admin", ("tenant", "key", "id")),
    AdminRoute("GET", "/audit", "audit.index", "viewer", _PAGE),
)
