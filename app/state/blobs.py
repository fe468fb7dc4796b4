"""Large data URLs are stored beside the items, once for each tenant.

A string ``data:…`` of more than 64 KiB is taken out of an item before the item is stored, and put back character for
character when it is read. Its place takes a mark, an object with the member ``sluice:blob``. A client's own member of
that name is stored with a prefix, so that nothing a client sends is taken for a mark. The table `blob_use` says who needs
a blob; a blob is deleted with its last user.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, func, select

from app.canonical.record import record
from app.state.tables import blob, blob_use
from app.state.upserts import insert_new

LARGE: Final = 64 * 1024
_MARK: Final = "sluice:blob"
_PREFIX: Final = "sluice:"
_PREFIXED: Final = re.compile(r"(?:sluice:)+blob")
_TRACE: Final = b'sluice:blob"'
_MARKED: Final = re.compile(rb'"sluice:blob":\s?"([0-9a-f]{64})"')


@record
class Blob:
    """A file taken out of an item: its digest, its media type and its bytes."""

    sha256: str
    media_type: str
    data: bytes


def detach(value: Any, blobs: dict[str, Blob]) -> Any:
    """Return ``value`` with its large data URLs replaced by marks; add them to ``blobs``."""
    if isinstance(value, str):
        is_large = len(value) > LARGE and value.startswith("data:")
        return _detach_url(value, blobs) if is_large else value
    if isinstance(value, dict):
        return {
            (key if key[-4:] != "blob" else _escape(key)): detach(member, blobs)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [detach(member, blobs) for member in value]
    return value


def may_detach(body: bytes) -> bool:
    """Tell whether ``detach`` may change what is ``body`` as JSON."""
    return _TRACE in body or (len(body) > LARGE and b'"data:' in body)


def holds_marks(body: bytes) -> bool:
    """Tell whether a stored body must go through `attach` to be what its client sent."""
    return _TRACE in body


def attach(value: Any, blobs: Mapping[str, bytes]) -> Any:
    """Return ``value`` with its marks replaced by their data URLs, and without the prefixes.

    A mark without a blob stays: rows from before the prefix hold what clients sent.
    """
    if isinstance(value, dict):
        digest = value.get(_MARK)
        if isinstance(digest, str) and digest in blobs:
            return _url(value, blobs[digest])
        return {_unescape(key): attach(member, blobs) for key, member in value.items()}
    if isinstance(value, list):
        return [attach(member, blobs) for member in value]
    return value


def keep(connection: Connection, tenant: str, owner_id: str, blobs: Sequence[Blob]) -> None:
    """Store ``blobs`` and note that ``owner_id`` (a response or conversation) needs them."""
    rows = [
        {"tenant": tenant, "sha256": one.sha256, "media_type": one.media_type, "bytes": one.data}
        for one in blobs
    ]
    insert_new(connection, blob, rows)
    use(connection, tenant, owner_id, [one.sha256 for one in blobs])


def use(connection: Connection, tenant: str, owner_id: str, digests: Iterable[str]) -> None:
    """Note that ``owner_id`` needs blobs that are stored already."""
    rows = [{"owner_id": owner_id, "sha256": digest, "tenant": tenant} for digest in set(digests)]
    insert_new(connection, blob_use, rows)


def find_marks(bodies: Iterable[bytes]) -> set[str]:
    """Return the digests that stored item bodies mention."""
    return {match.decode() for body in bodies for match in _MARKED.findall(body)}


def expanded_bytes(connection: Connection, tenant: str, bodies: Iterable[bytes]) -> int:
    """Return by how many bytes ``bodies`` grow when their blobs are put back, without reading any."""
    mentions = Counter(match.decode() for body in bodies for match in _MARKED.findall(body))
    if not mentions:
        return 0
    rows = connection.execute(
        select(blob.c.sha256, func.length(blob.c.bytes)).where(
            blob.c.tenant == tenant, blob.c.sha256.in_(mentions)
        )
    )
    return sum(mentions[digest] * size * 4 // 3 for digest, size in rows)


def fetch(connection: Connection, tenant: str, bodies: Sequence[bytes]) -> dict[str, bytes]:
    """Read the blobs that ``bodies`` mention, by digest."""
    digests = find_marks(bodies)
    if not digests:
        return {}
    rows = connection.execute(
        select(blob.c.sha256, blob.c.bytes).where(blob.c.tenant == tenant, blob.c.sha256.in_(digests))
    )
    return {row.sha256: bytes(row.bytes) for row in rows}


def release(connection: Connection, owner_ids: Sequence[str]) -> None:
    """Delete the uses of blobs by ``owner_ids``, and the blobs that nobody uses then."""
    references = connection.execute(
        select(blob_use.c.tenant, blob_use.c.sha256).where(blob_use.c.owner_id.in_(owner_ids))
    ).all()
    if not references:
        return
    connection.execute(delete(blob_use).where(blob_use.c.owner_id.in_(owner_ids)))
    for tenant, digest in references:
        connection.execute(
            delete(blob).where(
                blob.c.tenant == tenant,
                blob.c.sha256 == digest,
                ~exists().where(blob_use.c.tenant == tenant, blob_use.c.sha256 == digest),
            )
        )


def _escape(name: str) -> str:
    return _PREFIX + name if _PREFIXED.fullmatch(name) else name


def _unescape(name: str) -> str:
    return name.removeprefix(_PREFIX) if name != _MARK and _PREFIXED.fullmatch(name) else name


def _detach_url(url: str, blobs: dict[str, Blob]) -> Any:
    prefix, comma, content = url.partition(",")
    if not comma:
        return url
    data = _decode(content) if prefix.endswith(";base64") else None
    encoding = "text" if data is None else "base64"
    if data is None:
        data = content.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(data).hexdigest()
    media_type = prefix.removeprefix("data:").split(";")[0]
    blobs[digest] = Blob(digest, media_type, data)
    return {_MARK: digest, "prefix": prefix + comma, "encoding": encoding}


def _decode(content: str) -> bytes | None:
    """Return the bytes when encoding them again gives exactly ``content``."""
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data) == content.encode() else None


def _url(mark: Mapping[str, Any], data: bytes) -> str:
    prefix = str(mark.get("prefix", ""))
    if mark.get("encoding") == "base64":
        return prefix + base64.b64encode(data).decode()
    return prefix + data.decode("utf-8", "surrogatepass")
