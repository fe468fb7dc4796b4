"""The grammar of chat streams, as OpenAI's and Azure's streams follow it (recorded traffic)."""

from __future__ import annotations

from app.conformance.grammar import Grammar, Json

DONE = "[DONE]"
CHAT_CONSTANT = ("id", "object", "created", "model")
"""Members that all chunks of a stream share."""
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
    """Return every broken rule of a whole chat stream: parsed chunks and a last ``"[DONE]"``.

    After a chunk with ``error`` only ``[DONE]`` may come, and choices need no ``finish_reason``.
    """
    return _ChatGrammar().check(chunks)


class _ChatGrammar(Grammar):
    def __init__(self) -> None:
        super().__init__()
        self.constant: Json = {}
        self.finished: dict[int, bool] = {}  # by the choice's index
        self.calls: dict[int, int] = {}  # tool calls so far, by the choice's index
        self.usage = False
        self.error = False

    def check(self, chunks: list[Json | str]) -> list[str]:
        self.where = "end"
        self.expect({f"{DONE} is not last": chunks[-1:] == [DONE]})
        for number, chunk in enumerate(chunks):
            self.where = str(number)
            if isinstance(chunk, str):
                self.expect({f"{chunk} in the middle": chunk == DONE and number == len(chunks) - 1})
                continue
            self.expect(
                {"comes after an error": not self.error, "comes after the usage chunk": not self.usage}
            )
            if "error" in chunk:
                self.error = True
                self.expect({"the error has no message": chunk["error"].get("message")})
            else:
                self.check_chunk(chunk)
        self.where = "end"
        self.expect(
            {
                "a choice is unfinished": self.error or all(self.finished.values()),
                "no choice came": self.error or self.finished,
                "choice indices have a gap": sorted(self.finished) == list(range(len(self.finished))),
            }
        )
        return self.violations

    def check_chunk(self, chunk: Json) -> None:
        choices = chunk["choices"]
        if "prompt_filter_results" in chunk and not choices:
            self.expect({"prompt_filter_results come late": not self.finished})
            return  # Azure's own first chunk, without id, object and model
        members = {name: chunk.get(name) for name in CHAT_CONSTANT}
        self.constant = self.constant or members
        self.usage = chunk.get("usage") is not None
        self.expect(
            {
                "id, object, created or model changed": members == self.constant,
                f"object is {members['object']}": members["object"] == "chat.completion.chunk",
                "id, created or model is missing": None not in members.values(),
                "usage comes with choices": not (self.usage and choices),
                "no choices and no usage": choices or self.usage,
            }
        )
        for choice in choices:
            self.check_choice(choice)

    def check_choice(self, choice: Json) -> None:
        index, delta = choice["index"], choice["delta"]
        if index not in self.finished:
            self.expect({"the choice's first chunk has no role": delta.get("role") == "assistant"})
            self.finished[index] = False
        elif self.finished[index]:
            self.expect({"content comes after finish_reason": not any(map(delta.get, CHAT_CONTENT))})
        for call in delta.get("tool_calls") or []:
            self.check_call(index, call)
        if (reason := choice.get("finish_reason")) is not None:
            self.expect(
                {
                    "finish_reason came twice": not self.finished[index],
                    f"finish_reason is {reason}": reason in CHAT_FINISH,
                }
            )
            self.finished[index] = True

    def check_call(self, choice: int, call: Json) -> None:
        """A new index is the next one and has id, type and name; a known one has only arguments."""
        count = self.calls.setdefault(choice, 0)
        kind = call.get("type") or ("custom" if "custom" in call else "function")
        body = call.get(kind) or {}
        text = body.get("input" if kind == "custom" else "arguments")
        self.expect({"arguments are no text": isinstance(text, str | None)})
        if call.get("index") == count:
            self.calls[choice] += 1
            self.expect(
                {
                    "a new call has no id": call.get("id"),
                    "a new call has no type": kind in ("function", "custom") and call.get("type"),
                    "a new call has no name": body.get("name"),
                }
            )
            return
        self.expect(
            {
                f"call index {call.get('index')} is out of order": call.get("index") in range(count),
                "id or name came again": not call.get("id") and not body.get("name"),
            }
        )
