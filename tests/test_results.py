"""Every result shows itself: a headline, a picture, a table, in a page of HTML in which texts stay texts."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import tlsteer as ts
from tests.plot.gallery import agreement, side_effects, task_scores
from tests.small_models import loaded
from tests.test_front_door import public
from tlsteer._results import Result
from tlsteer.errors import DataError
from tlsteer.evaluate import reliability
from tlsteer.evaluate._attack import AttackSuccess
from tlsteer.evaluate._curve_files import save_curve
from tlsteer.fit._fit import Fit
from tlsteer.runs._kept import RESULTS
from tlsteer.studies import StudyResult


def attack():
    kinds = {"kind": ["unsteered", "steered", "random"], "vector": ["", "v", "v"], "layer": [pd.NA, 2, 2]}
    texts = pd.DataFrame(kinds | {"multiplier": [0.0, 1.0, 1.0], "prompt": "p", "text": "t"}).astype({"layer": "Int64"})
    twice = pd.concat([texts.assign(prompt=name) for name in "pq"], ignore_index=True)
    return AttackSuccess(
        twice.assign(success=[0.0, 1.0, 0.0, 0.0, 1.0, 1.0]), {"judge": "j", "measures": "served", "model": "m"}
    )


def curve():
    values = np.random.default_rng(0).normal(size=(9, 3))
    return xr.DataArray(values, {"multiplier": [-1.0, 0.0, 1.0]}, ("sample", "multiplier"), name="propensity")


class Table(Result):
    """Draws nothing."""

    def __init__(self, rows, headline="Found <b>&</b> kept"):
        self.rows, self._headline = rows, headline

    def __repr__(self):
        return self._headline

    def to_dataframe(self):
        return pd.DataFrame(self.rows)

    def plot(self, ax=None, **settings):
        raise DataError("nothing <i>to</i> draw")


def test_a_page_shows_headline_reason_and_rows_as_text():
    html = Table([{"text": "<script>alert(1)</script>", "value": 1 / 3}] * 20)._repr_html_()
    assert not re.search("<script|<b>|<i>", html)
    for shown in ("Found &lt;b&gt;", "No picture: nothing &lt;i&gt;", "0.333", "8 further rows"):
        assert shown in html
    assert html.count("&lt;script&gt;") == 12


def test_half_a_character_does_not_break_a_page():
    Table([{"value": 1}], "\ud800")._repr_html_().encode()


def kinds(of):
    return {
        one for kind in of.__subclasses__() for one in (kind, *kinds(kind)) if kind.__module__.startswith("tlsteer")
    }


def test_every_result_is_saved_loaded_and_names_a_picture_that_there_is():
    pictures = set(import_module("tlsteer.plot").__all__)
    fits = {Fit, *kinds(Fit)}
    assert kinds(Result) - fits == {*RESULTS, StudyResult}
    for kind in (kinds(Result) | fits) - {Fit}:
        assert kind.to_dataframe is not Result.to_dataframe
        assert getattr(kind, "_picture", None) in pictures or kind._drawing is not Result._drawing
        assert callable(kind.save)
        assert callable(kind.load)


def test_whatever_a_measurement_gives_is_a_result_an_array_or_a_table():
    known = {"DataFrame", "DataArray", "Dataset", "Float", "Estimate", "SteeringVector"}
    no_measurements = {"ContrastPair", "Falsehood", "Judge", "Path"}
    rooms = ("evaluate", "analyse", "fit", "harnesses", "judges")
    given = [
        thing.__annotations__["return"]
        for thing in public().values()
        if inspect.isfunction(thing) and thing.__module__.split(".")[1] in rooms
    ]
    assert len(given) > 40
    words = {word for one in given for word in re.findall(r"[A-Z]\w+", str(one))}
    assert words <= known | no_measurements | {one.__name__ for one in kinds(Result)}


def test_a_fit_shows_its_losses_and_leaves_no_figure_open():
    example = ts.Example("What is it?", promote=[" Sure, here"])
    fit = ts.fit_oneshot(loaded("llama"), example, 1, steps=3, progress=False)
    before = plt.get_fignums()
    html = fit._repr_html_()
    assert plt.get_fignums() == before
    assert re.search(r'src="data:image/png;base64,\w{100}', html)
    assert "stopped: max_steps" in fit.headline
    assert fit.to_dataframe()["loss"].tolist() == fit.losses
    ax = ts.plot.plot_losses({"a": fit, "b": fit})
    assert [line.get_ydata().tolist() for line in ax.lines[::2]] == [fit.losses] * 2
    plt.close(ax.figure)
    with pytest.raises(DataError, match="at least one fit"):
        ts.plot.plot_losses([])


def test_a_headline_sets_the_best_rate_against_its_baselines():
    headline = attack().headline
    assert headline.startswith("'v' at layer 2, x1: 100% [")
    assert "unsteered 0% [" in headline
    assert "random 50% [" in headline


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (attack(), "attack.json"),
        (reliability(curve(), n_resamples=20), "report.nc"),
        (task_scores(), "scores.json"),
        (agreement(), "agreement.json"),
        (ts.SteeringVector(torch.ones(4), 1), "one.safetensors"),
        (ts.VectorSet([ts.SteeringVector(torch.ones(4), layer) for layer in (1, 2)]), "two.safetensors"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_was_saved_is_loaded_without_its_class_under_any_name(value, name, tmp_path):
    for path in (tmp_path / name, tmp_path / Path(name).stem):
        again = ts.load(value.save(path))
        assert type(again) is type(value)
        assert repr(again) == repr(value)


def test_scores_of_tasks_keep_their_samples_and_judges_their_verdicts(tmp_path):
    scores, verdicts = task_scores(), agreement()
    pd.testing.assert_frame_equal(ts.load(scores.save(tmp_path / "s.json")).scores, scores.scores)
    assert ts.load(tmp_path / "s.json").samples == scores.samples
    pd.testing.assert_frame_equal(ts.load(verdicts.save(tmp_path / "v.json")).verdicts, verdicts.verdicts)
    assert scores.headline.startswith("arc_easy, acc: unsteered 0.80 [0.65, 0.90] (n=40); steered (1) 0.65 [")
    assert verdicts.counts == {"both": 20, "organism:complies alone": 4, "substrings alone": 2, "neither": 14}


def test_side_effects_are_drawn_by_vector_with_controls_in_grey():
    ax = ts.plot.plot_side_effects(side_effects(), random=["random"])
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["calm"].get_ydata().tolist() == pytest.approx([0.4, 0.0, 0.4, 1.6])
    assert lines["random"].get_linestyle() == "--"
    alone = side_effects(["calm"]).isel(vector=0, drop=True)
    assert len(ts.plot.plot_side_effects(alone).lines) == 2  # the curve, and the unsteered model
    with pytest.raises(DataError, match="does not find"):
        ts.plot.plot_side_effects(side_effects(), "perplexity")
    plt.close("all")


def test_propensities_are_loaded_as_the_array_they_are(tmp_path):
    save_curve(curve(), tmp_path / "curve.nc")
    xr.testing.assert_identical(ts.load(tmp_path / "curve.nc"), curve())


@pytest.mark.parametrize("content", [b"", b"{}", b"CDF\x01", b"text"])
def test_what_is_no_result_is_refused_with_its_name(content, tmp_path):
    (tmp_path / "x.nc").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.nc' holds no result that tlsteer saved"):
        ts.load(tmp_path / "x.nc")
    with pytest.raises(DataError, match="nowhere"):
        ts.load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"the folder .* holds no result"):
        ts.load(tmp_path)
    with ts.runs.RunDirectory(tmp_path / "run", {"what": "units alone"}) as run:
        run.unit("one", lambda: [1])
    with pytest.raises(DataError, match=r"the folder .* holds no result"):
        ts.load(tmp_path / "run")
