"""The rules of chat streams, which the conformance command applies as well."""

from app.conformance.chat_stream import DONE, check_chat_stream

__all__ = ["DONE", "check_chat_stream"]
