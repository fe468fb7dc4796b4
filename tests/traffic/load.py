"""Finds the recordings and hands them out as plain exchanges. Knows the file format, no wire.

One JSON file per HTTP exchange, at ``<provider>/<operation>/<id>.json``: recordings, where they lie beside the
project, and the fixtures in ``made``, which are always there.
"""

import base64
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT.parent / "shared" / "traffic"
MADE = Path(__file__).resolve().parent / "made"
EVENT_STREAM = "application/vnd.amazon.eventstream"
REAL = frozenset({"wire", "reserialized", "made"})


@lru_cache(maxsize=8)
def _document(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        document: dict[str, Any] = json.load(file)
    return document


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded exchange; request and response are read from the file when they are asked for."""

    id: str
    path: str
    provider: str
    operation: str
    api: str
    model: str | None
    features: frozenset[str]
    fidelity: str
    status: int
    kind: str
    content_type: str
    edits: tuple[str, ...] = ()

    @property
    def request(self) -> dict[str, Any]:
        """``method``, ``host``, ``path``, ``query``, ``headers``, ``body_kind``, ``body``."""
        request: dict[str, Any] = _document(self.path)["request"]
        return request

    @property
    def response(self) -> dict[str, Any]:
        """``status``, ``headers``, ``header_names``, ``body_kind``, ``body``."""
        response: dict[str, Any] = _document(self.path)["response"]
        return response

    @property
    def streamed(self) -> bool:
        """Whether the answer came as frames (SSE, NDJSON or an AWS event stream)."""
        return self.kind in ("sse", "ndjson") or self.content_type.startswith(EVENT_STREAM)

    @property
    def real(self) -> bool:
        """Whether the answer is proof (recorded), not only a hint of the shape."""
        return self.fidelity in REAL

    def json(self) -> Any:
        """The parsed JSON body; an error for any other kind of body."""
        if self.kind != "json":
            raise ValueError(f"{self.id}: the body is {self.kind}, not json")
        return self.response["body"]

    def content(self) -> bytes:
        """The response body as bytes; a JSON body is written anew, so its white space is ours."""
        body = self.response["body"]
        if self.kind == "none" or body is None:
            return b""
        if self.kind == "base64":
            return base64.b64decode(body)
        if self.kind == "json":
            return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return str(body).encode()


def _exchange(path: Path) -> Exchange:
    document = json.loads(path.read_text(encoding="utf-8"))
    response = document["response"]
    return Exchange(
        id=document["id"],
        path=str(path),
        provider=document["provider"],
        operation=document["operation"],
        api=document["api"],
        model=document["model"],
        features=frozenset(document["features"]),
        fidelity=document["fidelity"],
        status=response["status"],
        kind=response["body_kind"],
        content_type=response["headers"].get("content-type", ""),
        edits=tuple(document["edits"]),
    )


@lru_cache(maxsize=1)
def _all() -> tuple[Exchange, ...]:
    return tuple(_exchange(path) for folder in (FOLDER, MADE) for path in sorted(folder.glob("*/*/*.json")))


def available() -> bool:
    """Whether the recordings lie beside the project."""
    return FOLDER.is_dir()


def in_ci() -> bool:
    """Whether a missing folder must fail the tests rather than skip them."""
    return os.environ.get("SLUICE_CI") == "1"


def exchanges(
    apis: Iterable[str] | None = None,
    operations: Iterable[str] | None = None,
    providers: Iterable[str] | None = None,
) -> list[Exchange]:
    """List the recordings, in the order of their paths, that fit every given filter.

    ``apis`` may hold a family: ``bedrock.invoke.*`` stands for all that begin with it.
    The list is empty when the folder is missing; use ``params`` in tests, which tells.
    """
    wanted_apis, wanted_operations, wanted_providers = (
        None if wanted is None else frozenset(wanted) for wanted in (apis, operations, providers)
    )
    return [
        exchange
        for exchange in _all()
        if (wanted_apis is None or _fits(exchange.api, wanted_apis))
        and (wanted_operations is None or exchange.operation in wanted_operations)
        and (wanted_providers is None or exchange.provider in wanted_providers)
    ]


def _fits(api: str, wanted: frozenset[str]) -> bool:
    return api in wanted or any(name.endswith("*") and api.startswith(name[:-1]) for name in wanted)


def exchange(identifier: str) -> Exchange:
    """The recording with this id, which says provider and operation."""
    for candidate in _all():
        if candidate.id == identifier:
            return candidate
    require()
    raise KeyError(identifier)


def params(found: Iterable[Exchange]) -> list[Any]:
    """Pytest parameters with the recordings' ids; one that skips (in CI: fails) when there are none."""
    return [pytest.param(item, id=item.id) for item in found] or [absent()]


def absent(width: int = 1) -> Any:
    """The parameter set, of so many values, that stands for missing recordings."""
    reason = f"no recorded traffic at {FOLDER.parent.name}/{FOLDER.name} beside the project"
    marks = () if in_ci() else pytest.mark.skip(reason=reason)
    return pytest.param(*[None] * width, id="traffic-missing", marks=marks)


def require() -> None:
    """Skip the calling test without recordings; fail it in CI."""
    if available():
        return
    if in_ci():
        pytest.fail("the recorded traffic is missing, and CI must have it")
    pytest.skip("the recorded traffic is not beside the project", allow_module_level=True)
