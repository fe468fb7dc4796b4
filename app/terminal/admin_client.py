"""The admin API for commands: called in this process, on the same configuration and database."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from app.config_loading import load
from app.errors import GatewayError
from app.state.audit import Actor
from app.terminal.output import Refusal


@contextmanager
def admin_api(args: argparse.Namespace) -> Iterator[Callable[..., Any]]:
    """Let the block call the admin API as the operator: ``ask(method, path, json=…, query_string=…)``.

    ``ask`` returns the JSON of the answer. It raises ``Refusal`` for an error, with the exit code 2 for a wrong request.
    """
    from app import create_app
    from app.gateway.core import gateway_of
    from app.gateway.layers.log import mute

    mute()
    settings = replace(load(os.environ, args.config), open=False)
    app = create_app(settings)
    client, actor = app.extensions["sluice_admin"].client, Actor("cli", "admin", socket.gethostname())

    def ask(method: str, path: str, **content: Any) -> Any:
        status, answer = client.ask(actor, method, path, **content)
        if status >= 400:
            error = answer["error"]
            faults = [one["message"] for one in error.get("details") or [error]]
            faults += _causes(settings.database_url) if status == 503 else []
            raise Refusal("\n".join(faults), 2 if status == 400 else 1)
        return answer

    try:
        yield ask
    finally:
        gateway_of(app).close()


def _causes(url: str) -> list[str]:
    """Return why the database cannot be opened, which the API tells no caller; nothing if it can."""
    from app.state.database import condition

    try:
        condition(url)
    except GatewayError as error:
        return [str(error.raw)]
    return []


def ask_once(args: argparse.Namespace, method: str, path: str, **content: Any) -> Any:
    """Return the JSON of one answer; raise ``Refusal`` for an error."""
    with admin_api(args) as ask:
        return ask(method, path, **content)


def filters_of(texts: list[str]) -> dict[str, str]:
    """Return the query of filters that are written ``name=value``."""
    for text in texts:
        if "=" not in text:
            raise Refusal(f"'{text}' is not a filter; filters are written name=value")
    return dict(text.split("=", 1) for text in texts)
