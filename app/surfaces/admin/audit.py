"""The view of ``/admin/audit``."""

from __future__ import annotations

from flask import Response

from app.surfaces.admin import asking


def listed() -> Response:
    """List the changes, the newest first."""
    return asking.listed(asking.gateway().state().audit.page(*asking.page_query()))
