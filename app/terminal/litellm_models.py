"""The rows of LiteLLM's ``model_list``: the target of each, and the provider's settings that it needs.

LiteLLM keeps credentials and addresses with each deployment; here they belong to providers. The
prefixes of its model strings are those of its page "Providers" (docs.litellm.ai/docs/providers).
``note`` says what becomes of a setting that has no place in a ``sluice.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Table = dict[str, Any]

_PREFIXES: Final[Mapping[str, str]] = {
    # LiteLLM's: ours
    **{name: name for name in ("openai", "azure", "anthropic", "bedrock", "cohere", "gemini", "mistral")},
    **{name: name for name in ("ollama", "groq", "openrouter", "perplexity", "cerebras", "elevenlabs")},
    "text-completion-openai": "openai",
    "azure_text": "azure",
    "cohere_chat": "cohere",
    "vertex_ai": "vertex",
    "vertex_ai_beta": "vertex",
    "ollama_chat": "ollama",
}
_HOSTS: Final[Mapping[str, str]] = {
    # providers with OpenAI's chat API: base URL
    "deepseek": "https://api.deepseek.com/v1",
    "together_ai": "https://api.together.xyz/v1",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
    "xai": "https://api.x.ai/v1",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "sambanova": "https://api.sambanova.ai/v1",
    "moonshot": "https://api.moonshot.ai/v1",
}
_SERVERS: Final = frozenset(
    {
        "hosted_vllm",
        "vllm",
        "openai_like",
        "custom_openai",
        "litellm_proxy",
        "lm_studio",
        "llamafile",
        "xinference",
    }
)
_BARE: Final = (
    # prefix of a model name without a provider, and the provider that LiteLLM assumes
    (("gpt-", "o1", "o3", "o4", "chatgpt-", "text-embedding-", "tts-", "whisper-", "dall-e"), "openai"),
    (("claude-",), "anthropic"),
    (("command",), "cohere"),
    (("gemini-",), "vertex"),
)
_DIALECTS: Final[Mapping[str, str]] = {
    "openai": "chat",
    "azure": "chat",
    "anthropic": "messages",
    "gemini": "gemini",
    "cohere": "cohere",
    "mistral": "chat",
    "groq": "chat",
    "ollama": "chat",
    "openrouter": "chat",
}
"""Dialect of a custom provider for a second address of a built-in one."""
_OWN_FORMS: Final[Mapping[str, tuple[str, Table]]] = {"azure": ("/openai/v1", {"auth_header": "api-key"})}
"""Path of that dialect below a provider's address, and the options that it needs."""
_PATHS: Final[Mapping[str, str]] = {"ollama": "/v1"}
"""Path below which our provider is served, where LiteLLM gives the address alone."""
_OPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    # LiteLLM's: the provider's, its option
    "api_version": ("azure", "api_version"),
    "azure_ad_token": ("azure", "token"),
    "tenant_id": ("azure", "tenant_id"),
    "client_id": ("azure", "client_id"),
    "client_secret": ("azure", "client_secret"),
    "aws_region_name": ("bedrock", "region"),
    "aws_profile_name": ("bedrock", "profile"),
    "aws_access_key_id": ("bedrock", "access_key_id"),
    "aws_secret_access_key": ("bedrock", "secret_access_key"),
    "aws_session_token": ("bedrock", "session_token"),
    "vertex_project": ("vertex", "project"),
    "vertex_location": ("vertex", "location"),
    "vertex_credentials": ("vertex", "credentials_file"),
}
_PER_MILLION: Final = 1_000_000


@dataclass
class Deployment:
    """One row of the list; ``provider`` is Sluice's name for the provider that serves it."""

    group: str
    provider: str
    model: str
    place: str
    weight: float = 1
    key: str | None = None
    base_url: str | None = None
    dialect: str | None = None
    options: Table = field(default_factory=dict)
    headers: Table = field(default_factory=dict)
    limits: list[Table] = field(default_factory=list)
    prices: Table = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The model string in Sluice."""
        return f"{self.provider}/{self.model}"


def deployment(row: Mapping[str, Any], place: str, notes: list[str]) -> Deployment | None:
    """Convert a row of the list; ``place`` names it in notes. None, with a note, if it cannot be served."""
    rest = dict(row)
    group, params = rest.pop("model_name", None), rest.pop("litellm_params", None)
    if (
        not isinstance(group, str)
        or not isinstance(params, Mapping)
        or not isinstance(params.get("model"), str)
    ):
        notes.append(f"{place}: needs a model_name and litellm_params.model")
        return None
    members = dict(params)
    model: str = members.pop("model")
    result = _resolve(group, model, place)
    if result is None:
        notes.append(
            f"{place}: no built-in provider serves {model!r}; a custom provider may (docs/configuration.md#providers)"
        )
        return None
    if result.model != "*":
        _move_members(result, members, rest)
    else:
        result.key = reference(members.pop("api_key", None))
        result.base_url = reference(members.pop("api_base", None))
    names = [f"litellm_params.{name}" for name in members] + list(rest)
    notes += [note(f"{place}.{name}") for name in names]
    path, base = _PATHS.get(result.provider), (result.base_url or "").rstrip("/")
    if path and base.count("/") == 2:
        result.base_url = f"{base}{path}"
    return result


def _resolve(group: str, target: str, place: str) -> Deployment | None:
    prefix, slash, model = target.partition("/")
    if not slash:
        owner = next((name for begins, name in _BARE if target.startswith(begins)), None)
        return Deployment(group, owner, target, place) if owner else None
    if prefix in _PREFIXES:
        name = _PREFIXES[prefix]
        return Deployment(group, name, model.removeprefix("converse/").removeprefix("invoke/"), place)
    if prefix in _HOSTS or prefix in _SERVERS:
        return Deployment(
            group, prefix.replace("_", "-"), model, place, base_url=_HOSTS.get(prefix), dialect="chat"
        )
    return None


def _move_members(deployment: Deployment, members: Table, rest: Table) -> None:
    """Move the members that ``deployment`` covers from the row to ``members``."""
    deployment.key = reference(members.pop("api_key", None))
    deployment.base_url = (
        reference(members.pop("api_base", members.pop("base_url", None))) or deployment.base_url
    )
    deployment.weight = members.pop("weight", 1) or 1
    for theirs, (owner, ours) in _OPTIONS.items():
        if deployment.provider == owner and theirs in members:
            deployment.options[ours] = reference(members.pop(theirs))
    for name, what in (("rpm", "requests"), ("tpm", "tokens")):
        if isinstance(members.get(name), int):
            deployment.limits.append({what: members.pop(name), "per": "minute"})
    if isinstance(members.get("extra_headers"), Mapping):
        deployment.headers = {name: reference(value) for name, value in members.pop("extra_headers").items()}
    _price(deployment, members, rest)


def _price(deployment: Deployment, members: Table, rest: Table) -> None:
    info = rest.pop("model_info", None)
    info_members = dict(info) if isinstance(info, Mapping) else {}
    for source in (members, info_members):
        for theirs, ours in (("input_cost_per_token", "input"), ("output_cost_per_token", "output")):
            if isinstance(source.get(theirs), int | float):
                deployment.prices[ours] = round(source.pop(theirs) * _PER_MILLION, 9)
    for name in ("id", "mode", "base_model"):
        info_members.pop(name, None)  # the key of LiteLLM's own catalogue
    rest.update({f"model_info.{name}": value for name, value in info_members.items()})


def reference(value: Any) -> Any:
    """Return a text of LiteLLM's in Sluice's syntax; other values unchanged."""
    if isinstance(value, str) and value.startswith("os.environ/"):
        return f"env:{value.removeprefix('os.environ/')}"
    return value


class Providers:
    """The providers that the deployments need; a second address of one becomes a custom provider."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Deployment]] = {}

    def add(self, row: Deployment, notes: list[str]) -> None:
        """Add a deployment; if its address differs from its provider's, give it a custom provider."""
        first = self._rows.setdefault(row.provider, [])
        if first and (first[0].base_url, first[0].options) != (row.base_url, row.options):
            self._move(row, notes)
        else:
            first.append(row)

    def _move(self, row: Deployment, notes: list[str]) -> None:
        dialect = row.dialect or _DIALECTS.get(row.provider)
        if row.base_url is None or dialect is None:
            notes.append(
                f"{row.place}: {row.provider} has one address and one account here; this row has another, so only its model was carried over"
            )
            return
        plain = row.provider
        for number in range(2, 1000):
            name = f"{plain}-{number}"
            there = self._rows.get(name)
            if there is None or there[0].base_url == row.base_url:
                break
        if plain in _OWN_FORMS:
            path, row.options = _OWN_FORMS[plain]
            row.base_url = (
                row.base_url if row.base_url.startswith("env:") else row.base_url.rstrip("/") + path
            )
        row.provider, row.dialect = name, dialect
        self._rows.setdefault(name, []).append(row)

    def tables(self) -> Table:
        """Return ``[providers]``."""
        return {name: table for name, rows in self._rows.items() if (table := _settings(rows))}


def _settings(rows: list[Deployment]) -> Table:
    first = rows[0]
    keys = list(dict.fromkeys(row.key for row in rows if row.key))
    alone = len(keys) == 1 and not any(row.limits for row in rows)
    table = {
        "dialect": first.dialect,
        "base_url": first.base_url,
        "api_key": keys[0] if alone else None,
        "keys": [] if alone else [_key(key, [row for row in rows if row.key == key]) for key in keys],
        "options": {name: value for name, value in first.options.items() if value is not None},
        "headers": {name: value for row in rows for name, value in row.headers.items()},
        "prices": {row.model: row.prices for row in rows if row.prices},
    }
    return {name: value for name, value in table.items() if value}


def _key(value: str, rows: list[Deployment]) -> Table:
    """Return one key of a provider with its models and rate limits."""
    every = any("*" in row.model for row in rows)
    key = {
        "value": value,
        "models": None if every else list(dict.fromkeys(row.model for row in rows)),
        "weight": sum(row.weight for row in rows if row.weight != 1),
        "limits": [{**limit, "models": row.target} for row in rows for limit in row.limits],
    }
    return {name: member for name, member in key.items() if member}


HINTS: Final[Mapping[str, str]] = {
    # last part of a setting's path: its equivalent here
    "drop_params": "parameters that a provider does not support are always dropped, with a warning in the answer",
    "callbacks": "see metrics, the call log and OpenTelemetry in docs/operations.md",
    "success_callback": "see metrics, the call log and OpenTelemetry in docs/operations.md",
    "failure_callback": "see metrics, the call log and OpenTelemetry in docs/operations.md",
    "database_url": "LiteLLM's tables have another layout; name a separate database in DATABASE_URL",
    "cache_params": "see [server] cache in docs/governance.md",
    "cache": "see [server] cache in docs/governance.md",
    "content_policy_fallbacks": "fallbacks apply to failures; a content refusal is an answer",
    "context_window_fallbacks": "a target whose context window is too small is skipped automatically",
    "max_budget": "see budgets in docs/governance.md",
    "budget_duration": "see budgets in docs/governance.md",
    "environment_variables": "set these in the environment of the server",
    "default_fallbacks": "add them to the fallbacks of each name in [models]",
    "include": "convert those files, too, and join what comes out",
    "redis_host": "write the whole address in REDIS_URL, such as redis://:password@host:6379/0",
    "redis_password": "it belongs into REDIS_URL",
    "redis_port": "it belongs into REDIS_URL",
    "routing_strategy": "see strategy in docs/configuration.md: weighted, ordered, latency, cheapest, least-busy",
    "allowed_fails": "see SLUICE_BREAKER in docs/configuration.md",
    "cooldown_time": "see SLUICE_BREAKER in docs/configuration.md",
    "alerting": "see alerts in docs/governance.md",
    "guardrails": "there are none here; put them before or behind the gateway",
    "access_groups": "see models of keys and tenants in docs/governance.md",
    "timeout": "see [server.timeouts] in docs/configuration.md, which holds for all models",
    "stream_timeout": "see [server.timeouts] in docs/configuration.md, which holds for all models",
    "max_parallel_requests": "see limits (concurrent) in docs/governance.md",
    "aws_role_name": "name the role in a profile of AWS's configuration, and that in AWS_PROFILE",
    "store_model_in_db": "models are configured in the file",
}


def note(path: str) -> str:
    """Return the sentence about the setting at ``path``, with its equivalent if there is one."""
    hint = HINTS.get(path.rpartition(".")[2])
    return f"{path}: was not carried over{f'; {hint}' if hint else ''}"
