"""Files of requests."""

import json

import pytest


@pytest.fixture
def requests(tmp_path):
    """Short ones: the small models hold few tokens."""
    entries = [{"instruction": f"Do {verb} it", "target": "Ok"} for verb in "abcdefghijkl"]
    (tmp_path / "requests.json").write_text(json.dumps(entries))
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, some in (("train", entries[:8]), ("test", entries[8:]), ("harmless", entries)):
        (folder / f"{name}.json").write_text(
            json.dumps([{**one, "instruction": f"{name} {i}"} for i, one in enumerate(some)])
        )
    return tmp_path / "requests.json"
