"""Order rules of chat streams, as OpenAI and Azure keep them. The check returns what was broken."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
DONE = "[DONE]"
CHAT_CONSTANT = ("id", "object", "created", "model")
CHAT_FINISH = {"stop", "length", "tool_calls", "content_filter", "function_call"}
CHAT_CONTENT = (
    "content",
    "refusal",
    "tool_calls",
    "function_call",
    "reasoning",
    "reasoning_content",
    "audio",
)


def check_chat_stream(chunks: list[Json | str]) -> list[str]:
    """Name every broken rule of a whole chat stream, given as parsed chunks and a last ``"[DONE]"``.

    After a chunk with ``error`` only ``[DONE]`` may come, and no choice need be finished.
    """
    return _Chat().check(chunks)


class _Chat:
    def __init__(self) -> None:
        self.broken: list[str] = []
        self.where = ""
        self.constant: Json = {}
        self.finished: dict[int, bool] = {}
        self.calls: dict[int, int] = {}
        self.usage = False
        self.error = False

    def say(self, words: str) -> None:
        self.broken.append(f"{self.where}: {words}")

    def expect(self, holds: bool, words: str) -> None:
        if not holds:
            self.say(words)

    def check(self, chunks: list[Json | str]) -> list[str]:
        self.where = "end"
        self.expect(chunks[-1:] == [DONE], f"{DONE} is not last")
        for number, chunk in enumerate(chunks):
            self.where = str(number)
            if isinstance(chunk, str):
                self.expect(chunk == DONE and number == len(chunks) - 1, f"{chunk} in the middle")
                continue
            self.expect(not self.error, "comes after an error")
            self.expect(not self.usage, "comes after the usage chunk")
            if "error" in chunk:
                self.error = True
                self.expect(bool(chunk["error"].get("message")), "the error has no message")
                continue
            self.chunk(chunk)
        self.where = "end"
        self.expect(self.error or all(self.finished.values()), "a choice is unfinished")
        self.expect(self.error or bool(self.finished), "no choice came")
        self.expect(sorted(self.finished) == list(range(len(self.finished))), "choice indices have a gap")
        return self.broken

    def chunk(self, chunk: Json) -> None:
        if "prompt_filter_results" in chunk and not chunk["choices"]:
            self.expect(not self.finished, "prompt_filter_results come late")
            return  # Azure's own first chunk, without id, object and model
        held = {name: chunk.get(name) for name in CHAT_CONSTANT}
        self.constant = self.constant or held
        self.expect(held == self.constant, "id, object, created or model changed")
        self.expect(held["object"] == "chat.completion.chunk", f"object is {held['object']}")
        self.expect(None not in held.values(), "id, created or model is missing")
        self.usage = chunk.get("usage") is not None
        choices = chunk["choices"]
        self.expect(not (self.usage and choices), "usage comes with choices")
        self.expect(bool(choices) or self.usage, "no choices and no usage")
        for choice in choices:
            self.choice(choice)

    def choice(self, choice: Json) -> None:
        index, delta = choice["index"], choice["delta"]
        if index not in self.finished:
            self.expect(delta.get("role") == "assistant", "the choice's first chunk has no role")
            self.finished[index] = False
        elif self.finished[index]:
            later = any(delta.get(name) for name in CHAT_CONTENT)
            self.expect(not later, "content comes after finish_reason")
        for call in delta.get("tool_calls") or []:
            self.call(index, call)
        if (reason := choice.get("finish_reason")) is not None:
            self.expect(not self.finished[index], "finish_reason came twice")
            self.expect(reason in CHAT_FINISH, f"finish_reason is {reason}")
            self.finished[index] = True

    def call(self, choice: int, call: Json) -> None:
        """A new index is the next one and brings id, type and name; a known one brings only arguments."""
        known = self.calls.setdefault(choice, 0)
        kind = call.get("type") or ("custom" if "custom" in call else "function")
        body = call.get(kind) or {}
        text = body.get("input" if kind == "custom" else "arguments")
        self.expect(text is None or isinstance(text, str), "arguments are no text")
        if call.get("index") == known:
            self.calls[choice] += 1
            self.expect(bool(call.get("id")), "a new call has no id")
            self.expect(kind in ("function", "custom") and bool(call.get("type")), "a new call has no type")
            self.expect(bool(body.get("name")), "a new call has no name")
            return
        self.expect(call.get("index") in range(known), f"call index {call.get('index')} is out of order")
        self.expect(not call.get("id") and not body.get("name"), "id or name came again")
