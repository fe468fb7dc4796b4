"""Pass: a chat body on its way to a provider of chat, and the answer on its way back.

The model, the usage that is asked for and the wrapping of signatures change; whatever
else a body holds stays as it was sent.
"""

from __future__ import annotations

from typing import Any, Final

from app.canonical.request import Signature
from app.canonical.response import Response, Usage
from app.dialects.base import DONE, Frame, PassThrough
from app.dialects.chat.compatibility import fit
from app.dialects.chat.options import ChatOptions
from app.dialects.chat.required import CONSTANT, RequiredMembers
from app.dialects.chat.usage import encode_usage, is_broken_off
from app.dialects.shared.lenient_json import as_dict, count, dicts
from app.dialects.shared.usage_repair import repair_usage
from app.errors import GatewayError

_SAID_AGAIN: Final = frozenset(
    "index delta finish_reason logprobs native_finish_reason stop_reason matched_stop".split()
)
"""What a choice that has finished may hold once more without saying anything new."""


def _without_break(choice: dict[str, Any]) -> dict[str, Any]:
    """Return a choice without the word of a server that broke off: what it said is shown, the
    stream ends in an error."""
    return {**choice, "finish_reason": None} if is_broken_off(choice.get("finish_reason")) else choice


def _is_more_text(choices: Any) -> bool:
    """Tell whether a chunk says more text of one choice, as nearly all do: nothing of it changes."""
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return False
    delta = choices[0].get("delta")
    return (
        isinstance(delta, dict)
        and bool(delta.get("content"))
        and "reasoning_details" not in delta
        and choices[0].get("finish_reason") is None
    )


class ChatPatch:
    """What changes in chat bodies: the model, usage asked for, signatures' wrapping."""

    breaks_fail: Final = True

    def __init__(self, passage: PassThrough) -> None:
        self.is_steady = False
        self._passage = passage
        self._target = passage.client
        options = passage.body.get("stream_options")
        self._asks_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._usage: Any = None
        self._last: dict[str, Any] = {}
        self._required = RequiredMembers(passage)
        self._finished: set[Any] = set()

    def request(self) -> dict[str, Any]:
        """Return the caller's body for the target."""
        forwarded = {name: value for name, value in self._passage.body.items() if name != "fallbacks"}
        forwarded["model"] = self._target.model
        body = fit(forwarded, self._target.options or ChatOptions(), self._target.losses)
        if self._passage.stream:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if isinstance(body.get("messages"), list):
            body["messages"] = [self._message(message) for message in body["messages"]]
        return body

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer with its reasoning details wrapped, and whatever it must have."""
        self._required.fill_answer(body)
        for choice in dicts(body.get("choices")):
            self._wrap(choice.get("message"))
        return body

    def frames(self, event: str | None, data: dict[str, Any]) -> list[Frame]:
        """Return a chunk. Usage is kept for the extra chunk at the end, where it belongs."""
        usage = data.pop("usage", None)
        if self._asks_usage:
            data["usage"] = None
        before, self._last = self._last, data
        is_more_text = usage is None and _is_more_text(data.get("choices"))
        self.is_steady = is_more_text and self._required.is_filled(data, data["choices"][0])
        if self.is_steady:
            return [Frame(None, data)]
        if is_more_text:
            self._required.fill_chunk(data)
            return [Frame(None, data)]
        if not self._required.fill_chunk(data) and usage is None:
            self._last = before
            return []
        choices = dicts(data["choices"])
        data["choices"] = [_without_break(choice) for choice in choices if self._is_news(choice)]
        if usage is not None:
            self._usage = usage
        if not data.get("choices") and (choices or usage is not None):
            return []
        for choice in data.get("choices") or ():
            self._wrap(choice.get("delta"))
        return [Frame(None, data)]

    def _is_news(self, choice: dict[str, Any]) -> bool:
        """Tell whether a choice of a chunk says more than that it has finished once more, as the
        usage chunk of some hosts does."""
        index, delta = count(choice.get("index")), as_dict(choice.get("delta"))
        says = any(value for name, value in delta.items() if name != "role")
        says = says or any(value for name, value in choice.items() if name not in _SAID_AGAIN)
        again = index in self._finished and not says
        if choice.get("finish_reason"):
            self._finished.add(index)
        return not again

    def closing(self, usage: Usage | None) -> list[Frame]:
        """Return the usage chunk, if the caller asked for one, and ``[DONE]``."""
        if not self._asks_usage or usage is None:
            return [DONE]
        chunk = self._last if not self._last.get("choices") else {n: self._last.get(n) for n in CONSTANT}
        last = {**chunk, "choices": [], "usage": self._usage}
        self._required.fill_names(last)
        repair_usage(last, usage, encode_usage)
        return [Frame(None, last), DONE]

    def fail(self, error: GatewayError, answer: Response, usage: Usage | None) -> None:
        """Leave the ending to the encoder: chunks carry no numbers that must go on."""
        return None

    def _message(self, message: Any) -> Any:
        details = message.get("reasoning_details") if isinstance(message, dict) else None
        if not isinstance(details, list):
            return message
        unwrapped = [detail for detail in map(self._unwrap, details) if detail is not None]
        if len(unwrapped) != len(details):
            self._target.losses.report(
                "reasoning_signature", "Reasoning made by another provider was left out.", param="messages"
            )
        return {**message, "reasoning_details": unwrapped}

    def _unwrap(self, detail: Any) -> Any:
        if not isinstance(detail, dict):
            return detail
        changed = dict(detail)
        for slot in ("signature", "data"):
            text = detail.get(slot)
            signature = self._passage.server.unwrap(text) if isinstance(text, str) else None
            if signature is None:
                continue
            if signature.dialect != "chat" or signature.realm not in (None, self._target.realm):
                return None
            changed[slot] = signature.value
        return changed

    def _wrap(self, message: Any) -> None:
        details = message.get("reasoning_details") if isinstance(message, dict) else None
        for detail in details if isinstance(details, list) else ():
            for slot in ("signature", "data"):
                if isinstance(detail, dict) and isinstance(detail.get(slot), str):
                    signature = Signature(detail[slot], "chat", self._target.realm)
                    detail[slot] = self._passage.server.wrap(signature)
