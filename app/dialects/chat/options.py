"""How chat-completion wires differ from one another, as data.

``ChatOptions`` says which members of the request a wire's published type has and in what
form it wants the rest; the rows themselves belong to the providers. The member tables
were read in the vendors' SDK types of November 2026.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from app.canonical.record import record
from app.dialects.shared.effort import EFFORTS

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
"""What nearly every chat-completion server takes, beside model, messages and stream."""

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
"""What the original API has beyond the common members."""

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
"""Members that some API we know defines: sent only where the target's own type has them."""

KNOWN_MESSAGE_MEMBERS: Final = frozenset(
    """
    annotations cache_control clear_thinking executed_tools images model phase prefix
    provider_specific_fields reasoning_steps status thought_signature
    """.split()
)

KNOWN_PART_MEMBERS: Final = frozenset({"cache_control", "prompt_cache_breakpoint"})

KNOWN_TOOL_MEMBERS: Final = frozenset({"cache_control", "defer_loading", "allowed_callers", "input_examples"})

ANY_TOOL: Final = frozenset({"*"})
"""The hosted tools of a server that we know nothing of."""

History = Literal["none", "reasoning", "reasoning_content", "reasoning_details", "thinking", "extra_content"]
FileForm = Literal["file", "document_url", "file_url"]


@record
class ChatOptions:
    """One wire's row. The defaults fit an unknown OpenAI-like server.

    ``members``: request members of its published type. ``open_members``: it may take any
    vendor's (self-hosted servers). ``max_tokens`` and ``seed`` name the members that carry
    those. ``reasoning``: by ``reasoning_effort``, by a ``reasoning`` object, or not at all;
    ``efforts`` are those it knows, from least to most; others become the nearest.
    ``history``: the slot in which an assistant's earlier reasoning goes back.
    ``part_types``: content parts it takes of text, image_url, input_audio, file;
    ``file_form`` how a document is written; ``file_ids`` and ``file_urls`` whether files
    may be named so; ``refusals`` whether a refusal has a member of its own. ``message_members``, ``part_members``, ``tool_members``: vendor
    members it takes there. ``formats``: response_format types. ``tool_choices``: modes
    it understands. ``hosted_tools``: tool types it runs itself (``ANY_TOOL``: not known).
    ``image_detail``: pictures may say how closely to look. ``image_urls``: pictures may be given by
    their address. ``effort_rows``: efforts of models by a part of their id, first match wins.
    ``also_reasoning``: earlier reasoning goes back under its newer name, too. ``alternates``: system
    messages come first, then users' and assistants' by turns. ``answers_tools``: an assistant's
    message follows a tool's. ``service_tiers``: those it has (None: any).
    ``web_search``: a hosted
    web search is asked for by ``web_search_options``. ``prefix``: a last assistant message
    is marked as the beginning of the answer. ``short_ids``: tool call ids are nine letters
    or digits. ``reads_arguments``: the server parses the arguments of earlier calls, and refuses
    what is no JSON. ``text_lists``: content may be a list of texts, not
    one string only. ``newer_limit`` matches models that refuse ``max_tokens``.
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

    def efforts_for(self, model: str) -> tuple[str, ...]:
        """Return the efforts that a model knows, from least to most."""
        name = model.lower()
        return next((efforts for part, efforts in self.effort_rows if part in name), self.efforts)

    reads_arguments: bool = True
    text_lists: bool = True
    newer_limit: re.Pattern[str] | None = None

    def wants_newer_limit(self, model: str) -> bool:
        """Tell whether ``model`` refuses ``max_tokens`` and takes ``max_completion_tokens``."""
        return self.newer_limit is not None and self.newer_limit.search(model) is not None

    def runs(self, kind: str) -> bool:
        """Tell whether a tool of the hosted type ``kind`` may be sent."""
        return not self.hosted_tools.isdisjoint({"*", kind, kind.partition(":")[0]})

    def takes(self, member: str) -> bool:
        """Tell whether the request member ``member`` may be sent."""
        return member in self.members or (self.open_members and member not in PLATFORM_MEMBERS)
