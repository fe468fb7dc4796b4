"""Losses: what a target cannot take of a request, by class, from one table.

A dialect's client half reports every member that it cannot send. The table gives the
class; the class decides: *adjusted* and *hint* are warnings, *changes* (it would change
the answer) is refused with 400 so that the next target may be tried. Nothing is dropped
without a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from app.canonical.record import record
from app.dialects.shared.loss_paths import CONTAINERS, LOSS_PATHS
from app.errors import GatewayError

LossClass = Literal["adjusted", "hint", "changes"]

LOSS_CLASSES: Final[Mapping[str, LossClass]] = {
    # changes the answer: refused
    "n": "changes",
    "content": "changes",
    "image": "changes",
    "audio": "changes",
    "file": "changes",
    "file_id": "changes",
    "modalities": "changes",
    "speakers": "changes",
    "output_schema": "changes",
    "forced_tool": "changes",
    "custom_tool": "changes",
    "opaque_input": "changes",
    "prompt": "changes",
    "logprobs": "changes",
    "suffix": "changes",
    "tokens_input": "changes",
    "embedding_types": "changes",
    "prompts": "changes",
    "cachedContent": "changes",
    "cached_content": "changes",
    "speech_format": "changes",
    "transcript_format": "changes",
    # adjusted: sent in another form
    "max_tokens": "adjusted",
    "temperature": "adjusted",
    "top_p": "adjusted",
    "reasoning_effort": "adjusted",
    "reasoning_budget": "adjusted",
    "tool_choice": "adjusted",
    "tool_schema": "adjusted",
    "message_name": "adjusted",
    "message_role": "adjusted",
    "output_json": "adjusted",
    "output_constraint": "adjusted",
    "image_detail": "adjusted",
    "tool_result": "adjusted",
    "tool_arguments": "adjusted",
    "voice": "adjusted",
    "speed": "adjusted",
    "image_size": "adjusted",
    "image_form": "adjusted",
    "message_text": "adjusted",
    # everything else is a hint: left out with a warning
}


@record
class Loss:
    """One warning: the client's own member path (None: of several) and a sentence."""

    param: str | None
    message: str


_CONTENT: Final = frozenset({"cachedContent", "cached_content"})
"""Members of one API alone that hold a part of the prompt."""

MAX_LOSSES: Final = 100
"""Warnings of one request; more are counted."""

_LEFT_OUT: Final = " and was left out"
_MAX_NAME: Final = 200  # characters of a client's own member path
_MAX_MESSAGE: Final = 1_000  # characters; a message may quote names that are the client's


def _name(feature: str, path: str) -> str:
    """Name what is lost: a member by its path, what lies deep in one by its feature."""
    return feature.replace("_", " ").capitalize() if path in CONTAINERS else f"'{path}'"


class Losses:
    """Collect the losses of one encoding.

    ``origin`` is the dialect the client wrote, whose member paths are used. ``target``
    names the provider or model in sentences. ``strict`` (x-sluice-strict) turns every
    warning into a refusal; ``warn_only`` names features whose loss a surface's contract makes
    a warning although it changes the answer (TrueFoundry's chat members).
    """

    def __init__(
        self,
        origin: str | None = None,
        *,
        target: str = "this model",
        strict: bool = False,
        warn_only: frozenset[str] = frozenset(),
    ) -> None:
        self._paths = LOSS_PATHS.get(origin or "", {})
        self._target = target
        self._strict = strict
        self._forgiven = warn_only
        self._items: dict[Loss, None] = {}
        self._more = 0

    @property
    def items(self) -> list[Loss]:
        """The losses so far, each once; past ``MAX_LOSSES`` the last one says how many more."""
        more = [Loss(None, f"and {self._more} more")] if self._more else []
        return [*self._items, *more]

    def report(self, feature: str, message: str | None = None, *, param: str | None = None) -> None:
        """Note that ``feature`` is lost or changed.

        ``param`` overrides the client's member path. Raises GatewayError
        ``unsupported_parameter`` when the loss would change the answer, or in strict mode.
        """
        feature = param if param is not None and param in _CONTENT else feature
        path = (self._path_of_extra(param) if feature == "extra" else param) or self._paths.get(
            feature, feature
        )
        path = path[:_MAX_NAME]
        loss_class = "hint" if feature in self._forgiven else LOSS_CLASSES.get(feature, "hint")
        text = (message or f"{_name(feature, path)} is not supported by {self._target}")[:_MAX_MESSAGE]
        refused = loss_class == "changes" or self._strict
        text = self._name_model(text.rstrip("."), named=refused)
        if refused:
            text = text.replace(_LEFT_OUT, "")
            raise GatewayError("unsupported_parameter", f"{text}.", param=path)
        if message is None:
            text += _LEFT_OUT
        loss = Loss(path, f"{text}.")
        if loss in self._items:
            return
        if len(self._items) < MAX_LOSSES:
            self._items[loss] = None
        else:
            self._more += 1

    def _path_of_extra(self, name: str | None) -> str | None:
        """Return where the client wrote a member that no canonical request has."""
        path = self._paths.get(name or "", "")
        return path if path.endswith(f".{name}") else name

    def _name_model(self, text: str, *, named: bool) -> str:
        """Name the model in a sentence that speaks of "this model", and always where it is to be
        ``named``: one of several targets may have refused."""
        for words in ("this model", "This model"):
            text = text.replace(words, self._target)
        return text if not named or self._target in text else f"{text} ({self._target})"
