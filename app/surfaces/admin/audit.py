"""The view of ``/admin/audit``."""

from __future__ import annotations

from flask import Response

from app.surfaces.admin import requests


def index() -> Response:
    """List the changes, the newest first."""
    return requests.list_response(requests.state().audit.page(*requests.page_query()))
