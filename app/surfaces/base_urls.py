"""The path that a client meant whose base URL is wrong: what its SDK added to the base URL is right, so it is served
below another one. Tests: tests/behaviour/test_base_urls.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, MapAdapter
from werkzeug.routing.converters import PathConverter

from app.surfaces.mounts import MOUNTS, Mount
from app.surfaces.routes.google import UNKNOWN_VERB

_MOST_WORDS: Final = 12
_MOST_CHARACTERS: Final = 500
_MOST_TRIES: Final = 32
"""Words of a path that are looked at, its characters, and paths that are tried: whoever has no key may ask for any path."""
_MOST_PATHS: Final = 256  # that are remembered: a client with a wrong base URL asks for the same again
_VERSION: Final = re.compile(r"v\d\w*")


class ModelName(PathConverter):
    """An argument with a model's name, which may have slashes, but no rest of a base URL before it."""

    regex = r"(?!(?:models/)?(?:v1\w{0,6}|v2|model|publishers|projects)/)(?!.*/openai/deployments/)[^/].*?"


class MeantPath(NamedTuple):
    """A path that is served, its mount, the base URL's path in the request, and the right one."""

    path: str
    mount: Mount
    wrong: str
    right: str

    @property
    def advice(self) -> str:
        """What to change in the base URL."""
        if not self.wrong:
            change = f"add '{self.right}' to"
        elif not self.right:
            change = f"leave '{self.wrong}' out of"
        else:
            change = f"write '{self.right}' instead of '{self.wrong}' in"
        return f"Did you mean {self.path}? Then {change} the base URL."


def meant_path(rules: Map, method: str, path: str) -> MeantPath | None:
    """Return the path that was meant by ``path``, for which ``method`` has no rule; None if that cannot be told."""
    return _meant_path(rules, method, path) if len(path) <= _MOST_CHARACTERS else None


@lru_cache(_MOST_PATHS)
def _meant_path(rules: Map, method: str, path: str) -> MeantPath | None:
    adapter = rules.bind("")
    for wrong, right in islice(_tries(path), _MOST_TRIES):
        meant = right + path[len(wrong) :]
        if (mount := _mount_at(adapter, method, meant)) is not None:
            return MeantPath(meant, mount, wrong, right)
    return None


def _tries(path: str) -> Iterator[tuple[str, str]]:
    """Yield what may be a base URL at the beginning of ``path``, the shortest first, and what the right one may be."""
    words = path.split("/")[1 : _MOST_WORDS + 1]
    for count, first in enumerate(words):
        wrong = "".join(f"/{word}" for word in words[:count])
        for right in _bases_before(first, wrong):
            if _is_plausible(words[:count], first, right, path[len(wrong) :]):
                yield wrong, right


def _mount_at(adapter: MapAdapter, method: str, path: str) -> Mount | None:
    """Return the mount that serves a path, None if there is none."""
    try:
        rule: Any = adapter.match(path, method, return_rule=True)[0]
    except HTTPException:
        return None
    return None if rule.mount is None or rule.route.view == UNKNOWN_VERB else rule.mount


def _is_plausible(before: list[str], first: str, right: str, rest: str) -> bool:
    """Tell whether a base URL may end after the words ``before``: they are words of base URLs, but for a last one that is
    there twice; or they end as the whole path does; or a whole path follows. Another version is another API."""
    known, last, version = _base_words(), before[-1:], right.rpartition("/")[2]
    if last and last != [version] and _VERSION.fullmatch(last[0]) and _VERSION.fullmatch(version):
        return False
    own = before[:-1] if last == [first] else before
    return known.issuperset(own) or f"/{'/'.join(before)}".endswith(rest) or (not right and first in known)


def _bases_before(first: str, wrong: str) -> list[str]:
    """Return the base URLs that ``first`` may follow: those that ``wrong`` begins with, the longest first, then the others."""
    own = [base for base in _bases().get(first, ()) if f"{wrong}/".startswith(f"{base}/")]
    return [
        *sorted(own, key=len, reverse=True),
        *(base for base in _bases().get(first, ()) if base not in own),
    ]


@cache
def _bases() -> dict[str, list[str]]:
    """Return the base URLs by the word that may follow them: what is before it in a served path, in words of bases alone."""
    bases = defaultdict[str, list[str]](list)
    for words in _served():
        count = next((n for n, word in enumerate(words) if word not in _base_words()), len(words) - 1)
        for place in range(count + 1):
            base = "".join(f"/{word}" for word in words[:place])
            if base not in bases[words[place]]:
                bases[words[place]].append(base)
    return dict(bases)


@cache
def _base_words() -> frozenset[str]:
    """Return the words of base URLs: versions, and the words of prefixes that are in no route."""
    routes = {word for mount in MOUNTS for path in _paths(mount) for word in path.split("/")}
    prefixes = {
        word for mount in MOUNTS for prefix in mount.prefixes for word in prefix.partition("/<")[0].split("/")
    }
    own = {word for words in _served() for word in words if _VERSION.fullmatch(word)}
    return frozenset(own | (prefixes - routes - {"deployments", "projects"}))


def _served() -> Iterator[list[str]]:
    """Yield the words of each served path up to its first argument."""
    for mount in MOUNTS:
        for prefix in (*mount.prefixes, "") if mount.at_root else mount.prefixes:
            for path in _paths(mount):
                beginning = f"{prefix}{path}".partition("<")[0]
                yield [word for word in beginning.split("/") if word]


def _paths(mount: Mount) -> list[str]:
    return [route.path for routes in mount.operations.values() for route in routes]
