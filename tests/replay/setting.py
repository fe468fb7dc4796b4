"""The gateway whose sixteen providers are one fake upstream, each below a path of its own.

Addresses are given as an operator gives them: by the variables of docs/configuration.md. Two custom
providers stand for wires that a recording has and a built-in provider does not call: ``responder``
speaks Responses only, ``compat`` is Google's OpenAI-compatible endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.behaviour.world import World
from tests.running import running_gateway
from tests.traffic.replay import Upstream

PATHS: Mapping[str, str] = {
    "OPENAI_BASE_URL": "/openai/v1",
    "ANTHROPIC_BASE_URL": "/anthropic",
    "AZURE_OPENAI_ENDPOINT": "/azure",
    "BEDROCK_BASE_URL": "/bedrock",
    "VERTEX_BASE_URL": "/vertex",
    "COHERE_BASE_URL": "/cohere",
    "MISTRAL_BASE_URL": "/mistral",
    "GEMINI_BASE_URL": "/gemini/v1beta",
    "GROQ_BASE_URL": "/groq/openai/v1",
    "OPENROUTER_BASE_URL": "/openrouter/api/v1",
    "PARASAIL_BASE_URL": "/parasail/v1",
    "PERPLEXITY_BASE_URL": "/perplexity",
    "CEREBRAS_BASE_URL": "/cerebras/v1",
    "SGL_BASE_URL": "/sgl/v1",
    "OLLAMA_BASE_URL": "/ollama/v1",
    "ELEVENLABS_BASE_URL": "/elevenlabs",
}
"""Variable -> the path below the fake upstream, in the form that the provider's own SDK takes."""

SECRETS: Mapping[str, str] = {
    **{
        f"{name}_API_KEY": f"secret-of-{name.lower()}"
        for name in (
            "OPENAI ANTHROPIC AZURE_OPENAI COHERE MISTRAL GEMINI GROQ OPENROUTER PARASAIL PERPLEXITY "
            "CEREBRAS SGL ELEVENLABS"
        ).split()
    },
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
    "AWS_SECRET_ACCESS_KEY": "secret-of-aws",
    "VERTEX_ACCESS_TOKEN": "secret-of-vertex",
}

ENVIRONMENT: Mapping[str, str] = {
    **SECRETS,
    "AWS_REGION": "us-east-1",
    "VERTEX_PROJECT": "example-project",
    "VERTEX_LOCATION": "global",
    "SLUICE_MAX_RETRIES": "0",
    "SLUICE_MODELS_KEPT": "0",
}

CONFIG = """
[providers.responder]
dialect = "responses"
base_url = "{upstream}/responder/v1"

[providers.compat]
dialect = "chat"
base_url = "{upstream}/compat/v1beta/openai"

[providers.elevenlabs.options.voices]
alloy = "JBFqnCBsd6RMkjVDRZzb"
"""


@contextmanager
def replaying_world(config: str = "", **variables: str) -> Iterator[World]:
    """Run the gateway and the upstream behind all of its providers; ``config`` is added to the file."""
    with Upstream() as upstream:
        addresses = {name: upstream.url + path for name, path in PATHS.items()}
        text = (CONFIG + config).replace("{upstream}", upstream.url)
        with running_gateway({**ENVIRONMENT, **addresses, **variables}, config=text) as gateway:
            yield World(gateway, upstream)
