"""The errors of files and batches for clients, in OpenAI's format (https://platform.openai.com/docs/api-reference/files, read 2026-11)."""

from __future__ import annotations

from typing import Final

from app.dialects.base import Row
from app.dialects.chat.errors import decode_error

NAME: Final = "files"

DIALECT: Final = Row(name=NAME, decode_error=decode_error)
