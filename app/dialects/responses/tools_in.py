"""The tools of a Responses body, under names that are valid on any wire.

Tools are in ``tools``, in namespaces there, in ``additional_tools`` items (Codex sends all its tools in them
for its newest models) and in the output of the client's own tool search (``tool_search_output``). Other
wires have one flat list of functions. There a tool has its own name if that is valid and not in use,
otherwise one made of namespace and name. ``Names`` maps both ways, for tools, history, tool choice and
answer. Sources: OpenAI's API description; docs/contract/tools.md for names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from app.canonical.record import record
from app.canonical.request import Message, TextPart, Tool, ToolCallPart, ToolResultPart
from app.dialects.responses.echo import flat_tool
from app.dialects.responses.items_in import NAME, Sign, decode_item, identity
from app.dialects.shared.lenient_json import as_dict, as_list, as_str, dicts, json_text, opt_str, rest
from app.dialects.shared.members import as_native, own_members

SEARCH: Final = "tool_search"


@record
class Place:
    """The client's name of a tool; ``namespace`` is None for one outside of namespaces.

    ``search`` marks the client's own tool search, whose calls are items of a type of their own.
    """

    name: str
    namespace: str | None = None
    search: bool = False

    def members(self) -> dict[str, str]:
        """Return the members of an item that name the tool."""
        namespace = {} if self.namespace is None else {"namespace": self.namespace}
        return {"name": self.name, **namespace}


_ITEMS_WITH_TOOLS: Final = frozenset({"additional_tools", "tool_search_output"})
_FUNCTION: Final = frozenset({"type", "name", "description", "parameters", "strict"})
_CUSTOM: Final = frozenset({"type", "name", "description", "format"})
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME: Final = 64
_HASH: Final = 8
_MAX_DESCRIPTIONS: Final = 200_000  # characters of namespaces' descriptions that are repeated on each tool

_SEARCH_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What the tools shall be able to do."}},
    "required": ["query"],
}
_SEARCH_WORDS: Final = "Searches for further tools. Those that are found can be called from then on."


class Names:
    """Maps the places of one request's tools to names on the wire, and back."""

    def __init__(self, tools: list[tuple[Place, Mapping[str, Any]]]) -> None:
        self._wire: dict[Place, str] = {}
        self._used_names: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last number that was appended to a name
        self._by_name: dict[str, list[str]] = {}  # names on the wire by the client's name, in any namespace
        self._by_namespace: dict[str | None, list[str]] = {}
        self.places: dict[str, Place] = {}
        """The place of each name on the wire that differs from the client's."""
        alone = [place for place, _ in tools if place.namespace is None]
        for place in (*alone, *(place for place, _ in tools if place.namespace is not None)):
            self.of(place)

    def of(self, place: Place) -> str:
        """Return the name on the wire of a place; an unknown place gets a name that no other tool has."""
        if place in self._wire:
            return self._wire[place]
        name = self._wire[place] = self._free_name(place)
        self._used_names.add(name)
        self._by_namespace.setdefault(place.namespace, []).append(name)
        if not place.search:
            self._by_name.setdefault(place.name, []).append(name)
        if name != place.name or place.namespace is not None or place.search:
            self.places[name] = place
        return name

    def _free_name(self, place: Place) -> str:
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

    def name_of_call(self, name: str, namespace: str | None) -> str:
        """Return the name on the wire of the tool that an item of the history or a tool choice names.

        Without a namespace it is the tool outside of namespaces, otherwise the only one of that name.
        """
        place = Place(name, namespace)
        if namespace is not None or place in self._wire:
            return self.of(place)
        within = self._by_name.get(name, [])
        if len(within) == 1:
            return within[0]
        return name if name in self.places else self.of(place)

    def within(self, namespace: str) -> list[str]:
        """Return the names on the wire of the tools in a namespace."""
        return list(self._by_namespace.get(namespace, []))


def _valid_name(name: str) -> str:
    """Return a name of at most 64 letters, digits, ``_`` and ``-``; a longer one is cut and ends with its hash."""
    clean = _ILLEGAL.sub("_", name) or "tool"
    if len(clean) <= _MAX_NAME:
        return clean
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    return f"{clean[: _MAX_NAME - _HASH - 1]}_{mark}"


def list_tools(body: Mapping[str, Any]) -> list[tuple[Place, Mapping[str, Any]]]:
    """Return all tools of a body in flat form, in order; of two in one place the later one."""
    tools: dict[Place, Mapping[str, Any]] = {}
    room = _MAX_DESCRIPTIONS
    for tool in _all_tools(body):
        about = opt_str(tool.get("description")) if tool["type"] == "namespace" else None
        for place, flat in _place_tools(tool):
            tools.pop(place, None)
            tools[place] = _describe(flat, about)
            if about:  # a small body must not expand without limit
                room -= len(about)
                about = about if len(about) <= room else None
    return list(tools.items())


def _all_tools(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from map(flat_tool, dicts(body.get("tools")))
    for item in dicts(body.get("input")):
        if item.get("type") in _ITEMS_WITH_TOOLS:
            yield from map(flat_tool, dicts(item.get("tools")))


def additional_tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tools of ``additional_tools`` items, unchanged."""
    items = (item for item in dicts(body.get("input")) if item.get("type") == "additional_tools")
    return [tool for item in items for tool in dicts(item.get("tools"))]


def _place_tools(flat: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Yield the tool with its place; for a namespace, the tools in it."""
    kind = flat["type"]
    if kind == SEARCH and flat.get("execution") == "client":
        yield Place(SEARCH, search=True), flat
    elif kind != "namespace":
        name = (
            as_str(flat.get("name"))
            if kind in ("function", "custom")
            else f"{kind}:{as_str(flat.get('server_label'))}"
        )
        yield Place(name), flat
    else:
        space = as_str(flat.get("name"))
        for inner in dicts(flat.get("tools")):
            yield Place(as_str(inner.get("name")), space), flat_tool(inner)


def _describe(tool: Mapping[str, Any], space: str | None) -> Mapping[str, Any]:
    """Return a tool with the description of its namespace, ``space``, before its own."""
    texts = [text for text in (space, opt_str(tool.get("description"))) if text]
    return {**tool, "description": "\n".join(texts)} if space else tool


def names_of(body: Mapping[str, Any]) -> Names:
    """Return the names of a body's tools."""
    return Names([row for row in list_tools(body) if is_callable(row[1])])


def is_callable(flat: Mapping[str, Any]) -> bool:
    """Tell whether the client runs the tool itself."""
    kind = flat.get("type")
    return kind in ("function", "custom") or (kind == SEARCH and flat.get("execution") == "client")


def decode_tools(body: Mapping[str, Any], names: Names | None = None) -> Iterator[Tool]:
    """Yield the tools of a body; those that the client runs have their names on the wire.

    A tool whose name differs has the client's ``namespace`` and ``name`` in its native members.
    """
    names = names or names_of(body)
    for place, flat in list_tools(body):
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
    native = as_native(NAME, members)
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
    """Return the places of the tools whose name on the wire differs from the client's."""
    places: dict[str, Place] = {}
    for tool in tools:
        members = own_members(tool.native, NAME)
        if "tool_search" in members and tool.kind == "function":
            places[tool.name] = Place(SEARCH, search=True)
        elif isinstance(members.get("namespace"), dict):
            namespace = members["namespace"]
            places[tool.name] = Place(as_str(namespace.get("name")), opt_str(namespace.get("namespace")))
    return places


def rename_entries(entries: Any, names: Names) -> Iterator[dict[str, Any]]:
    """Yield the tools of a tool choice under their names on the wire; for a namespace, the tools in it."""
    spaces: set[str] = set()
    for entry in dicts(as_list(entries)):
        flat = flat_tool(entry)
        if flat["type"] == "namespace":
            space = as_str(flat.get("name"))
            for name in names.within(space) if space not in spaces else ():
                yield {"type": "function", "name": name}
            spaces.add(space)
        elif flat["type"] in ("function", "custom"):
            name = names.name_of_call(as_str(flat.get("name")), opt_str(flat.get("namespace")))
            yield {**rest(flat, frozenset({"namespace"})), "name": name}
        else:
            yield entry


# --- items of the history -------------------------------------------------------------------


def decode_input_item(item: Mapping[str, Any], sign: Sign, names: Names) -> Message:
    """Return the message of an input item, with the name on the wire if it is a call.

    The client's own tool search becomes a function call, its output a list of the tools in text. The
    original items are native.
    """
    decoder = _SEARCHES.get(as_str(item.get("type")))
    if decoder is not None and item.get("execution") == "client" and opt_str(item.get("call_id")):
        return decoder(item, names)
    message = decode_item(item, sign)
    part = message.parts[0] if message.parts else None
    if not isinstance(part, ToolCallPart):
        return message
    wire = names.name_of_call(part.name, opt_str(item.get("namespace")))
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
    tool_names = [names.of(place) for place, flat in rows if is_callable(flat)]
    text = f"Found, and ready to be called: {', '.join(tool_names)}" if tool_names else "No tool was found."
    part = ToolResultPart(as_str(item["call_id"]), (TextPart(text),), native=(NAME, {"whole": item}))
    return Message("tool", (part,), item=identity(item))


_SEARCHES: Final[Mapping[str, Callable[[Mapping[str, Any], Names], Message]]] = {
    "tool_search_call": _search_call,
    "tool_search_output": _search_output,
}
