"""openai-python's calls of a response's life, unchanged, by every class and base URL that users have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from tests.behaviour.world import World
from tests.clients.conftest import KEY

MODEL = "sandbox/echo"
ONCE: dict[str, Any] = {"max_retries": 0, "timeout": 30}

CLASSES: dict[str, Callable[[str], OpenAI]] = {
    "OpenAI at /v1": lambda url: OpenAI(base_url=f"{url}/v1", api_key=KEY, **ONCE),
    "OpenAI at /openai/v1": lambda url: OpenAI(base_url=f"{url}/openai/v1/", api_key=KEY, **ONCE),
    "OpenAI at TrueFoundry's": lambda url: OpenAI(
        base_url=f"{url}/api/llm/api/inference/openai", api_key=KEY, **ONCE
    ),
    "AzureOpenAI with an endpoint": lambda url: AzureOpenAI(
        azure_endpoint=url, api_key=KEY, api_version="2025-04-01-preview", **ONCE
    ),
    "AzureOpenAI with a base URL": lambda url: AzureOpenAI(
        base_url=f"{url}/openai/v1/", api_key=KEY, api_version="preview", **ONCE
    ),
}


@pytest.fixture(params=CLASSES)
def client(request: pytest.FixtureRequest, world: World) -> Iterator[OpenAI]:
    """Each class as users make it, but without retries."""
    with CLASSES[request.param](world.gateway.url) as made:
        yield made


def test_a_response_is_fetched_listed_continued_and_deleted(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input="say exactly: one")
    shown = client.responses.retrieve(response.id)
    assert (shown.id, shown.status, shown.output_text) == (response.id, "completed", "one")
    with_more = client.responses.retrieve(
        response.id, include=["reasoning.encrypted_content", "message.output_text.logprobs"]
    )
    assert with_more.output == shown.output
    (item,) = list(client.responses.input_items.list(response.id, order="asc", limit=1))
    assert getattr(item, "role", None) == "user"
    again = client.responses.create(model=MODEL, input="echo history", previous_response_id=response.id)
    assert "say exactly: one" in again.output_text
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError) as gone:
        client.responses.retrieve(response.id)
    assert gone.value.body == {  # type: ignore[comparison-overlap]  # the SDK types it as object
        "message": f"Response with id '{response.id}' not found.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_input_items_are_paged_by_the_sdk(client: OpenAI) -> None:
    said: Any = [{"role": "user", "content": f"item {number}"} for number in range(7)]
    response = client.responses.create(model=MODEL, input=said)
    listed = list(client.responses.input_items.list(response.id, limit=3, order="asc"))
    assert [item.content[0].text for item in listed] == [f"item {number}" for number in range(7)]  # type: ignore[union-attr,index]


def test_a_background_response_is_polled_and_cancelled(client: OpenAI) -> None:
    queued = client.responses.create(model=MODEL, input="take 30 seconds", background=True)
    assert queued.status == "queued"
    assert client.responses.retrieve(queued.id).status in ("queued", "in_progress")
    with pytest.raises(openai.BadRequestError, match="Cannot delete an in-flight response"):
        client.responses.delete(queued.id)
    assert client.responses.cancel(queued.id).status == "cancelled"
    assert client.responses.cancel(queued.id).status == "cancelled"
    client.responses.delete(queued.id)


def test_a_background_stream_is_resumed_at_any_number(client: OpenAI) -> None:
    asked: Any = {"model": MODEL, "input": "say exactly: one two three", "background": True, "stream": True}
    events = list(client.responses.create(**asked))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    response_id = events[0].response.id
    for after in range(len(events)):
        with client.responses.retrieve(response_id, stream=True, starting_after=after) as rest:
            assert list(rest) == events[after + 1 :]
    with client.responses.stream(response_id=response_id, starting_after=3) as followed:
        assert followed.get_final_response().output_text == "one two three"


def test_a_synchronous_response_cannot_be_cancelled_or_streamed_again(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input="say exactly: one")
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(response.id)
    with pytest.raises(openai.BadRequestError, match="not created with background=true"):
        client.responses.retrieve(response.id, stream=True)


def test_tokens_are_counted_and_histories_compacted(client: OpenAI) -> None:
    counted = client.responses.input_tokens.count(model=MODEL, input="one two three")
    assert (counted.object, counted.input_tokens >= 3) == ("response.input_tokens", True)
    first = client.responses.create(model=MODEL, input="Remember the word banana.")
    compacted = client.responses.compact(model=MODEL, previous_response_id=first.id)
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    onward: Any = [
        *(item.to_dict() for item in compacted.output),
        {"role": "user", "content": "echo history"},
    ]
    assert "banana" in client.responses.create(model=MODEL, input=onward, store=False).output_text


def test_a_conversation_lives(client: OpenAI) -> None:
    conversations = client.conversations
    items: Any = [{"type": "message", "role": "user", "content": "I am Ann"}]
    made = conversations.create(metadata={"topic": "names"}, items=items)
    assert conversations.create().metadata == {}
    response = client.responses.create(model=MODEL, input="echo history", conversation=made.id)
    assert "I am Ann" in response.output_text
    assert response.conversation is not None
    assert response.conversation.id == made.id
    listed = list(conversations.items.list(made.id, order="asc", limit=1))
    assert [getattr(item, "role", None) for item in listed] == ["user", "user", "assistant"]
    first = str(listed[0].id)
    assert conversations.items.retrieve(first, conversation_id=made.id).id == first
    assert conversations.items.delete(first, conversation_id=made.id).id == made.id
    with pytest.raises(openai.NotFoundError):
        conversations.items.retrieve(first, conversation_id=made.id)
    assert len(conversations.items.create(made.id, items=items).data) == 1
    assert conversations.update(made.id, metadata={"topic": "x"}).metadata == {"topic": "x"}
    assert conversations.retrieve(made.id).id == made.id
    assert conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        conversations.retrieve(made.id)


def test_a_turn_compacts_its_history(client: OpenAI) -> None:
    history: Any = [
        {"role": "user", "content": "Ada is a cat. " * 400},
        {"role": "assistant", "content": "Noted."},
        {"role": "user", "content": "say exactly: nine"},
    ]
    managed: Any = [{"type": "compaction", "compact_threshold": 1000}]
    with client.responses.stream(model=MODEL, input=history, context_management=managed) as stream:
        for _ in stream:
            continue
        response = stream.get_final_response()
    assert [item.type for item in response.output] == ["compaction", "message"]
    assert response.output_text == "nine"
    again = client.responses.create(
        model=MODEL, input="echo history", previous_response_id=response.id, context_management=managed
    )
    assert "Summary of the conversation" in again.output_text
