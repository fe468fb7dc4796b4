"""Comparing vectors in the database: with pgvector, where it is installed.

Vectors are stored as numbers of single precision, so that no table depends on an extension.

Source: https://github.com/pgvector/pgvector (0.8): ``<=>`` is the cosine distance; two lengths are an error, and a vector has at
most 16,000 numbers. Tests: tests/governance/test_pgvector.py.
"""

from __future__ import annotations

import struct
from typing import Final

from sqlalchemy import ARRAY, REAL, Connection, bindparam, text

_LONGEST: Final = 16_000
# An extension in a schema outside the search path cannot be used.
_INSTALLED: Final = text(
    "SELECT to_regtype('vector') IS NOT NULL AND EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
)
# CASE, because no other form guarantees that lengths are compared first. NaN sorts after the numbers.
_NEAREST: Final = text(
    """
    SELECT id, 1 - distance FROM (
        SELECT id, CASE WHEN cardinality(numbers) = :length
                        THEN CAST(numbers AS vector) <=> CAST(CAST(:numbers AS real[]) AS vector) END AS distance
        FROM (
            SELECT id, numbers FROM cached_answer
            WHERE meaning = :meaning AND numbers IS NOT NULL AND expires_at > EXTRACT(EPOCH FROM now())
            ORDER BY made_at DESC LIMIT :newest
        ) AS kept
    ) AS compared
    WHERE distance IS NOT NULL ORDER BY distance LIMIT :most
    """
).bindparams(bindparam("numbers", type_=ARRAY(REAL)))


def is_installed(connection: Connection) -> bool:
    """Tell whether this database compares vectors."""
    return connection.dialect.name == "postgresql" and bool(connection.execute(_INSTALLED).scalar())


def numbers_of(vector: bytes | None) -> list[float] | None:
    """Return the numbers of a vector of little-endian half-precision floats; None for more than can be compared."""
    count = len(vector or b"") // 2
    return list(struct.unpack(f"<{count}e", vector)) if vector and count <= _LONGEST else None


def nearest(
    connection: Connection, meaning: str, vector: bytes, newest: int, most: int
) -> list[tuple[str, float]]:
    """Return the ``most`` nearest of the ``newest`` answers of a meaning, with the cosine, the nearest first."""
    numbers = numbers_of(vector)
    if numbers is None:
        return []
    values = {"numbers": numbers, "length": len(numbers), "meaning": meaning, "newest": newest, "most": most}
    return [(row[0], row[1]) for row in connection.execute(_NEAREST, values)]
