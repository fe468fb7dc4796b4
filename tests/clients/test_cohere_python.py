"""cohere-python drives the Cohere surface, with the sandbox, a chat-only provider and Cohere's own kind of errors."""

from __future__ import annotations

from typing import Any

import cohere
import pytest
from cohere.core.api_error import ApiError

from tests.behaviour.world import World, chat_body, chat_stream, running_world
from tests.clients.conftest import KEY
from tests.traffic.replay import Reply

MODEL = "sandbox/echo"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


def user_messages(text: str) -> list[Any]:
    """Return one user message."""
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def client(world: World) -> cohere.ClientV2:
    """The SDK as users make it."""
    return cohere.ClientV2(api_key=KEY, base_url=f"{world.gateway.url}/cohere", timeout=20)


def test_a_chat_is_answered(client: cohere.ClientV2) -> None:
    answer = client.chat(model=MODEL, messages=user_messages("say exactly: hello"))
    assert answer.message.content is not None
    assert (answer.message.content[0].text, answer.finish_reason) == ("hello", "COMPLETE")  # type: ignore[union-attr]
    assert answer.usage.tokens.output_tokens == 1  # type: ignore[union-attr]


def test_a_stream_is_read(client: cohere.ClientV2) -> None:
    events = list(client.chat_stream(model=MODEL, messages=user_messages("say exactly: one two")))
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[1], kinds[-1]) == ("message-start", "content-start", "message-end")
    text = "".join(e.delta.message.content.text for e in events if e.type == "content-delta")  # type: ignore[union-attr]
    assert text == "one two"


def test_a_tool_is_called_and_its_result_is_read(client: cohere.ClientV2) -> None:
    asked = user_messages("call tool get_weather with city=Paris, days=5")
    first = client.chat(model=MODEL, messages=asked, tools=[WEATHER])
    assert first.finish_reason == "TOOL_CALL"
    (call,) = first.message.tool_calls or ()
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}
    turn = {"role": "assistant", "tool_calls": [call]}
    second = client.chat(model=MODEL, messages=[*asked, turn, result], tools=[WEATHER])  # type: ignore[list-item]
    assert "sunny, 21 degrees" in second.message.content[0].text  # type: ignore[index, union-attr]


def test_a_schema_is_filled(client: cohere.ClientV2) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    form: Any = {"type": "json_object", "json_schema": schema}
    answer = client.chat(model=MODEL, messages=user_messages("fill name=Ann"), response_format=form)
    assert answer.message.content[0].text.replace(" ", "") == '{"name":"Ann"}'  # type: ignore[index, union-attr]


def test_vectors_of_whole_numbers_are_those_of_coheres_model() -> None:
    made = {"int8": [[-128, 127], [1, 2]], "ubinary": [[255], [0]]}
    meta = {"billed_units": {"input_tokens": 3}}
    with running_world({"COHERE_API_KEY": "theirs", "COHERE_BASE_URL": "{upstream}/cohere"}) as world:
        world.upstream.add(Reply.json({"id": "e", "embeddings": made, "texts": ["a", "b"], "meta": meta}))
        with cohere.ClientV2(api_key="any", base_url=f"{world.gateway.url}/cohere", timeout=20) as client:
            answer = client.embed(
                model="embed-v4.0",
                texts=["a", "b"],
                input_type="search_document",
                embedding_types=["int8", "ubinary"],
                output_dimension=8,
            )
        (request,) = world.upstream.requests
    assert (answer.embeddings.int8, answer.embeddings.ubinary) == (made["int8"], made["ubinary"])
    assert answer.embeddings.float_ is None
    assert (request.path, request.json()["embedding_types"]) == ("/cohere/v2/embed", ["int8", "ubinary"])


def test_other_models_make_no_vectors_of_whole_numbers(client: cohere.ClientV2) -> None:
    with pytest.raises(ApiError) as refused:
        client.embed(
            model=MODEL, texts=["a"], input_type="search_document", embedding_types=["float", "int8"]
        )
    assert refused.value.status_code == 400
    assert "int8" in refused.value.body["message"]


def test_texts_are_embedded(client: cohere.ClientV2) -> None:
    answer = client.embed(
        model=MODEL, texts=["a", "b"], input_type="search_document", embedding_types=["float"]
    )
    assert answer.embeddings.float_ is not None
    assert len(answer.embeddings.float_) == 2


def test_models_are_listed_and_fetched(client: cohere.ClientV2) -> None:
    names = [model.name for model in client.models.list(page_size=1000).models if model.name]
    assert MODEL in names
    assert client.models.get(MODEL).name == MODEL


@pytest.mark.parametrize(
    "options, status",
    [
        ({"messages": user_messages("fail with 429")}, 429),
        ({"model": "no-such-model"}, 404),
        ({"max_tokens": 0}, 400),
    ],
)
def test_errors_have_coheres_form(client: cohere.ClientV2, options: dict[str, Any], status: int) -> None:
    with pytest.raises(ApiError) as told:
        client.chat(
            **{"model": MODEL, "messages": user_messages("x"), **options}, request_options={"max_retries": 0}
        )
    assert told.value.status_code == status
    assert set(told.value.body) == {"message", "id"}
    assert (told.value.headers or {})["x-request-id"] == told.value.body["id"]


def test_a_wrong_key_is_401_in_coheres_form(world: World) -> None:
    stranger = cohere.ClientV2(api_key="wrong", base_url=f"{world.gateway.url}/cohere")
    with pytest.raises(ApiError) as told:
        stranger.models.list()
    assert (told.value.status_code, set(told.value.body)) == (401, {"message", "id"})


def test_a_provider_of_chat_alone_answers(world: World, client: cohere.ClientV2) -> None:
    world.fresh().upstream.add(Reply.json(chat_body("from groq")))
    world.upstream.add(Reply.sse(chat_stream("from ", "groq")))
    options: dict[str, Any] = {"model": "groq/x", "messages": user_messages("hi"), "max_tokens": 9, "p": 0.5}
    assert client.chat(**options).message.content[0].text == "from groq"  # type: ignore[index, union-attr]
    events = list(client.chat_stream(**options))
    text = "".join(e.delta.message.content.text for e in events if e.type == "content-delta")  # type: ignore[union-attr]
    assert text == "from groq"
    for sent in world.upstream.requests:
        assert (sent.path, sent.json()["top_p"]) == ("/groq/chat/completions", 0.5)


def test_a_stream_that_breaks_off_ends_in_an_error(world: World, client: cohere.ClientV2) -> None:
    whole = chat_stream("good")
    world.fresh().upstream.add(Reply.sse(whole, cut=whole.index(b"\n\n", whole.index(b"good")) + 2))
    *_, last = client.chat_stream(model="groq/x", messages=user_messages("hi"))
    assert last.type == "message-end"
    assert (last.delta.finish_reason, bool(last.delta.error)) == ("ERROR", True)  # type: ignore[union-attr]


def test_documents_are_ranked(client: cohere.ClientV2) -> None:
    documents = ["a blue car", "a red fruit"]
    answer = client.rerank(model=MODEL, query="red fruit", documents=documents, top_n=1)
    assert [one.index for one in answer.results] == [1]
    assert answer.meta is not None
    assert answer.meta.billed_units is not None
    assert answer.meta.billed_units.search_units == 1


def test_the_first_client_embeds_and_ranks(world: World) -> None:
    """``Client`` calls v1; LangChain's ``CohereEmbeddings`` uses it."""
    with cohere.Client(base_url=f"{world.gateway.url}/cohere", api_key=KEY) as client:
        asked: Any = {"model": "sandbox/echo", "texts": ["one", "two"], "input_type": "search_query"}
        plain = client.embed(**asked)
        typed = client.embed(**asked, embedding_types=["float"])
        ranked = client.rerank(model="sandbox/echo", query="red", documents=["blue", "red"], top_n=1)
    assert plain.response_type == "embeddings_floats"
    assert typed.response_type == "embeddings_by_type"
    assert [len(vector) for vector in plain.embeddings] == [256, 256]
    assert typed.embeddings.float_ == plain.embeddings
    assert [row.index for row in ranked.results] == [1]
