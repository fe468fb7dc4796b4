"""A gateway whose store is sealed: all of a response's life, and nothing of it in the files."""

from __future__ import annotations

from pathlib import Path

from tests.lifecycle.house import running_house, text_of

CANARY = "c4n4ry-of-a-prompt"


def test_a_sealed_house_lives_as_an_open_one_and_its_files_tell_nothing() -> None:
    with running_house(env={"SLUICE_ENCRYPT": "on"}) as house:
        ann, said = house.client("ann"), f"say exactly: {CANARY}"
        first = ann.make(said, metadata={"note": CANARY})
        assert text_of(ann.make("echo history", previous_response_id=first["id"])).count(CANARY) >= 1
        background = ann.make(said, background=True)
        assert text_of(ann.ended(background["id"])) == CANARY
        assert ann.log(background["id"])[-1]["type"] == "response.completed"
        conversation = ann.post("/v1/conversations", {"items": [{"role": "user", "content": CANARY}]}).json
        listed = ann.get(f"/v1/conversations/{conversation['id']}/items").json["data"]
        assert listed[0]["content"][0]["text"] == CANARY
        folder = Path(house.database_url.removeprefix("sqlite:///")).parent
        files = [path for path in folder.rglob("house.*") if path.is_file()]
        assert len(files) >= 2
        assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []
