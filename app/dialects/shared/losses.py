"""Losses: features of a request that its target does not support, with the class of each.

A dialect reports every feature that it cannot encode. A loss of class *adjusted* or *hint* is a
warning. A loss of class *changes* would change the answer: the request is refused with 400, so
that the next target can be tried. Content of an answer that the client's API has no place for is a
warning, too (``answer_losses``). Nothing is dropped without a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from app.canonical.record import record
from app.dialects.shared.body_paths import BodyPaths
from app.dialects.shared.loss_paths import CONTAINERS, LOSS_PATHS
from app.errors import GatewayError

LossClass = Literal["adjusted", "hint", "changes"]

LOSS_CLASSES: Final[Mapping[str, LossClass]] = {
    # would change the answer: refused
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
    # every other feature is a hint: dropped with a warning
}


@record
class Loss:
    """One warning: the path of the client's member (None if it concerns several), and a sentence."""

    param: str | None
    message: str


def warning_rows(losses: Iterable[Loss]) -> list[dict[str, str | None]]:
    """Return losses as the warnings of an answer."""
    return [{"param": loss.param, "message": loss.message} for loss in losses]


_CONTENT: Final = frozenset({"cachedContent", "cached_content"})
"""Members of Gemini's API that hold a part of the prompt."""

MAX_LOSSES: Final = 100
"""Number of warnings of one request that are kept; further ones are only counted."""

_LEFT_OUT: Final = " and was left out"
_MAX_NAME: Final = 200  # characters of the path of a client's member
_MAX_MESSAGE: Final = 1_000  # characters of a message, which may quote names from the client's body


def _name(feature: str, path: str) -> str:
    """Return the subject of a report: the quoted path of a member, or the feature within messages or tools."""
    is_within = path in CONTAINERS and feature != path
    return feature.replace("_", " ").capitalize() if is_within else f"'{path}'"


class Losses:
    """Collects the losses of encoding one request, and those of its answer.

    ``origin`` is the dialect of the client's ``body``, which determines the member paths. ``target``
    names the model in messages. With ``strict`` (header ``x-sluice-strict``) every loss is refused.
    The features in ``warn_only`` are warnings although their loss changes the answer, because the
    surface documents them as optional (TrueFoundry's chat members). Those in ``provided`` are no losses: the
    gateway did what they ask for. An answer that ``passes`` loses nothing, whatever its decoder cannot read.
    """

    passes = False

    def __init__(
        self,
        origin: str | None = None,
        *,
        target: str = "this model",
        strict: bool = False,
        warn_only: frozenset[str] = frozenset(),
        provided: frozenset[str] = frozenset(),
        body: Mapping[str, Any] | None = None,
    ) -> None:
        self._body = BodyPaths(body) if body is not None else None
        self._paths = LOSS_PATHS.get(origin or "", {})
        self._target = target
        self._strict = strict
        self._warn_only = warn_only
        self._offers = provided
        self._items: dict[Loss, None] = {}
        self._surplus = 0

    @property
    def items(self) -> list[Loss]:
        """The warnings so far, without repetitions; beyond ``MAX_LOSSES`` the last one counts the rest."""
        return [*self._items, *([Loss(None, f"and {self._surplus} more")] if self._surplus else [])]

    def report(self, feature: str, message: str | None = None, *, param: str | None = None) -> None:
        """Record that ``feature`` is dropped or changed.

        ``message`` is a sentence without a full stop, None for the usual one; "this model" in it
        is replaced by the name of the target. ``param`` overrides the path of the client's member.
        Raises GatewayError ``unsupported_parameter`` if the loss would change the answer, or in
        strict mode.
        """
        if feature in self._offers:
            return
        feature = param if param is not None and param in _CONTENT else feature
        path = self._path_of_extra(param) if feature == "extra" else param
        path = path or self._paths.get(feature, feature)
        path = (self._body.find(path) if self._body is not None else path)[:_MAX_NAME]
        loss_class = "hint" if feature in self._warn_only else LOSS_CLASSES.get(feature, "hint")
        text = (message or f"{_name(feature, path)} is not supported by {self._target}")[:_MAX_MESSAGE]
        refuses = loss_class == "changes" or self._strict
        text = self._name_model(text.rstrip("."), always=refuses)
        if refuses:
            text = text.replace(_LEFT_OUT, "")
            raise GatewayError("unsupported_parameter", f"{text}.", param=path)
        self._add(Loss(path, f"{text}{_LEFT_OUT if message is None else ''}."))

    def report_answer(self, thing: str) -> None:
        """Record that the answer had ``thing``, which the client does not get. An answer is never refused for that."""
        if not self.passes:
            what = f"The provider sent {thing[:_MAX_NAME]}, for which this API has no place"
            self._add(Loss(None, f"{what}; this was left out."))

    def _add(self, loss: Loss) -> None:
        if loss in self._items:
            return
        if len(self._items) < MAX_LOSSES:
            self._items[loss] = None
        else:
            self._surplus += 1

    def report_member(self, name: str) -> None:
        """Record that a member of the client's body that the canonical request does not have is dropped."""
        self.report(name, param=self._path_of_extra(name))

    def _path_of_extra(self, name: str | None) -> str | None:
        """Return the client's path of such a member."""
        path = self._paths.get(name or "", "")
        return path if path.endswith(f".{name}") else name

    def _name_model(self, text: str, *, always: bool) -> str:
        """Replace "this model" by the name of the target; with ``always``, append the name if it is missing.

        A refusal always names it, because the request may have had several targets.
        """
        text = text.replace("this model", self._target).replace("This model", self._target)
        return text if not always or self._target in text else f"{text} ({self._target})"
