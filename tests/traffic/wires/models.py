"""Model lists: OpenAI's and Anthropic's ``data``, Google's and Ollama's ``models``, Bedrock's summaries."""

from tests.traffic.answers import Catalogue, Json, failure
from tests.traffic.load import Exchange

LISTS = ("data", "models", "modelSummaries")
NAMES = ("id", "modelId", "model", "name")


def read(exchange: Exchange) -> Catalogue:
    """A single model's answer counts as a list of one."""
    if error := failure(exchange):
        return Catalogue(error=error)
    body: Json = exchange.json()
    entries = next((body[key] for key in LISTS if key in body), [body])
    return Catalogue(ids=[next(e[key] for key in NAMES if key in e) for e in entries])
