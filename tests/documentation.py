"""The tables of the documentation, made from the code: ``python -m tests.documentation`` writes them.

A table stands between two markers of its page; ``test_documentation.py`` holds the pages to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.config import ProviderSettings, Settings
from app.config_loading.members import MEMBERS
from app.config_loading.schemas import ProviderKeySchema, ProviderSchema
from app.dialects.media.openai_speech import SpeechOptions
from app.dialects.media.openai_transcription import TranscriptionOptions
from app.gateway.metric_series import SERIES, Series
from app.operations import OPERATIONS, WIRES
from app.providers import PROVIDERS
from app.providers.base import Spec
from app.providers.registry import make_provider
from app.wire.egress import Egress

DOCS = Path(__file__).resolve().parent.parent / "docs"

_MARKERS = "<!-- {name}: made by python -m tests.documentation -->\n{body}<!-- end -->"


def table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def server_members() -> str:
    """Return the members of ``[server]`` with variables and defaults."""
    return table(("`[server]`", "variable", "meaning", "default"), map(_member_row, MEMBERS))


def _member_row(member: Any) -> Sequence[str]:
    value: Any = Settings()
    for step in member.path:
        value = getattr(value, step)
    shown = _default_text(value)
    return f"`{'.'.join(member.path)}`", f"`{member.variable}`", member.meaning, shown


def _default_text(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def provider_variables() -> str:
    """Return each provider's variables."""
    return table(("provider", "key", "address", "own settings"), _variable_rows())


def _variable_rows() -> Iterator[Sequence[str]]:
    for name, row in PROVIDERS.items():
        options = [
            f"`{option}`" + (f" ({_listed(spec.variables)})" if spec.variables else " (file only)")
            for option, spec in row.options.items()
        ]
        chain = f"; or {_listed(row.chain)}" if row.chain else ""
        yield name, _listed(row.keys) + chain, _listed(row.urls), ", ".join(options)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def provider_members() -> str:
    """Return the members of ``[providers.NAME]`` and of one key."""
    rows = [(name, PROVIDER_MEANINGS[name]) for name in ProviderSchema().fields]
    rows += [(f"keys[].{name}", KEY_MEANINGS[name]) for name in ProviderKeySchema().fields]
    return table(("member", "meaning"), ((f"`{name}`", meaning) for name, meaning in rows))


PROVIDER_MEANINGS = {
    "api_key": "the only key; its name is `default`",
    "keys": "several keys instead; calls are distributed by weight",
    "base_url": "the base URL, as the provider's own SDK takes it",
    "dialect": "custom providers only: `chat`, `responses`, `messages`, `gemini` or `cohere`",
    "headers": "headers added to each request",
    "proxy": "this provider's proxy, or `direct`; wins over the environment and `NO_PROXY`",
    "ca_bundle": "file of certificate authorities to trust in addition to the system's",
    "client_cert": "client certificate: a PEM file that includes the key, or `[certificate, key]`",
    "options": "settings of this provider alone, see below",
    "models": "model ids that it serves, for model strings without a provider",
    "prices": "per model: USD per million `input`, `output` and `cached` tokens, and per `request`, `image` and `search_unit`",
    "max_concurrency": "most simultaneous calls of one process",
    "limits": "limits of the account, written as in [limits](governance.md#limits); when they are reached, the next target is tried",
}
KEY_MEANINGS = {
    "name": "name in attempts and logs; default `key-1`, `key-2` …",
    "value": "the key",
    "models": "model ids that this key serves; default: all",
    "weight": "share of the calls among the keys that serve the model; default 1",
    "limits": "limits of this key's account",
}

_COLUMNS = WIRES
_STREAMED = frozenset(
    {"responses", "chat", "completion", "speech", "transcription", "image_generation", "image_edit"}
)
_OWN = "passes"
VARIANTS = (
    ("azure", "OpenAI's models", "gpt-4o"),
    ("azure", "Claude", "claude-opus-4-5"),
    ("azure", "others", "grok-4"),
    ("bedrock", "models that chat", "anthropic.claude-3-haiku-20240307-v1:0"),
    ("bedrock", "models that rank", "cohere.rerank-v3-5:0"),
    ("bedrock", "models that draw", "amazon.nova-canvas-v1:0"),
    ("bedrock", "models of plain text", "amazon.titan-text-express-v1"),
    ("vertex", "Gemini", "gemini-2.5-pro"),
    ("vertex", "Imagen", "imagen-4.0-generate-001"),
    ("vertex", "Imagen that edits", "imagen-3.0-capability-001"),
    ("vertex", "models that rank", "semantic-ranker-default-004"),
    ("vertex", "Claude", "claude-opus-4-5"),
    ("vertex", "Mistral", "mistral-medium-3"),
    ("vertex", "others", "meta/llama-4"),
)


def capabilities() -> str:
    """Return what each provider can do: its own wire, a way round, or nothing."""
    rows = ((label, *cells.values()) for label, _, _, cells in capability_rows())
    return table(("provider", *_COLUMNS), rows)


def capability_rows() -> Iterator[tuple[str, str, str, Mapping[str, str]]]:
    """Yield the rows: label, provider, the model that stands for it, and each operation's cell."""
    special = {name for name, _, _ in VARIANTS}
    plain = [(name, "", "model") for name, row in PROVIDERS.items() if name not in special and not row.always]
    for name, what, model in sorted([*plain, *VARIANTS]):
        spec = make_provider(name, Settings(), Egress()).spec
        label = f"{name} ({what})" if what else name
        yield label, name, model, {operation: _cell(spec, operation, model) for operation in _COLUMNS}


def _cell(spec: Spec, operation: str, model: str) -> str:
    model = "" if operation == "file_upload" else model  # a file is its provider's, whatever the model

    def wire(name: str) -> Any:
        return spec.choose(ProviderSettings(spec.name), name, model) if spec.choose else spec.wires.get(name)

    for number, name in enumerate(OPERATIONS[operation].wires):
        found = wire(name)
        if found is not None and operation == "models":
            return "yes"
        if found is not None:
            passes = found.passes and found.dialect == OPERATIONS[operation].dialect
            way = f"{'over ' if number else ''}{_OWN if passes else found.dialect}"
            return f"{way}, s" if operation in _STREAMED and _streams(found) else way
    chats = any(map(wire, OPERATIONS["responses"].wires))
    return "estimate" if operation == "count_tokens" and chats else "–"


def _streams(wire: Any) -> bool:
    """Tell whether a wire has events: its row may say no although the path would take a stream."""
    options = wire.options
    if isinstance(options, SpeechOptions):
        return options.sse is not None
    if isinstance(options, TranscriptionOptions):
        return "stream" in options.members
    return bool(wire.streams)


def metrics() -> str:
    """Return the series of ``/metrics``."""
    rows = (
        (f"`{name}`", ", ".join(f"`{label}`" for label in row.labels), row.text) for name, row in _exported()
    )
    return table(("series", "labels", "what"), rows)


def _exported() -> Iterator[tuple[str, Series]]:
    for row in SERIES:
        yield row.name + ("_total" if row.kind == "counter" else ""), row


def decisions() -> str:
    """Return the list of decisions, by number."""
    return "".join(map(_decision, sorted((DOCS / "decisions").glob("*.md"))))


def _decision(page: Path) -> str:
    title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    number, _, words = title.partition(". ")
    return f"{number}. [{words}](decisions/{page.name})\n"


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "configuration.md": {
        "server": server_members,
        "providers": provider_members,
        "variables": provider_variables,
    },
    "providers.md": {"capabilities": capabilities},
    "operations.md": {"metrics": metrics},
    "README.md": {"decisions": decisions},
}


def renewed(page: str, text: str) -> str:
    """Return the text of a page with its tables as the code has them now."""
    for name, make in PAGES[page].items():
        pattern = _MARKERS.format(name=name, body="BODY")
        found = re.compile(re.escape(pattern).replace("BODY", ".*?"), re.DOTALL)
        if not found.search(text):
            raise ValueError(f"{page} has no place for the table {name!r}")
        body = _MARKERS.format(name=name, body=make())
        text = found.sub(lambda match, body=body: body, text)
    return text


if __name__ == "__main__":
    for page in PAGES:
        path = DOCS / page
        path.write_text(renewed(page, path.read_text(encoding="utf-8")), encoding="utf-8")
