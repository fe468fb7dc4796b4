"""What the importer says of a setting of LiteLLM's that has no place in a ``sluice.toml``.

Tests: tests/terminal/test_litellm.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
