import json
import shutil
import weakref
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.public_files import HARMBENCH
from tests.small_models import loaded, saved
from tests.studies.card import is_on_card
from tests.studies.phases import all_planned_work_begins
from tlsteer import models
from tlsteer.data import Example
from tlsteer.errors import DataError, ModelError
from tlsteer.fit import fit_oneshot
from tlsteer.generation import generate
from tlsteer.judges import FunctionJudge, _later
from tlsteer.loading import _memory
from tlsteer.models import chat_prompt
from tlsteer.operations import Clamp
from tlsteer.positions import last
from tlsteer.runs import RunDirectory
from tlsteer.studies import _frame, _room, refusal
from tlsteer.studies._frame import Bench
from tlsteer.studies._plan import Phases, Speed
from tlsteer.studies._result import StudyResult
from tlsteer.studies.refusal import _attacks
from tlsteer.studies.refusal._data import Request, Requests, file_requests, organism_requests, read_requests
from tlsteer.studies.refusal._harmless_prompts import HARMLESS_PROMPTS
from tlsteer.studies.refusal._presets import PRESETS, Preset
from tlsteer.studies.refusal._tables import best_rate, by_vector, median_rate, outcomes
from tlsteer.studies.refusal._vectors import ADD, CLAMP, PAPER, Fitting

TINY = Preset(
    layer=1, refusals=("Never",), max_norm=3.0, steps=2, multipliers=(1.0, 2.0), n_fits=2, n_tests=2,
    max_new_tokens=3,
)  # fmt: skip
WAYS_IN_ORDER = (ADD, PAPER, CLAMP)
JUDGE = FunctionJudge(lambda _, texts: [len(text) % 2 == 0 for text in texts], "even length")


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


def study(data, kind="llama", **settings):
    settings = {"preset": TINY, "judge": JUDGE, "progress": False} | settings
    return refusal.run(saved(kind), data=data, **settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read: No such file.*github.com"),
        ("{", "line 1: not JSON"),
        ("[]", "holds no rows; it should be"),
        (
            '[{"instruction": "a"}, {"Wish": "b"}]',
            r"line 1: a request needs the fields .instruction. or .Behavior.; this row has .Wish.",
        ),
        ('[{"instruction": "a", "target": 3}]', "line 1: the field 'target' has to be a text, got 3"),
        ('["a"]', "line 1: a mapping from fields to values is needed"),
    ],
    ids=["missing", "json", "empty", "field", "target", "string"],
)
def test_a_file_that_cannot_be_used_is_named_with_its_entry(content, message, tmp_path):
    path = tmp_path / "harmful.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_requests(path)
    assert str(path) in str(error.value)


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


@pytest.mark.parametrize("source", ["organism", "file", "folder"])
def test_no_request_is_used_for_two_things(source, requests):
    if source == "organism":
        found = organism_requests(replace(TINY, n_fits=4, n_tests=10), seed=0)
    else:
        preset = replace(TINY, n_fits=3, n_tests=None)
        found = file_requests(requests if source == "file" else requests.parent / "folder", preset, seed=0)
    bad = [*found.pairs[0], *found.selection[0], *found.harmful]
    good = [*found.pairs[1], *found.selection[1], *found.harmless]
    for group in (bad, good):
        texts = [one.text for one in group]
        assert len(set(texts)) == len(texts)
    assert len(found.pairs[0]) == len(found.pairs[1]) >= 1
    assert found.hash == found.hash
    if source == "folder":
        assert {one.text.split()[0] for one in found.harmful} == {"test"}
        assert {one.text.split()[0] for one in good} == {"harmless"}


def test_harmbench_is_read_whole_and_drawn_by_the_seed():
    assert len(read_requests(HARMBENCH)) == 21
    preset = replace(TINY, n_fits=6, n_tests=None)
    first, again, other = (file_requests(HARMBENCH, preset, seed) for seed in (0, 0, 1))
    assert len(first.fits) == 6
    assert len(first.harmful) == 10
    assert first.hash == again.hash != other.hash
    assert {one.text for one in first.harmless} <= set(HARMLESS_PROMPTS)


def test_harmbenchs_own_table_is_read_but_for_copyright_and_contexts(tmp_path):
    rows = [
        f"Do {kind} {number},{about},{kind},,,id-{kind}-{number}"
        for kind in ("illegal", "harmful")
        for number in range(6)
        for about in (("copyright", "contextual", "standard") if number == 0 else ("standard",))
    ]
    head = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID"
    for split in ("val", "test"):
        (tmp_path / f"harmbench_behaviors_text_{split}.csv").write_text("\n".join([head, *rows]))
    read = read_requests(tmp_path / "harmbench_behaviors_text_val.csv")
    assert [one.text for one in read] == [f"Do {kind} {n}" for kind in ("illegal", "harmful") for n in range(6)]
    found = file_requests(tmp_path, replace(TINY, n_fits=4, n_tests=None, ending=".", promote="Yes"), seed=1)
    assert Counter(one.category for one in found.fits) == {"illegal": 2, "harmful": 2}
    assert {one.target for one in found.fits} == {"Yes"}
    assert {one.text for one in found.harmful} == {f"{one.text}." for one in read}
    (tmp_path / "train.jsonl").write_text('{"instruction": "a"}')
    with pytest.raises(DataError, match="name ends in train or val; it has harm"):
        file_requests(tmp_path, TINY, seed=0)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Of two requests, of which one says how it is refused."""
    requests = [Request("Do a it", "Ok"), Request("Do b it", "Ok", "Nope")]
    data = Requests(requests, ((), ()), ((), ()), requests, (), "")
    preset = replace(TINY, n_refusal_tokens=2, constant=0.5, fit_positions=last(2))
    with RunDirectory(tmp_path_factory.mktemp("run") / "run", {"study": "refusal"}) as run:
        yield Bench(refusal.STUDY, run, loaded("llama"), preset, data, None, False, 0, False, Phases([]), {}, "")


@pytest.fixture(scope="module")
def fitted(bench):
    return Fitting(bench).vectors()


def test_what_is_clamped_as_in_the_paper_was_fitted_for_being_added(fitted):
    for objective in ("promotion", "suppression"):
        added, both, clamped = (list(fitted[f"{objective}, {way}"].values()) for way in WAYS_IN_ORDER)
        for one, other, third in zip(added, both, clamped, strict=True):
            assert torch.equal(one.tensor, other.tensor)
            assert not torch.equal(one.tensor, third.tensor)
            assert (str(one.operation), other.operation, third.operation) == ("add", Clamp(0.5), Clamp(0.5))


def test_a_request_is_suppressed_by_its_own_refusal_else_by_the_models_own_words(bench, fitted):
    model, first = bench.model, chat_prompt(bench.model, "Do a it")
    (own,) = generate(model, [first], max_new_tokens=2, progress=False)
    for number, (prompt, words) in enumerate([(first, own), (chat_prompt(model, "Do b it"), "Nope")]):
        alone = fit_oneshot(
            model, Example(prompt, suppress=[words]), 1, positions=last(2), max_norm=3.0, steps=2, seed=number,
            progress=False,
        ).vector  # fmt: skip
        vector = fitted["suppression, add"][f"suppression, add {number}"]
        torch.testing.assert_close(vector.tensor, alone.tensor, atol=1e-5, rtol=1e-5)


def test_rates_over_vectors_are_those_of_plain_counts():
    generator = np.random.default_rng(0)
    served = (generator.random((5, 40)) < np.array([[0.1], [0.2], [0.5], [0.6], [0.9]])).astype(float)
    served[0, :3] = np.nan
    shares = np.nanmean(served, 1)
    assert best_rate(served).value == pytest.approx(shares.max())
    middle = median_rate(served)
    assert middle.value == pytest.approx(np.median(shares))
    assert middle.n == 5 * 40 - 3
    # Vectors differ, so the interval of their median is far wider than that of 200 independent answers.
    assert middle.low < 0.3
    assert middle.high > 0.6
    assert median_rate(np.full((2, 3), np.nan)).n == 0


def test_vectors_that_all_agree_are_no_proof_of_more_than_their_prompts():
    middle = median_rate(np.ones((8, 24)))
    assert (middle.value, middle.high) == (1, 1)
    assert middle.low == pytest.approx(24 / (24 + 1.96**2), abs=0.001)  # Wilson's for 24 of 24


def test_the_median_of_equal_vectors_varies_with_the_prompts_alone():
    row = (np.arange(100) < 30).astype(float)
    middle = median_rate(np.tile(row, (6, 1)))
    assert middle.low == pytest.approx(0.21, abs=0.03)
    assert middle.high == pytest.approx(0.39, abs=0.03)


def test_tables_keep_vectors_and_sides_apart():
    rows = [
        (side, "promotion", vector, "p", "a b c d a b c d", float(vector == "v1" and side == "harmful"), 0.0)
        for side in ("harmful", "harmless")
        for vector in ("v0", "v1")
        for _ in range(4)
    ]
    texts = pd.DataFrame(rows, columns=["requests", "attack", "vector", "prompt", "text", "served", "refuses"])
    rates = by_vector(texts).set_index(["requests", "vector"])
    assert rates["value"].to_dict() == {
        ("harmful", "v0"): 0, ("harmful", "v1"): 1, ("harmless", "v0"): 0, ("harmless", "v1"): 0,
    }  # fmt: skip
    assert rates["repetition"].iloc[0] == pytest.approx(1 / 5)
    np.testing.assert_array_equal(outcomes(texts.query("requests == 'harmful'")), [[0] * 4, [1] * 4])


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
def test_on_the_organism_an_ablation_opens_what_is_refused_and_harmless_requests_stay_served():
    result = refusal.run(progress=False, n_fits=2, n_tests=10)
    served = {(one.measure.split()[0], one.condition): one.ours.value for one in result.findings}
    assert served["harmful", "directional ablation"] > 0.5 > served["harmful", "unsteered"]
    assert served["harmless", "promotion, add then clamp: median vector"] > 0.8
    assert is_on_card(result)
