import shutil
import weakref
from typing import Any

import pandas as pd
import pytest

from tests.small_models import saved
from tests.studies.card import is_on_card
from tests.studies.phases import all_planned_work_begins
from tests.studies.refusal.tiny import TINY
from tlsteer import models
from tlsteer.errors import DataError, ModelError
from tlsteer.judges import FunctionJudge, _later
from tlsteer.loading import _memory
from tlsteer.studies import _frame, _room, refusal
from tlsteer.studies._plan import Speed
from tlsteer.studies._result import StudyResult
from tlsteer.studies.refusal import _attacks
from tlsteer.studies.refusal._data import file_requests
from tlsteer.studies.refusal._presets import PRESETS

JUDGE = FunctionJudge(lambda _, texts: [len(text) % 2 == 0 for text in texts], "even length")


def study(data, kind="llama", **settings):
    settings = {"preset": TINY, "judge": JUDGE, "progress": False} | settings
    return refusal.run(saved(kind), data=data, **settings)


def test_what_is_missing_is_said_before_a_model_is_loaded(requests, monkeypatch):
    settings: Any
    monkeypatch.setattr(_frame, "load_model", lambda *_, **__: pytest.fail("loaded"))
    for settings, message in (
        ({}, "no preset for 'some/model'; give preset= one of organism, gemma-2-2b-it"),
        ({"preset": "gemma"}, "no preset 'gemma'"),
        ({"preset": TINY}, "needs harmful requests: .*HarmBench"),
        ({"preset": TINY, "data": requests}, "needs a judge"),
        ({"preset": TINY, "data": requests, "judge": "nobody"}, "no judge 'nobody'"),
        ({"preset": TINY, "data": requests, "judge": JUDGE, "n_fits": 6}, "give more requests or n_fits=4"),
        ({"preset": TINY, "data": requests, "judge": JUDGE, "n_fits": 0}, "at least 1"),
    ):
        with pytest.raises(DataError, match=message):
            refusal.run("some/model", **settings)


def test_a_model_finds_its_preset_by_name():
    assert refusal.STUDY.preset_of("google/gemma-2-2b-it") is PRESETS["gemma-2-2b-it"]
    assert refusal.STUDY.preset_of("meta-llama/Llama-3.1-8B-Instruct") is PRESETS["llama-3.1-8b-instruct"]
    assert refusal.STUDY.preset_of("anything") is None


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_finds_the_same(requests, tmp_path, monkeypatch):
    whole = study(requests)
    really, calls = _attacks.steered_texts, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return really(*arguments, **settings)

    monkeypatch.setattr(_attacks, "steered_texts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(requests, run_dir=tmp_path / "run")
    before = len(calls)
    again = study(requests, run_dir=tmp_path / "run")
    # One side of an attack is done anew, and no finished attack.
    assert len(calls) - before == 1 + 2 * 14 - before + 1
    pd.testing.assert_frame_equal(again.to_dataframe(), whole.to_dataframe())
    pd.testing.assert_frame_equal(again.texts, whole.texts)
    kept = StudyResult.load(tmp_path / "run")
    pd.testing.assert_frame_equal(kept.to_dataframe(), whole.to_dataframe())


@pytest.fixture
def classifier(tmp_path):
    """A saved model whose card shows the prompt it was trained on, as HarmBench's does."""
    folder = shutil.copytree(saved("qwen2"), tmp_path / "classifier")
    (folder / "README.md").write_text("Its prompt:\n'''{behavior} - {generation} - Yes or no?'''\n")
    return folder


@pytest.mark.parametrize("kind", ["gemma2", *(pytest.param(one, marks=pytest.mark.slow) for one in ("llama", "qwen2"))])
def test_the_whole_study_runs_on_a_saved_model_which_is_gone_when_the_judge_is_loaded(
    kind, requests, classifier, monkeypatch, capsys
):
    alive, seen, really = [], [], models.load_model

    def noted(name, *how):
        seen.append((str(name), how, [one() is not None for one in alive]))
        alive.append(weakref.ref(found := really(name, *how)))
        return found

    for module in (_frame, _later):
        monkeypatch.setattr(module, "load_model", noted)
    with all_planned_work_begins(), pytest.warns(UserWarning, match="yes or no with probability"):
        result = study(
            requests.parent / "folder", kind, judge=f"classifier:{classifier}", dtype="bfloat16",
            judge_dtype="bfloat16", device="cpu",
        )  # fmt: skip
    assert seen == [(saved(kind), ("cpu", "bfloat16"), []), (str(classifier), ("cpu", "bfloat16"), [False])]
    told = capsys.readouterr().err
    assert f"{saved(kind)}: " in told
    assert "of weights in bfloat16 on cpu" in told
    assert "one at a time, at most" in told
    assert result.config["model"]["dtype"] == "bfloat16"
    asr = {one.condition: one.ours for one in result.findings if "ASR" in one.measure}
    assert {"unsteered", "prefill", "CAA", "directional ablation", "random, clamp: best vector"} <= asr.keys()
    assert asr["promotion, add then clamp: median vector"].n == 4
    by_hand = result.tables["Attacks by vector"].query(
        "requests == 'harmful' and attack == 'promotion, add then clamp'"
    )
    assert asr["promotion, add then clamp: best vector"].value == by_hand["value"].max()
    of_the_paper = {one.condition for one in result.findings if one.paper and "ASR" in one.measure}
    assert of_the_paper == {
        "prefill", *(f"{side}, add then clamp: {which} vector" for side in ("promotion", "suppression")
                     for which in ("best", "median")),
    }  # fmt: skip
    assert {one.site.layer for name, one in result.vectors.items() if name.startswith("promotion")} == {1}
    assert set(result.texts["condition"].iloc[:4]) == {"unsteered"}
    assert result.setup["Judge of harmful requests"].startswith(f"model:{classifier} (template ")


def test_what_cannot_fit_is_refused_before_anything_is_loaded(requests, classifier, monkeypatch):
    monkeypatch.setattr(_frame, "load_model", lambda *_, **__: pytest.fail("loaded"))
    own, other = (models.expected_memory(one).weights or 0 for one in (saved("llama"), saved("qwen2")))
    for free, settings, message in (
        (own - 1, {}, r"the weights of '.*' need .* in float32, and cpu has .* free"),
        (max(own, other), {"judge": f"classifier:{classifier}", "keep_models": True}, "together, and cpu has"),
    ):
        for module in (_memory, _room):
            monkeypatch.setattr(module, "free_on", lambda _, free=free: free)
        with pytest.raises(ModelError, match=message):
            study(requests, **settings)


def test_a_plan_tells_what_a_run_does_and_starts_none(requests, monkeypatch):
    monkeypatch.setattr(_frame, "probed", lambda _, size: Speed(step=0.5, token=0.25, batch_size=size))
    plan = refusal.STUDY.plan(saved("llama"), preset=TINY, judge=JUDGE, data=requests)
    fits, directions, answers, paths, read = plan.work
    assert (fits.units, fits.size) == (5 * 2, 2)
    # Unsteered, prefill and ablation; two vectors of each of ten attacks; CAA at two layers and two multipliers, which
    # is chosen on other requests too. Two harmful and two harmless requests are tried.
    n_choosing = len(file_requests(requests, TINY, 0).selection[0])
    assert answers.units >= 4 * (3 + 2 * 10 + 2 * 2) + n_choosing * 2 * 2
    assert answers.size == 3
    assert plan.speed is not None
    assert plan.speed.seconds(fits) == 10 * 2 * 0.5
    assert plan.speed.seconds(answers) == -(-answers.units // 64) * 3 * 0.25
    assert "vectors: 10 of 2 steps (20), about 10 seconds" in str(plan)
    assert f"judging answers: {read.units}, not probed" in str(plan)
    assert directions.units == 2 * n_choosing
    assert paths.units == 4 * 3 / 2  # between promotion's and suppression's vectors
    assert "of weights in float32 on cpu" in str(plan)


@pytest.mark.slow
def test_on_the_organism_mixed_vectors_open_what_is_refused_beyond_random_ones_and_harmless_requests_stay_served():
    result = refusal.run(progress=False, n_fits=2, n_tests=10)
    served = {(one.measure.split()[0], one.condition): one.ours.value for one in result.findings}
    opened, random = (served["harmful", f"{kind}, clamp: best vector"] for kind in ("mixed", "random"))
    assert opened > random + 0.2 > served["harmful", "unsteered"] + 0.2
    assert served["harmless", "mixed, clamp: median vector"] > 0.8
    assert is_on_card(result)
