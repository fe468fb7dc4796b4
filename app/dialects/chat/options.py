"""The differences between chat-completions providers, as data.

``ChatOptions`` lists the members of a provider's published request type and the forms of their values; the
rows themselves are in ``app/providers``. The tables of members come from the vendors' SDK types of
November 2026.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final, Literal

from app.canonical.record import record
from app.dialects.shared import members
from app.dialects.shared.effort import EFFORTS

NAME: Final = "chat"

own_members: Final = partial(members.own_members, dialect=NAME)
as_native: Final = partial(members.as_native, NAME)


COMMON_MEMBERS: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)
"""Members that nearly all chat-completions servers have, beside model, messages and stream."""

PLATFORM_MEMBERS: Final = frozenset(
    {
        "audio",
        "metadata",
        "modalities",
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
        "web_search_options",
    }
)
"""Further members of OpenAI's own API."""

_VENDOR_MEMBERS: Final = frozenset(
    """
    answering_model best_of cache_control chat_template_kwargs citation_options clear_thinking
    compound_custom country cum_logprobs data_sources debug deferred_tools disable_reasoning disable_search
    disable_tool_validation diverse_first_token documents ebnf enable_search_classifier
    exclude_domains file_workspace_id guardrails guided_choice guided_grammar guided_json
    guided_regex ignore_eos image_config image_domain_filter image_format_filter
    include_domains include_reasoning json_schema keep_alive language_preference
    last_updated_after_filter last_updated_before_filter latitude longitude media_response
    min_completion_tokens min_p min_tokens model_parameters models num_images
    num_search_results plugins prompt_logprobs prompt_mode provider random_seed ranking_model
    reasoning reasoning_format reasoning_model regex repetition_penalty
    response_formatting_locale response_metadata return_images return_related_questions route
    safe_prompt safe_search search_after_date_filter search_before_date_filter
    search_domain_filter search_language_filter search_mode search_recency_filter
    search_settings separate_reasoning session_id stop_server_tools_when stop_token_ids
    stream_mode stream_reasoning system_prompt thread_id top_a top_k top_prompt_logprobs
    trace transforms updated_after_timestamp updated_before_timestamp usage use_threads
    user_original_query user_security_context
    """.split()
)

_OTHER_APIS: Final = frozenset(
    """
    anthropic_version background betas cachedContent container context_management contents
    conversation generationConfig include inferenceConfig input instructions labels
    max_output_tokens max_tool_calls mcp_servers messages_format output_config
    previous_response_id prompt safetySettings safety_mode stop_sequences system
    systemInstruction text thinking toolConfig truncation
    """.split()
)

KNOWN_MEMBERS: Final = COMMON_MEMBERS | PLATFORM_MEMBERS | _VENDOR_MEMBERS | _OTHER_APIS
"""Members that some known API defines. They are sent only to providers whose request type has them."""

KNOWN_MESSAGE_MEMBERS: Final = frozenset(
    """
    annotations cache_control clear_thinking executed_tools images model phase prefix
    provider_specific_fields reasoning_steps status thought_signature
    """.split()
)

KNOWN_PART_MEMBERS: Final = frozenset({"cache_control", "prompt_cache_breakpoint"})

KNOWN_TOOL_MEMBERS: Final = frozenset({"cache_control", "defer_loading", "allowed_callers", "input_examples"})

ANY_TOOL: Final = frozenset({"*"})
"""The hosted tools of a server about which nothing is known."""

History = Literal["none", "reasoning", "reasoning_content", "reasoning_details", "thinking", "extra_content"]
FileForm = Literal["file", "document_url", "file_url"]


@record
class ChatOptions:
    """One provider's variant. The defaults suit an unknown OpenAI-like server.

    Members of the request:

    - ``members``: those of its published type; ``open_members``: it may have any vendor's (self-hosted).
    - ``max_tokens``, ``seed``: the names of these members; ``newer_limit`` matches models that refuse
      ``max_tokens`` and have ``max_completion_tokens``.
    - ``formats``: types of ``response_format``; ``service_tiers``: its tiers (None: any).
    - ``reasoning``: requested by ``reasoning_effort``, by a ``reasoning`` object, or not at all;
      ``efforts``: its efforts from lowest to highest; ``effort_rows``: those of models by a part of their id,
      the first match wins.

    Messages:

    - ``history``: the member in which the reasoning of earlier turns is sent; ``also_reasoning``: it is sent
      in ``reasoning``, too.
    - ``message_members``, ``part_members``, ``tool_members``: vendor members that it has there.
    - ``part_types``: its content parts; ``text_lists``: content may be a list of texts; ``refusals``: refusals
      have a part and a member of their own.
    - ``file_form``: the form of a document; ``file_ids``, ``file_urls``: files may be ids or URLs.
    - ``image_urls``: images may be URLs; ``image_detail``: images have ``detail``.
    - ``prefix``: a last assistant message must be marked as the beginning of the answer.
    - ``alternates``: system messages come first, then user and assistant alternate; ``answers_tools``: an
      assistant message must stand between a tool's message and a user's.

    Tools:

    - ``tool_choices``: its modes; ``hosted_tools``: the types it runs (``ANY_TOOL``: unknown).
    - ``web_search``: its web search is requested by ``web_search_options``.
    - ``short_ids``: tool call ids are nine letters or digits.
    - ``reads_arguments``: the server parses the arguments of earlier calls and refuses invalid JSON.
    """

    members: frozenset[str] = COMMON_MEMBERS
    open_members: bool = True
    max_tokens: str = "max_tokens"
    seed: str = "seed"
    temperature_max: float = 2.0
    reasoning: Literal["effort", "object", "none"] = "effort"
    efforts: tuple[str, ...] = EFFORTS
    history: History = "reasoning_content"
    developer_role: bool = False
    names: bool = True
    part_types: frozenset[str] = frozenset({"text", "image_url", "input_audio", "file"})
    file_form: FileForm = "file"
    file_ids: bool = False
    file_urls: bool = False
    refusals: bool = False
    message_members: frozenset[str] = frozenset()
    part_members: frozenset[str] = frozenset()
    tool_members: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset({"json_object", "json_schema"})
    image_detail: bool = True
    service_tiers: frozenset[str] | None = None
    strict_tools: bool = True
    custom_tools: bool = False
    hosted_tools: frozenset[str] = ANY_TOOL
    web_search: bool = False
    tool_choices: frozenset[str] = frozenset({"auto", "none", "required", "named"})
    tool_parameters_required: bool = False
    tool_description_required: bool = False
    prefix: bool = False
    short_ids: bool = False
    image_urls: bool = True
    effort_rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    also_reasoning: bool = False
    alternates: bool = False
    answers_tools: bool = False
    reads_arguments: bool = True
    text_lists: bool = True
    newer_limit: re.Pattern[str] | None = None

    def efforts_for(self, model: str) -> tuple[str, ...]:
        """Return the efforts of a model, from lowest to highest."""
        name = model.lower()
        return next((efforts for part, efforts in self.effort_rows if part in name), self.efforts)

    def needs_newer_limit(self, model: str) -> bool:
        """Tell whether ``model`` refuses ``max_tokens`` and has ``max_completion_tokens``."""
        return self.newer_limit is not None and self.newer_limit.search(model) is not None

    def runs(self, kind: str) -> bool:
        """Tell whether the provider may run hosted tools of the type ``kind``."""
        return not self.hosted_tools.isdisjoint({"*", kind, kind.partition(":")[0]})

    def takes(self, member: str) -> bool:
        """Tell whether the provider may have the request member ``member``."""
        return member in self.members or (self.open_members and member not in PLATFORM_MEMBERS)
