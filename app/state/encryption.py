"""Columns of bytes that go through a cipher: `app.state.cipher` says how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Dialect, Engine, LargeBinary, TypeDecorator

from app.state.cipher import Cipher

_ATTRIBUTE: Final = "sluice_cipher"


class SealedBytes(TypeDecorator[bytes]):
    """A column of bytes that goes through the cipher of its engine."""

    impl = LargeBinary
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[bytes | None], bytes | None]:
        """Return the function that seals a value for the database."""
        write = _cipher_of(dialect).write
        return lambda value: None if value is None else write(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:
        """Return a value from the database, unsealed."""
        return value if value is None else _cipher_of(dialect).read(bytes(value))


def use_cipher(engine: Engine, cipher: Cipher) -> Engine:
    """Let an engine's sealed columns go through ``cipher``; return the engine."""
    setattr(engine.dialect, _ATTRIBUTE, cipher)
    return engine


def _cipher_of(dialect: Dialect) -> Cipher:
    cipher: Cipher | None = getattr(dialect, _ATTRIBUTE, None)
    return cipher or _PLAIN


#: For engines that were given no cipher: migrations, and tests of the database alone.
_PLAIN: Final = Cipher((), seals=False)
