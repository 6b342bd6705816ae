"""`tlsteer sweep`: one command writes a whole run folder, and takes it up again."""

import json
from pathlib import Path

import pandas as pd
import pytest

import tlsteer as ts
from tests import small_models


@pytest.fixture(scope="module")
def model():
    return small_models.saved("llama")


def test_a_method_is_swept_over_layers_on_half_of_the_questions_and_measured_on_the_others(run, model, monkeypatch):
    rows = [{"question": f"Is it {i}?\n(A) Yes\n(B) No", "positive": "A", "negative": "B"} for i in range(8)]
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = ["sweep", "q.jsonl", "--model", model, "--layers", "1:3", "--multiplier", -1, "--multiplier", 1]
    asked += ["--n-random", 1, "--output", "out"]
    status, out, _ = run(*asked, "--json")
    assert status == 0
    found = ts.load("out")
    assert found.data.sizes["sample"] == 4
    assert found.data["layer"].values.tolist() == [1, 2]
    assert [row["layer"] for row in json.loads(out)["slopes"]] == [1, 2]
    pd.testing.assert_frame_equal(pd.read_csv("out/table.csv"), found.table(), check_dtype=False)
    assert Path("out/layers.png").read_bytes()[:4] == b"\x89PNG"
    assert [*found.vector_set()] == [ts.Site(1), ts.Site(2)]

    def run_again(_, surface, request, units, unfinished):
        assert request.what == "fit_contrastive"  # which is one pass
        return request.run(surface, units, unfinished)

    monkeypatch.setattr("tlsteer.measure._seam.Local.run", run_again)
    status, again, _ = run(*asked)
    assert status == 0
    assert "Steepest mean slope at layer" in again
    status, _, err = run(*asked, "--method", "pca")
    assert status == 2
    assert "method = 'diff_means'" in err


def test_one_multiplier_is_refused_before_anything_is_done(run):
    status, _, err = run("sweep", "power", "--model", "nobody", "--multiplier", 1, "--output", "out")
    assert (status, "a slope needs at least two different multipliers, got [1.0]" in err) == (2, True)
    assert not Path("out").exists()
