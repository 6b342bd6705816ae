import json
import math

import pandas as pd
import pytest
import torch
from markupsafe import escape
from matplotlib.figure import Figure

import tlsteer as ts
from tests.plot.gallery import verbalization
from tests.studies.example import example
from tlsteer._references import BIBTEX
from tlsteer.errors import DataError
from tlsteer.stats import Estimate
from tlsteer.studies._result import Finding, Picture, StudyResult, written


def test_parts_without_their_names_are_damage(tmp_path):
    folder = example().save(tmp_path / "run")
    index = folder / "vectors.parts" / "index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"names": None}))
    with pytest.raises(DataError, match="its vectors have no names"):
        StudyResult.load(folder)


def test_a_result_comes_back_whole(tmp_path):
    result = example()
    again = StudyResult.load(result.save(tmp_path / "run"))
    for field in (
        "name",
        "question",
        "headline",
        "answer",
        "departures",
        "setup",
        "pictures",
        "warnings",
        "command",
        "references",
        "config",
    ):
        assert getattr(again, field) == getattr(result, field)
    pd.testing.assert_frame_equal(again.to_dataframe(), result.to_dataframe())
    pd.testing.assert_frame_equal(again.texts, result.texts)
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
    for name, vector in result.vectors.items():
        torch.testing.assert_close(again.vectors[name].tensor, vector.tensor, rtol=0, atol=0)
    assert again.data.keys() == result.data.keys()
    assert again.labels == ["refuses", "topic"]


def test_a_result_of_findings_alone_comes_back(tmp_path):
    result = StudyResult("small", "Is it?", [Finding("rate", "unsteered", Estimate(0.5, 0.2, 0.8, 9))])
    again = ts.load(result.save(tmp_path))
    assert again.findings == result.findings
    assert again.texts.empty


def test_a_study_shows_its_headline_its_picture_and_its_findings_in_a_notebook(tmp_path):
    result = example()
    page = ts.load(result.save(tmp_path))._repr_html_()
    assert escape(result.headline) in page
    assert "data:image/png" in page
    assert result.findings[0].measure in page
    alone = StudyResult("small", "Is it?", [Finding("rate", "unsteered", Estimate(0.5, 0.2, 0.8, 9))])
    assert "has no picture" in alone._repr_html_()
    with pytest.raises(DataError, match="'small' has no picture"):
        alone.plot()


def test_a_study_shows_its_first_picture_whole_where_that_has_several_panels():
    pictures = [Picture("All", "plot_verbalization", "answers"), Picture("One", "plot_mosaic", "answers")]
    figure = Figure()
    drawn = StudyResult("s", "q", [], pictures=pictures, data={"answers": verbalization()}).plot(figure.subplots())
    assert figure.axes[0].get_title() == drawn.get_title()
    assert drawn.get_title().split() == ["says", "that", "it", "was", "false"]
    assert len(figure.axes) == 3


def test_an_unfinished_run_says_how_to_finish(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        StudyResult.load(tmp_path)
    example().save(tmp_path)
    (tmp_path / "result.json").unlink()
    with pytest.raises(DataError, match="is not finished; start it again"):
        StudyResult.load(tmp_path)


def test_a_result_that_is_none_is_named(tmp_path):
    example().save(tmp_path)
    about = json.loads((tmp_path / "result.json").read_text())
    del about["findings"][0]["ours"]
    (tmp_path / "result.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"result.json.*is not the result of a study"):
        StudyResult.load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"findings": [Finding("m", "c", Estimate(0, 0, 0, 1))] * 2}, "is there twice"),
        ({"pictures": [Picture("title", "plot_rates", "nothing")]}, "'nothing', which is among neither"),
        ({"texts": pd.DataFrame({"prompt": ["p"]})}, "no column 'condition'"),
        ({"references": ["nobody1999"]}, "no reference 'nobody1999'"),
    ],
    ids=["finding", "picture", "texts", "reference"],
)
def test_what_a_page_could_not_show_is_refused_at_once(fields, message):
    with pytest.raises(DataError, match=message):
        StudyResult(**{"name": "n", "question": "q", "findings": []} | fields)


@pytest.mark.parametrize(
    ("estimate", "unit", "text"),
    [
        (Estimate(0.91, 0.84, 0.9512, 100), "share", "91% [84, 95.1]"),
        (Estimate(0.2134, 0.14, 0.28, 300), "nats", "0.213 [0.14, 0.28] nats"),
        (Estimate(0.031, math.nan, math.nan, 6), "", "0.031 (no interval)"),
        (Estimate(math.nan, math.nan, math.nan, 0), "share", "undefined"),
    ],
)
def test_a_number_is_written_with_its_interval(estimate, unit, text):
    assert written(estimate, unit) == text


def test_references_are_balanced_entries_under_their_own_keys():
    assert {"dunefsky2025oneshot", "tan2024analysing", "arditi2024refusal"} <= BIBTEX.keys()
    for key, entry in BIBTEX.items():
        assert entry.startswith("@")
        assert f"{{{key}," in entry
        assert entry.count("{") == entry.count("}")
        assert {"title", "author", "year"} <= {line.split("=")[0].strip() for line in entry.splitlines()}
