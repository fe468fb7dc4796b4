"""The paths below ``/admin``: one row each, with the role that may call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Role = Literal["admin", "viewer"]


@dataclass(frozen=True, slots=True)
class AdminRoute:
    """One path; ``view`` is a function below ``app.surfaces.admin``. A viewer's path serves an administrator, too."""

    method: str
    path: str
    view: str
    role: Role


ROUTES: Final = (
    AdminRoute("GET", "/keys", "keys.listed", "viewer"),
    AdminRoute("POST", "/keys", "keys.create", "admin"),
    AdminRoute("GET", "/keys/<key_id>", "keys.get", "viewer"),
    AdminRoute("PATCH", "/keys/<key_id>", "keys.change", "admin"),
    AdminRoute("DELETE", "/keys/<key_id>", "keys.delete", "admin"),
    AdminRoute("POST", "/keys/<key_id>/rotate", "keys.rotate", "admin"),
    AdminRoute("GET", "/tenants", "tenants.listed", "viewer"),
    AdminRoute("POST", "/tenants", "tenants.create", "admin"),
    AdminRoute("GET", "/tenants/<name>", "tenants.get", "viewer"),
    AdminRoute("PATCH", "/tenants/<name>", "tenants.change", "admin"),
    AdminRoute("DELETE", "/tenants/<name>", "tenants.delete", "admin"),
    AdminRoute("GET", "/admins", "admins.listed", "viewer"),
    AdminRoute("POST", "/admins", "admins.create", "admin"),
    AdminRoute("DELETE", "/admins/<admin_id>", "admins.delete", "admin"),
    AdminRoute("GET", "/calls", "calls.listed", "viewer"),
    AdminRoute("GET", "/calls.csv", "calls.as_csv", "viewer"),
    AdminRoute("GET", "/calls.jsonl", "calls.as_jsonl", "viewer"),
    AdminRoute("GET", "/calls/<call_id>", "calls.get", "viewer"),
    AdminRoute("GET", "/usage", "usage.summed", "viewer"),
    AdminRoute("GET", "/ledger", "ledger.listed", "viewer"),
    AdminRoute("GET", "/ledger/<entry_id>", "ledger.get", "viewer"),
    AdminRoute("POST", "/ledger/<entry_id>/settle", "ledger.settle", "admin"),
    AdminRoute("GET", "/providers", "providers.listed", "viewer"),
    AdminRoute("POST", "/providers/<name>/check", "providers.check", "admin"),
    AdminRoute("GET", "/events", "events.stream", "viewer"),
    AdminRoute("GET", "/responses", "stored.responses", "viewer"),
    AdminRoute("GET", "/responses/<response_id>", "stored.response", "viewer"),
    AdminRoute("GET", "/conversations", "stored.conversations", "viewer"),
    AdminRoute("GET", "/conversations/<conversation_id>", "stored.conversation", "viewer"),
    AdminRoute("GET", "/conversations/<conversation_id>/items", "stored.items", "viewer"),
    AdminRoute("GET", "/background", "instance.background", "viewer"),
    AdminRoute("GET", "/settings", "instance.settings", "viewer"),
    AdminRoute("GET", "/version", "instance.version", "viewer"),
    AdminRoute("POST", "/explain", "explain.explained", "viewer"),
    AdminRoute("DELETE", "/cache", "cache.clear", "admin"),
    AdminRoute("GET", "/audit", "audit.listed", "viewer"),
)
