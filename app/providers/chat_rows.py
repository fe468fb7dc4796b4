"""Each provider's chat-completions wire as a ``ChatOptions`` row.

Members were read in the vendors' own SDK types of November 2026 (the OpenAI, Azure,
Groq, Cerebras, OpenRouter, Perplexity and Mistral packages), for Ollama in its list of
supported fields; history slots and ids in recorded traffic.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from app.dialects.chat.options import COMMON_MEMBERS, PLATFORM_MEMBERS, ChatOptions

CUSTOM: Final = ChatOptions(text_lists=False)
"""An unknown OpenAI-like server: the oldest names, any vendor's members."""

OPENAI: Final = ChatOptions(
    members=COMMON_MEMBERS | PLATFORM_MEMBERS,
    open_members=False,
    max_tokens="max_completion_tokens",
    history="none",
    developer_role=True,
    file_ids=True,
    refusals=True,
    message_members=frozenset({"annotations"}),  # clients replay the answer they got (recorded)
    part_members=frozenset({"prompt_cache_breakpoint"}),
    custom_tools=True,
    tool_choices=frozenset({"auto", "none", "required", "named", "allowed"}),
    hosted_tools=frozenset(),
    reads_arguments=False,
    newer_limit=re.compile(r"(?:^|[^a-z0-9])(?:o[1-9]|gpt-?[5-9])(?![0-9])", re.IGNORECASE),
)

AZURE: Final = replace(
    OPENAI,
    members=(COMMON_MEMBERS | PLATFORM_MEMBERS | {"data_sources", "user_security_context"})
    - {"moderation", "web_search_options"},
)
"""Azure's deployments of OpenAI models."""

OTHER_MAKERS: Final = replace(CUSTOM, open_members=False, history="none", hosted_tools=frozenset())
"""Models of other makers at Azure and Vertex (Grok, DeepSeek, Llama, Qwen), which take the older names."""

GROQ: Final = ChatOptions(
    # its type lists logit_bias, logprobs and n as "not yet supported by any of our models"
    members=(COMMON_MEMBERS - {"logit_bias", "logprobs", "top_logprobs", "n"})
    | frozenset(
        """
        citation_options compound_custom disable_tool_validation documents exclude_domains
        include_domains include_reasoning reasoning_format search_settings service_tier
        """.split()
    ),
    open_members=False,
    max_tokens="max_completion_tokens",
    efforts=("none", "low", "medium", "high"),
    # "Reasoning" in Groq's documentation, 2026-11: the rest of its models refuse the member
    effort_rows=(
        ("distill", ()),
        ("qwen", ("none", "default")),
        ("gpt-oss", ("low", "medium", "high")),
        *((name, ()) for name in ("llama", "kimi", "compound", "allam", "gemma", "mistral")),
    ),
    history="reasoning",
    developer_role=True,
    part_types=frozenset({"text", "image_url"}),
    hosted_tools=frozenset({"browser_search", "code_interpreter"}),
    service_tiers=frozenset({"auto", "on_demand", "flex", "performance"}),
)

CEREBRAS: Final = ChatOptions(
    members=COMMON_MEMBERS
    | frozenset(
        """
        clear_thinking disable_reasoning min_completion_tokens min_tokens model_parameters
        prediction prompt_cache_key reasoning_format service_tier
        """.split()
    ),
    open_members=False,
    max_tokens="max_completion_tokens",
    efforts=("none", "low", "medium", "high"),
    history="reasoning",
    developer_role=True,
    part_types=frozenset({"text", "image_url"}),
    hosted_tools=frozenset(),
)

OPENROUTER: Final = ChatOptions(
    members=(COMMON_MEMBERS - {"n"})
    | frozenset(
        """
        audio cache_control debug deferred_tools image_config include_reasoning metadata min_p
        modalities models plugins prediction prompt_cache_key prompt_cache_options provider
        reasoning repetition_penalty route service_tier session_id stop_server_tools_when top_a
        top_k trace transforms usage verbosity
        """.split()
    ),
    open_members=False,
    max_tokens="max_completion_tokens",
    reasoning="object",
    history="reasoning_details",
    developer_role=True,
    file_urls=True,
    refusals=True,
    message_members=frozenset({"annotations", "cache_control", "images", "model"}),
    part_members=frozenset({"cache_control"}),
    tool_members=frozenset({"cache_control"}),
    hosted_tools=frozenset({"openrouter", "web_search", "web_search_preview"}),
)

PERPLEXITY: Final = ChatOptions(
    members=(COMMON_MEMBERS - {"logit_bias", "seed", "stream_options", "user"})
    | frozenset(
        """
        best_of country cum_logprobs disable_search diverse_first_token enable_search_classifier
        file_workspace_id image_domain_filter image_format_filter language_preference
        last_updated_after_filter last_updated_before_filter latitude longitude media_response
        num_images num_search_results ranking_model response_formatting_locale
        response_metadata return_images return_related_questions safe_search
        search_after_date_filter search_before_date_filter search_domain_filter
        search_language_filter search_mode search_recency_filter stream_mode thread_id top_k
        updated_after_timestamp updated_before_timestamp use_threads user_original_query
        web_search_options
        """.split()
    ),
    open_members=False,
    efforts=("minimal", "low", "medium", "high"),
    history="none",
    names=False,
    part_types=frozenset({"text", "image_url", "file"}),
    file_form="file_url",
    file_urls=True,
    formats=frozenset({"json_schema"}),
    web_search=True,
    tool_choices=frozenset({"auto", "none", "required"}),
    tool_parameters_required=True,
    tool_description_required=True,
    hosted_tools=frozenset(),
    image_detail=False,
    alternates=True,
)

SGL: Final = replace(CUSTOM, hosted_tools=frozenset(), also_reasoning=True)
"""SGLang and vLLM, self-hosted or at Parasail: they take sampling members of their own, by name."""

OLLAMA: Final = ChatOptions(
    members=(COMMON_MEMBERS - {"logit_bias", "n", "parallel_tool_calls", "tool_choice", "user"}),
    open_members=False,
    efforts=("none", "low", "medium", "high"),
    history="reasoning",
    part_types=frozenset({"text", "image_url"}),
    strict_tools=False,
    tool_choices=frozenset({"auto"}),
    hosted_tools=frozenset(),
    image_urls=False,
)

MISTRAL: Final = ChatOptions(
    members=(COMMON_MEMBERS - {"logit_bias", "seed", "stream_options", "user"})
    | frozenset(
        """
        guardrails metadata min_tokens prediction prompt_cache_key prompt_logprobs prompt_mode
        random_seed repetition_penalty safe_prompt service_tier top_k top_prompt_logprobs
        """.split()
    ),
    open_members=False,
    seed="random_seed",
    temperature_max=1.5,
    history="thinking",
    names=False,
    file_form="document_url",
    file_ids=True,
    file_urls=True,
    message_members=frozenset({"prefix"}),
    hosted_tools=frozenset({"image_generation", "document_library", "connector"}),
    tool_parameters_required=True,
    prefix=True,
    short_ids=True,
    answers_tools=True,
    service_tiers=frozenset({"auto", "standard_only"}),
)
