"""The table of providers: their names, modules and environment variables.

Modules are imported when a provider is first used. Nothing outside this package names
a provider (contract/surfaces.md 2 and 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """Where a provider is defined and what the environment calls its settings.

    ``keys``, ``urls``: variables in order of preference. ``options``: setting -> variables.
    ``keyless``: a base URL alone configures it. ``always``: needs neither.
    ``chain``: variables any of which configures it by a vendor's own credential chain.
    """

    module: str
    keys: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keyless: bool = False
    always: bool = False
    chain: tuple[str, ...] = ()


def _plain(name: str, *, keys: tuple[str, ...] = (), urls: tuple[str, ...] = (), keyless: bool = False) -> Row:
    upper = name.upper()
    return Row(
        f"app.providers.{name}",
        keys=(f"{upper}_API_KEY", *keys),
        urls=(f"{upper}_BASE_URL", f"{upper}_API_BASE", *urls),
        keyless=keyless,
    )


PROVIDERS: Final[Mapping[str, Row]] = {
    "openai": _plain("openai"),
    "anthropic": _plain("anthropic"),
    "azure": Row(
        "app.providers.azure",
        keys=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        urls=("AZURE_OPENAI_ENDPOINT", "AZURE_BASE_URL", "AZURE_API_BASE"),
        options={
            "api_version": ("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION"),
            "token": ("AZURE_OPENAI_AD_TOKEN",),
            "tenant_id": ("AZURE_TENANT_ID",),
            "client_id": ("AZURE_CLIENT_ID",),
            "client_secret": ("AZURE_CLIENT_SECRET",),
        },
        chain=("AZURE_OPENAI_AD_TOKEN", "AZURE_CLIENT_SECRET"),
    ),
    "bedrock": Row(
        "app.providers.bedrock",
        keys=("AWS_BEARER_TOKEN_BEDROCK",),
        urls=("BEDROCK_BASE_URL", "AWS_BEDROCK_RUNTIME_ENDPOINT"),
        options={
            "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
            "profile": ("AWS_PROFILE",),
        },
        chain=(
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
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
            "project": ("VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT"),
            "location": ("VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION"),
            "credentials_file": ("GOOGLE_APPLICATION_CREDENTIALS",),
        },
        chain=("GOOGLE_APPLICATION_CREDENTIALS",),
    ),
    "mistral": _plain("mistral"),
    "ollama": _plain("ollama", keyless=True),
    "gemini": _plain("gemini", keys=("GOOGLE_API_KEY",)),
    "groq": _plain("groq"),
    "openrouter": _plain("openrouter"),
    "sgl": _plain("sgl", keyless=True),
    "parasail": _plain("parasail"),
    "elevenlabs": _plain("elevenlabs"),
    "perplexity": _plain("perplexity", keys=("PERPLEXITYAI_API_KEY",)),
    "cerebras": _plain("cerebras"),
    "sandbox": Row("app.providers.sandbox", always=True),
}

CUSTOM_MODULE: Final = "app.providers.custom"
