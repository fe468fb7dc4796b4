"""Every command and snippet of the documentation runs as it stands; every link and name in it leads somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config_loading import load, members
from tests.docs.blocks import ROOT, SILENT, Block, blocks, pages, run_block
from tests.running import Gateway, running_gateway
from tests.services import leave_out
from tests.traffic.replay import Reply, Upstream

ELSEWHERE = "docs/clients.md"  # tests/clients/test_page_of_clients.py runs its blocks
RUN_HERE = [block for block in blocks() if block.runs_here and block.page != ELSEWHERE]
INVENTED = {"app/providers/acme.py"}  # what CONTRIBUTING.md has its reader write
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 2, "output_tokens": 2},
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """What a reader has started: the sandbox, and Anthropic with a key (its part is played)."""
    with Upstream(script=lambda request: Reply.json(CLAUDE)) as upstream:
        environ = {"ANTHROPIC_API_KEY": "sk-ant-key", "ANTHROPIC_BASE_URL": upstream.url}
        with running_gateway(environ) as gateway:
            yield gateway


@pytest.fixture(scope="module")
def runs() -> dict[str, subprocess.CompletedProcess[str]]:
    """What ran already, by the block's name."""
    return {}


@pytest.fixture
def ran(
    request: pytest.FixtureRequest,
    gateway: Gateway,
    tmp_path: Path,
    runs: dict[str, subprocess.CompletedProcess[str]],
) -> subprocess.CompletedProcess[str]:
    """The block, run once for all tests that look at it."""
    block: Block = request.param
    if block.name in runs:
        return runs[block.name]
    node_path = ""
    if block.language == "sh" and (tool := _missing_tool(block.text)) is not None:
        leave_out(f"{tool} is not installed")
    if block.language == "js":
        node = request.getfixturevalue("node_openai")
        where = 'console.log(require.resolve("openai").split("/openai/")[0])'
        node_path = subprocess.run(
            [node, "-e", where], capture_output=True, text=True, check=True
        ).stdout.strip()
    runs[block.name] = run_block(block, tmp_path, port=gateway.port, node_path=node_path)
    return runs[block.name]


def _missing_tool(text: str) -> str | None:
    """The command line client that a block runs and this machine has not, None for none."""
    tools = [word for word in CLIENTS if re.search(rf"^{word}\b", text, re.MULTILINE)]
    return next((tool for tool in tools if shutil.which(tool) is None), None)


@pytest.mark.parametrize("ran", RUN_HERE, ids=lambda block: block.name, indirect=True)
def test_a_block_runs_as_it_stands(ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


def _readme(language: str, words: str) -> Block:
    return next(b for b in RUN_HERE if b.page == "README.md" and b.language == language and words in b.text)


@pytest.mark.parametrize(
    ("ran", "said"),
    [
        (_readme("sh", "sandbox/echo"), "You said: Hello"),
        (_readme("python", "responses.stream"), "Good morning"),
        (_readme("js", "chat.completions"), "Good morning"),
        (_readme("sh", "anthropic/"), '"provider":"anthropic"'),
        (_readme("python", "starting_after"), "one two three four five"),
    ],
    indirect=["ran"],
    ids=["first call", "python", "node", "a real provider", "the life of a response"],
)
def test_the_readme_gets_what_it_promises(ran: subprocess.CompletedProcess[str], said: str) -> None:
    assert said in ran.stdout


@pytest.mark.parametrize("ran", [_readme("python", "starting_after")], ids=["resumed"], indirect=True)
def test_the_readme_resumes_without_a_gap(ran: subprocess.CompletedProcess[str]) -> None:
    numbers = [int(n) for n in re.findall(r"^(\d+) response\.", ran.stdout, re.MULTILINE)]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert "response.completed" in ran.stdout


@pytest.mark.parametrize("block", [b for b in blocks() if not b.runs_here], ids=lambda block: block.name)
def test_a_block_that_is_not_run_here_says_why(block: Block) -> None:
    if block.run_by is not None:
        assert (ROOT / block.run_by).is_file()
    elif block.reason is None:
        assert block.language in SILENT


OURS = [block for block in blocks() if block.language == "toml" and block.run_by is None]


@pytest.mark.parametrize("block", OURS, ids=lambda block: block.name)
def test_a_configuration_in_a_page_is_sound(block: Block, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("-----BEGIN CERTIFICATE-----")  # a secret or a bundle, as the page has it
    file = tmp_path / "sluice.toml"
    file.write_text(re.sub(r'(?<=file:)/[^"]+|(?<=ca_bundle = ")/[^"]+', str(key), block.text))
    environ = {name: f"value-of-{name}" for name in re.findall(r"env:([A-Z_]+)", block.text)}
    load(environ, file)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in _anchors(found), f"{page.name} links to {target}"


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_settings_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:app|tests|docs|deploy)/[\w./-]+\.\w+)`", text))
    assert {name for name in named if not (ROOT / name).exists()} - INVENTED == set()
    known = {row.variable for row in members.MEMBERS} | {members.KEYS_VARIABLE, members.FILE_VARIABLE}
    named = set(re.findall(r"`(SLUICE_[A-Z_]*[A-Z])\b", text)) - known - {"SLUICE_KEY"}
    assert {name for name in named if name not in _tests_variables()} == set()


def _tests_variables() -> set[str]:
    """The variables that steer tests and CI."""
    sources = [*(ROOT / "tests").glob("*.py"), ROOT / ".ci/run"]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    return set(re.findall(r"\bSLUICE_(?:TEST_|CI|EXPLORE)[A-Z_]*\b", text))


CLIENTS = ("claude", "gemini", "codex")
PARAGRAPHS = {"Gateway": "gateway", "State": "state", "Surfaces": "surfaces", "Wire": "wire"}


@pytest.mark.parametrize("name", PARAGRAPHS)
def test_the_modules_that_the_architecture_names_are_there(name: str) -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    paragraph = text.split(f"**{name}.**", 1)[1].split("\n\n", 1)[0]
    matches = re.findall(r"`([a-z_0-9]+)(/?)`", paragraph)
    folder = ROOT / "app" / PARAGRAPHS[name]
    assert len(matches) > 5
    assert [word for word, slash in matches if not any(folder.rglob(word if slash else f"{word}.py"))] == []
