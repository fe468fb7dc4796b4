"""Items of hosted tools in a Responses input, on wires that have no such tools: left out with a
warning, whoever made them; a content part that a wire cannot read is refused instead."""

from __future__ import annotations

from typing import Any

import pytest

from app.dialects import dialect
from app.dialects.responses.dialect import DIALECT
from app.dialects.shared.losses import Losses
from app.errors import GatewayError
from tests.dialects import generic

WIRES = ("chat", "messages", "gemini", "cohere", "converse")
END = {"role": "user", "content": "and now"}
ITEMS: dict[str, dict[str, Any]] = {
    "a call": {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
    "its result": {"type": "shell_call_output", "call_id": "c", "output": []},
    "a screenshot": {
        "type": "computer_call_output",
        "call_id": "c",
        "output": {"type": "computer_screenshot"},
    },
    "an approval": {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    "one of tomorrow": {"type": "sparkle_call_output", "call_id": "c"},
}


def translate_items(wire: str, items: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """Return what goes out, as text, and the members that were reported lost."""
    request = DIALECT.decode_request({"model": "m", "input": items}, generic.server_context())
    context = generic.client_context(losses=Losses("responses"))
    return repr(dialect(wire).encode_request(request, context)), [loss.param for loss in context.losses.items]


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("wire", WIRES)
def test_a_hosted_item_is_left_out_with_a_warning(wire: str, name: str) -> None:
    out, lost = translate_items(wire, [ITEMS[name], END])
    assert "and now" in out
    assert ITEMS[name]["type"] not in out
    assert "input" in lost


@pytest.mark.parametrize("wire", WIRES)
def test_a_content_part_that_no_wire_reads_is_refused(wire: str) -> None:
    strange = {"type": "input_video", "video_url": "https://example.com/v.mp4"}
    with pytest.raises(GatewayError) as caught:
        translate_items(wire, [{"role": "user", "content": [strange]}, END])
    assert caught.value.kind.name == "unsupported_parameter"
