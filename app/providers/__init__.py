"""The table of providers: their names, modules and environment variables.

Modules are imported when a provider is first used. Nothing outside this package names
a provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final, Literal

from app.canonical.record import record

OptionKind = Literal["text", "secret", "flag", "number", "table"]


@record
class Option:
    """A setting of one provider's own: the variables that give it, best first, and its type."""

    variables: tuple[str, ...] = ()
    kind: OptionKind = "text"


@record
class Row:
    """Where a provider is defined and what the environment calls its settings.

    ``keys``, ``urls``: variables in order of preference. ``options``: its own settings.
    ``keyless``: no key is needed. ``always``: nothing at all is needed. A vendor's own chain of
    credentials takes the place of a key where one of the options ``chain_options`` or of the variables
    ``chain`` is set or, where it is ``ambient`` (a machine's role), the file has a section.
    ``needs``: what must be set besides: ``base_url`` or options.
    """

    module: str
    keys: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    keyless: bool = False
    always: bool = False
    chain: tuple[str, ...] = ()
    chain_options: tuple[str, ...] = ()
    ambient: bool = False
    needs: tuple[str, ...] = ()


def _plain(
    name: str,
    *,
    keys: tuple[str, ...] = (),
    keyless: bool = False,
    needs: tuple[str, ...] = (),
    options: Mapping[str, Option] | None = None,
) -> Row:
    upper = name.upper()
    return Row(
        f"app.providers.{name}",
        keys=(f"{upper}_API_KEY", *keys),
        urls=(f"{upper}_BASE_URL", f"{upper}_API_BASE"),
        options=options or {},
        keyless=keyless,
        needs=needs,
    )


PROVIDERS: Final[Mapping[str, Row]] = {
    "openai": _plain("openai"),
    "anthropic": _plain("anthropic"),
    "azure": Row(
        "app.providers.azure",
        keys=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        urls=("AZURE_OPENAI_ENDPOINT", "AZURE_BASE_URL", "AZURE_API_BASE"),
        options={
            "api_version": Option(("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION")),
            "token": Option(("AZURE_OPENAI_AD_TOKEN",), "secret"),
            "tenant_id": Option(("AZURE_TENANT_ID",)),
            "client_id": Option(("AZURE_CLIENT_ID",)),
            "client_secret": Option(("AZURE_CLIENT_SECRET",), "secret"),
            "authority": Option(("AZURE_AUTHORITY_HOST",)),
            "scope": Option(),
        },
        chain_options=("token", "client_secret"),
        needs=("base_url",),
    ),
    "bedrock": Row(
        "app.providers.bedrock",
        keys=("AWS_BEARER_TOKEN_BEDROCK",),
        urls=("BEDROCK_BASE_URL", "AWS_BEDROCK_RUNTIME_ENDPOINT"),
        options={
            "region": Option(("AWS_REGION", "AWS_DEFAULT_REGION")),
            "profile": Option(("AWS_PROFILE",)),
            "access_key_id": Option(("AWS_ACCESS_KEY_ID",)),
            "secret_access_key": Option(("AWS_SECRET_ACCESS_KEY",), "secret"),
            "session_token": Option(("AWS_SESSION_TOKEN",), "secret"),
        },
        chain_options=("access_key_id", "profile"),
        ambient=True,
        chain=(
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ),
    ),
    "cohere": _plain("cohere", keys=("CO_API_KEY",)),
    "vertex": Row(
        "app.providers.vertex",
        keys=("VERTEX_ACCESS_TOKEN",),
        urls=("VERTEX_BASE_URL", "VERTEX_API_BASE"),
        options={
            "project": Option(("VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT")),
            "location": Option(("VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION")),
            "credentials_file": Option(("GOOGLE_APPLICATION_CREDENTIALS",)),
        },
        chain_options=("credentials_file",),
        ambient=True,
        needs=("project",),
    ),
    "mistral": _plain("mistral"),
    "ollama": _plain("ollama", keyless=True, needs=("base_url",)),
    "gemini": _plain("gemini", keys=("GOOGLE_API_KEY",)),
    "groq": _plain("groq"),
    "openrouter": _plain("openrouter"),
    "sgl": _plain("sgl", keyless=True, needs=("base_url",)),
    "parasail": _plain("parasail"),
    "elevenlabs": _plain("elevenlabs", options={"voices": Option(kind="table")}),
    "perplexity": _plain("perplexity", keys=("PERPLEXITYAI_API_KEY",)),
    "cerebras": _plain("cerebras"),
    "sandbox": Row("app.providers.sandbox", options={"words_per_second": Option(kind="number")}, always=True),
}

CUSTOM_DIALECTS: Final = ("chat", "responses", "messages", "gemini", "cohere")
"""What a custom provider may speak."""


def custom_row(name: str) -> Row:
    """Return the row of a provider that the operator named, with variables after its name."""
    upper = name.upper().replace("-", "_").replace(".", "_")
    return Row(
        "app.providers.custom",
        keys=(f"{upper}_API_KEY",),
        urls=(f"{upper}_BASE_URL", f"{upper}_API_BASE"),
        options={
            "passes": Option(kind="flag"),
            "auth_header": Option(),
            "max_tokens": Option(),
        },
        keyless=True,
        needs=("base_url",),
    )


def row_of(name: str) -> Row:
    """Return the row of a provider by name, of the table or of the operator's own."""
    return PROVIDERS.get(name) or custom_row(name)
