"""The index of runs lists each with what it found, links to its page, and says which cannot be read."""

import json
from dataclasses import replace

import pytest

from tests.studies.example import HOSTILE, example
from tlsteer.errors import DataError
from tlsteer.report import write_index


def test_every_run_is_listed_newest_first_with_its_page(tmp_path):
    for name, started in (("old", "2026-01-01"), ("deep/new run", "2026-02-01")):
        result = replace(
            example(), headline=f"{name} found {HOSTILE[1]}", config={"study": "refusal", "started": started}
        )
        result.save(tmp_path / name)
        config = tmp_path / name / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"started": started}))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text(json.dumps({"study": "refusal", "model": {"name": "m"}}))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text("{")
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert "4 runs in" in page
    assert page.index("deep/new run found") < page.index("old found")
    assert 'href="deep/new%20run/report.html"' in page
    assert (tmp_path / "deep/new run/report.html").exists()
    assert "is not finished" in page
    assert "is damaged" in page
    assert HOSTILE[1] not in page


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no runs"):
        write_index(tmp_path)
    for name in ("nowhere", "x" * 300):
        with pytest.raises(DataError, match=f"there is no folder '.*{name}'"):
            write_index(tmp_path / name)
