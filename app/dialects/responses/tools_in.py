"""The tools of a Responses body, wherever it offers them, under names that any wire takes.

A client offers tools in ``tools``, in namespaces there, in items ``additional_tools`` (all that Codex
sends for its newest models) and in what a search of its own found (``tool_search_output``). Wires of
functions know one flat list of names, so each tool gets one: its own where that is free and legal,
else one made of namespace and name. ``Names`` is the map both ways, for offering, history, choice and
answer. Members: contract/responses.md 2.1 and 2.3; names: docs/contract/tools.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.request import Message, Native, TextPart, Tool, ToolCallPart, ToolResultPart
from app.dialects.responses.echo import flat_tool
from app.dialects.responses.items_in import NAME, Sign, decode_item, identity
from app.dialects.responses.tool_origins import SEARCH, Place
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, json_text, opt_str, rest

_BRINGERS: Final = frozenset({"additional_tools", "tool_search_output"})
_FUNCTION: Final = frozenset({"type", "name", "description", "parameters", "strict"})
_CUSTOM: Final = frozenset({"type", "name", "description", "format"})
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME: Final = 64
_HASH: Final = 8
_MAX_REPEATED: Final = 200_000  # characters of namespaces' descriptions, each before every tool; past it once

_SEARCH_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What the tools shall be able to do."}},
    "required": ["query"],
}
_SEARCH_WORDS: Final = "Searches for further tools. Those that are found can be called from then on."


class Names:
    """The names of one request's tools: a client's place to the wire's name, and back."""

    def __init__(self, tools: list[tuple[Place, Mapping[str, Any]]]) -> None:
        self._wire: dict[Place, str] = {}
        self._used_names: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last number that was added to a name
        self._named: dict[str, list[str]] = {}  # a client's name to the wire's, of tools in any namespace
        self._by_namespace: dict[str | None, list[str]] = {}
        self.places: dict[str, Place] = {}
        """Wire names that differ from what the client wrote, to its place."""
        alone = [place for place, _ in tools if place.namespace is None]
        for place in (*alone, *(place for place, _ in tools if place.namespace is not None)):
            self.of(place)

    def of(self, place: Place) -> str:
        """Return the wire's name of a place; one that is not offered gets a name no other tool has."""
        known = self._wire.get(place)
        if known is not None:
            return known
        made = self._free(place)
        self._wire[place] = made
        self._used_names.add(made)
        self._by_namespace.setdefault(place.namespace, []).append(made)
        if not place.search:
            self._named.setdefault(place.name, []).append(made)
        if made != place.name or place.namespace is not None or place.search:
            self.places[made] = place
        return made

    def _free(self, place: Place) -> str:
        """Return the best name for a place that no other tool has."""
        alone = _valid_name(place.name)
        base = alone if place.namespace is None else _valid_name(f"{place.namespace}_{place.name}")
        for name in (alone, base):
            if name not in self._used_names:
                return name
        stem = base[: _MAX_NAME - 8]
        number = self._numbers.get(stem, 1) + 1
        while f"{stem}_{number}" in self._used_names:
            number += 1
        self._numbers[stem] = number
        return f"{stem}_{number}"

    def called(self, name: str, namespace: str | None) -> str:
        """Return the wire's name of the tool that an item of the history, or a choice, names.

        Without a namespace: the tool that stands alone, else the only one of that name in any.
        """
        if namespace is not None:
            return self.of(Place(name, namespace))
        alone = self._wire.get(Place(name))
        if alone is not None:
            return alone
        within = self._named.get(name, [])
        if len(within) == 1:
            return within[0]
        return name if name in self.places else self.of(Place(name))

    def within(self, namespace: str) -> list[str]:
        """Return the wire's names of a namespace's tools."""
        return list(self._by_namespace.get(namespace, []))


def _valid_name(name: str) -> str:
    """Return a name of letters, digits, ``_`` and ``-``, at most 64; a long one ends in its hash."""
    clean = _ILLEGAL.sub("_", name) or "tool"
    if len(clean) <= _MAX_NAME:
        return clean
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    return f"{clean[: _MAX_NAME - _HASH - 1]}_{mark}"


def offered_tools(body: Mapping[str, Any]) -> list[tuple[Place, Mapping[str, Any]]]:
    """Return all tools that a body offers, in order, flat; of two in one place the later."""
    found: dict[Place, Mapping[str, Any]] = {}
    room = _MAX_REPEATED
    for tool in _given_tools(body):
        about = opt_str(tool.get("description")) if tool["type"] == "namespace" else None
        for place, flat in _place_tools(tool):
            found.pop(place, None)
            found[place] = _described(flat, about)
            if about:  # every tool says what its namespace is for, but few bytes cannot become many
                room -= len(about)
                about = about if len(about) <= room else None
    return list(found.items())


def _given_tools(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from map(flat_tool, dicts(body.get("tools")))
    for item in dicts(body.get("input")):
        if item.get("type") in _BRINGERS:
            yield from map(flat_tool, dicts(item.get("tools")))


def brought_tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tools that items ``additional_tools`` bring, as they came."""
    items = (item for item in dicts(body.get("input")) if item.get("type") == "additional_tools")
    return [tool for item in items for tool in dicts(item.get("tools"))]


def _place_tools(flat: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Yield a tool with its place; of a namespace, the tools in it."""
    kind = flat["type"]
    if kind == SEARCH and flat.get("execution") == "client":
        yield Place(SEARCH, search=True), flat
    elif kind != "namespace":
        name = as_str(flat.get("name")) if kind in ("function", "custom") else f"{kind}:{_mark(flat)}"
        yield Place(name), flat
    else:
        space = as_str(flat.get("name"))
        for inner in dicts(flat.get("tools")):
            yield Place(as_str(inner.get("name")), space), flat_tool(inner)


def _mark(flat: Mapping[str, Any]) -> str:
    """Tell hosted tools of one type apart (several MCP servers)."""
    return as_str(flat.get("server_label"))


def _described(tool: Mapping[str, Any], space: str | None) -> Mapping[str, Any]:
    """Return a tool with what is said of its namespace before its own description."""
    texts = [text for text in (space, opt_str(tool.get("description"))) if text]
    return {**tool, "description": "\n".join(texts)} if space else tool


def names_of(body: Mapping[str, Any]) -> Names:
    """Return the names of the tools that a body offers."""
    return Names([row for row in offered_tools(body) if is_callable(row[1])])


def is_callable(flat: Mapping[str, Any]) -> bool:
    """Tell whether a tool is the client's own to run."""
    kind = flat.get("type")
    return kind in ("function", "custom") or (kind == SEARCH and flat.get("execution") == "client")


def decode_tools(body: Mapping[str, Any], names: Names | None = None) -> Iterator[Tool]:
    """Yield the tools on offer, those that the client runs under the wire's names.

    ``native`` of a tool out of a namespace holds ``namespace`` and its ``name`` there.
    """
    names = names or names_of(body)
    for place, flat in offered_tools(body):
        if not is_callable(flat):
            yield Tool("hosted", flat["type"], native=(NAME, dict(flat)))
        elif place.search:
            yield _search(names.of(place), flat)
        else:
            yield _tool(names.of(place), place, flat)


def _search(name: str, flat: Mapping[str, Any]) -> Tool:
    parameters = as_dict(flat.get("parameters")) or dict(_SEARCH_SCHEMA)
    description = opt_str(flat.get("description")) or _SEARCH_WORDS
    return Tool("function", name, description, parameters, native=(NAME, {"tool_search": dict(flat)}))


def _tool(name: str, place: Place, flat: Mapping[str, Any]) -> Tool:
    custom = flat["type"] == "custom"
    members = rest(flat, _CUSTOM if custom else _FUNCTION)
    if place.namespace is not None or name != place.name:
        members["namespace"] = {"namespace": place.namespace, "name": place.name}
    native: Native | None = (NAME, members) if members else None
    description = opt_str(flat.get("description"))
    if custom:
        form = flat.get("format")
        return Tool(
            "custom", name, description, format=form if isinstance(form, dict) else None, native=native
        )
    schema, strict = flat.get("parameters"), flat.get("strict")
    return Tool(
        "function",
        name,
        description,
        parameters=schema if isinstance(schema, dict) else None,
        strict=strict if isinstance(strict, bool) else None,
        native=native,
    )


def places_of(tools: tuple[Tool, ...]) -> dict[str, Place]:
    """Return the places of the tools whose items name them otherwise than the wire does."""
    found: dict[str, Place] = {}
    for tool in tools:
        members = tool.native[1] if tool.native is not None and tool.native[0] == NAME else {}
        if "tool_search" in members and tool.kind == "function":
            found[tool.name] = Place(SEARCH, search=True)
        elif isinstance(members.get("namespace"), dict):
            namespace = members["namespace"]
            found[tool.name] = Place(as_str(namespace.get("name")), opt_str(namespace.get("namespace")))
    return found


def rename_entries(entries: Any, names: Names) -> Iterator[dict[str, Any]]:
    """Yield the tools that a choice allows, under the wire's names; a namespace stands for its own."""
    spaces: set[str] = set()
    for entry in dicts(as_list(entries)):
        flat = flat_tool(entry)
        if flat["type"] == "namespace":
            space = as_str(flat.get("name"))
            for name in names.within(space) if space not in spaces else ():
                yield {"type": "function", "name": name}
            spaces.add(space)
        elif flat["type"] in ("function", "custom"):
            name = names.called(as_str(flat.get("name")), opt_str(flat.get("namespace")))
            yield {**{k: v for k, v in flat.items() if k != "namespace"}, "name": name}
        else:
            yield entry


# --- items of the history -------------------------------------------------------------------


def decode_named(item: Mapping[str, Any], sign: Sign, names: Names) -> Message:
    """Return the message that an item is, a call in it under the wire's name.

    A client's own search for tools is a call of a function, and its output tells what was found;
    both keep their item for a wire that knows it.
    """
    decoder = _SEARCHES.get(as_str(item.get("type")))
    if decoder is not None and item.get("execution") == "client" and opt_str(item.get("call_id")):
        return decoder(item, names)
    message = decode_item(item, sign)
    part = message.parts[0] if message.parts else None
    if not isinstance(part, ToolCallPart):
        return message
    wire = names.called(part.name, opt_str(item.get("namespace")))
    if wire == part.name:
        return message
    members = part.native[1] if part.native is not None else {}
    own = {**as_dict(members.get("item")), "name": part.name}
    return replace(message, parts=(replace(part, name=wire, native=(NAME, {**members, "item": own})),))


def _search_call(item: Mapping[str, Any], names: Names) -> Message:
    arguments = item.get("arguments")
    text = arguments if isinstance(arguments, str) else json_text(arguments or {})
    name = names.of(Place(SEARCH, search=True))
    part = ToolCallPart(as_str(item["call_id"]), name, text, native=(NAME, {"whole": item}))
    return Message("assistant", (part,), item=identity(item))


def _search_output(item: Mapping[str, Any], names: Names) -> Message:
    rows = (row for tool in dicts(item.get("tools")) for row in _place_tools(flat_tool(tool)))
    found = [names.of(place) for place, flat in rows if is_callable(flat)]
    text = f"Found, and ready to be called: {', '.join(found)}" if found else "No tool was found."
    part = ToolResultPart(as_str(item["call_id"]), (TextPart(text),), native=(NAME, {"whole": item}))
    return Message("tool", (part,), item=identity(item))


_SEARCHES: Final[Mapping[str, Callable[[Mapping[str, Any], Names], Message]]] = {
    "tool_search_call": _search_call,
    "tool_search_output": _search_output,
}
