"""The paths below ``/ui``: one row each. A row that is not public requires a session."""

from __future__ import annotations

from typing import Final

from app.canonical.record import record


@record
class WindowRoute:
    """One path; ``view`` is a function below ``app.surfaces.ui``."""

    method: str
    path: str
    view: str
    public: bool = False


@record
class Place:
    """One entry of the navigation."""

    name: str
    path: str
    title: str


ROUTES: Final = (
    WindowRoute("GET", "/static/<mark>/<name>", "rendering.asset", public=True),
    WindowRoute("GET", "/login", "login.form", public=True),
    WindowRoute("POST", "/login", "login.log_in", public=True),
    WindowRoute("GET", "/link/<token>", "login.follow", public=True),
    WindowRoute("POST", "/logout", "login.log_out"),
    WindowRoute("GET", "/", "pages.overview.index"),
    WindowRoute("GET", "/overview/figures", "pages.overview.figures"),
    WindowRoute("GET", "/calls", "pages.calls.index"),
    WindowRoute("GET", "/calls/newest", "pages.calls.newest"),
    WindowRoute("GET", "/calls/<call_id>", "pages.calls.show"),
    WindowRoute("GET", "/background", "pages.background.index"),
    WindowRoute("GET", "/background/figures", "pages.background.figures"),
    WindowRoute("GET", "/providers", "pages.providers.index"),
    WindowRoute("POST", "/providers/<name>/check", "pages.providers.check"),
    WindowRoute("GET", "/responses", "pages.stored.responses"),
    WindowRoute("GET", "/responses/<response_id>", "pages.stored.response"),
    WindowRoute("GET", "/conversations", "pages.stored.conversations"),
    WindowRoute("GET", "/conversations/<conversation_id>", "pages.stored.conversation"),
    WindowRoute("GET", "/keys", "pages.keys.index"),
    WindowRoute("POST", "/keys", "pages.keys.create"),
    WindowRoute("GET", "/keys/<key_id>", "pages.keys.show"),
    WindowRoute("POST", "/keys/<key_id>/rotate", "pages.keys.rotate"),
    WindowRoute("POST", "/keys/<key_id>/enable", "pages.keys.enable"),
    WindowRoute("POST", "/keys/<key_id>/revoke", "pages.keys.revoke"),
    WindowRoute("POST", "/tenants", "pages.keys.create_tenant"),
    WindowRoute("POST", "/tenants/<name>/delete", "pages.keys.delete_tenant"),
    WindowRoute("GET", "/models", "pages.models.index"),
    WindowRoute("GET", "/playground", "pages.playground.index"),
    WindowRoute("POST", "/playground", "pages.playground.run"),
    WindowRoute("GET", "/settings", "pages.settings.index"),
    WindowRoute("POST", "/settings/doctor", "pages.settings.examine"),
)

PLACES: Final = (
    Place("overview", "/", "Overview"),
    Place("calls", "/calls", "Calls"),
    Place("background", "/background", "Background"),
    Place("providers", "/providers", "Providers"),
    Place("responses", "/responses", "Responses"),
    Place("models", "/models", "Models"),
    Place("keys", "/keys", "Keys"),
    Place("playground", "/playground", "Playground"),
    Place("settings", "/settings", "Settings"),
)
