"""Flask blueprints, one for each mount, made from the mount's row and one table of routes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from flask import Blueprint, Response

from app.surfaces import conversations, generation, media, models, prompts, responses, stored
from app.surfaces.mounts import MOUNTS, Mount

View = Callable[..., Response]

_CONVERSATION: Final = "/conversations/<conversation_id>"

_ROUTES: Final[tuple[tuple[str, str, View], ...]] = (
    ("POST", "/responses", responses.create),
    ("POST", "/responses/input_tokens", prompts.input_tokens),
    ("POST", "/responses/compact", prompts.compact),
    ("GET", "/responses/<response_id>", stored.retrieve),
    ("DELETE", "/responses/<response_id>", stored.delete),
    ("POST", "/responses/<response_id>/cancel", stored.cancel),
    ("GET", "/responses/<response_id>/input_items", stored.input_items),
    ("POST", "/conversations", conversations.create),
    ("GET", _CONVERSATION, conversations.get),
    ("POST", _CONVERSATION, conversations.update),
    ("DELETE", _CONVERSATION, conversations.delete),
    ("POST", _CONVERSATION + "/items", conversations.add_items),
    ("GET", _CONVERSATION + "/items", conversations.list_items),
    ("GET", _CONVERSATION + "/items/<item_id>", conversations.get_item),
    ("DELETE", _CONVERSATION + "/items/<item_id>", conversations.delete_item),
    ("POST", "/chat/completions", generation.chat),
    ("POST", "/completions", generation.completion),
    ("GET", "/models", models.listed),
    ("GET", "/models/<path:model_id>", models.one),
    ("POST", "/embeddings", media.embedding),
    ("POST", "/audio/speech", media.speech),
    ("POST", "/audio/transcriptions", media.transcription),
)
"""Method, path below a prefix, view."""


def make_blueprint(mount: Mount) -> Blueprint:
    """Return the blueprint that serves ``mount`` at all its prefixes."""
    blueprint = Blueprint(mount.name, __name__)
    for number, prefix in enumerate(mount.prefixes):
        for method, path, view in _ROUTES:
            name = f"{view.__module__.rpartition('.')[2]}_{view.__name__}"
            blueprint.add_url_rule(
                prefix + path,
                endpoint=f"{name}_{number}",
                view_func=_bound(view, mount),
                methods=[method],
                provide_automatic_options=False,
            )
    return blueprint


def _bound(view: View, mount: Mount) -> Callable[..., Any]:
    return partial(view, mount)


def blueprints() -> list[Blueprint]:
    """Return the blueprints of all mounts."""
    return [make_blueprint(mount) for mount in MOUNTS]
