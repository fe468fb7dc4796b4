"""The table of cached answers; ``tables`` has all tables."""

from __future__ import annotations

from sqlalchemy import ARRAY, REAL, BigInteger, Column, Double, Index, LargeBinary, Table, Text

from app.state.encryption import SealedBytes
from app.state.schema import metadata

# An answer in the gateway's cache, under the digest of its question. ``scope`` is a digest, too. ``vector`` is that
# of the question if similar ones are compared, among those of one ``meaning``, from ``made_at`` on; if the database
# compares them itself, the vector is in ``numbers`` instead.
cached_answer = Table(
    "cached_answer",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("response_id", Text),
    Column("size", BigInteger, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("body", SealedBytes, nullable=False),
    Column("meaning", Text),
    Column("made_at", Double),
    Column("vector", SealedBytes),
    Column("numbers", ARRAY(REAL).with_variant(LargeBinary, "sqlite")),
    Index("cached_answer_expires_at", "expires_at"),
    Index("cached_answer_meaning", "meaning", "made_at"),
    Index("cached_answer_tenant", "tenant"),
    Index("cached_answer_response_id", "response_id"),
)
