"""The views of ``/admin/ledger``: costs of attempts, and corrections of lost or estimated ones."""

from __future__ import annotations

from typing import Any

from flask import Response

from app.config_loading.ledger import CorrectionSchema
from app.errors import GatewayError
from app.gateway.budgets.corrections import STATES, correct
from app.state.ledger import FILTERS
from app.surfaces.admin import requests
from app.surfaces.replies.answers import json_response


def index() -> Response:
    """List the rows, the newest first."""
    page = requests.state().ledger.page(*requests.page_query(), _filters(), requests.span())
    return requests.list_response(page)


def get(entry_id: str) -> Response:
    """Show a row."""
    return json_response(requests.state().ledger.get(entry_id))


def settle(entry_id: str) -> Response:
    """Correct a lost or estimated row; answer with the correcting row."""
    members = requests.valid_body(CorrectionSchema)
    return requests.creation_response(correct(requests.gateway(), requests.actor(), entry_id, members))


def _filters() -> dict[str, Any]:
    filters = requests.filters(FILTERS)
    if filters.get("state", STATES[0]) not in STATES:
        raise GatewayError(
            "bad_request",
            f"Invalid 'state': expected one of {', '.join(STATES)}.",
            param="state",
            code="invalid_value",
        )
    return filters
