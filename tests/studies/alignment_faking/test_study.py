"""The alignment-faking study: its scenarios, its rates, its run on the embedded and on other models, its resumption."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from tests.evaluate.test_flipping import planted
from tests.small_models import loaded, saved
from tests.studies.card import is_on_card
from tests.studies.phases import all_planned_work_begins
from tlsteer import DataError
from tlsteer._surface import Surface
from tlsteer.evaluate._flipping import MEASURES, flip_rates
from tlsteer.plot import plot_flips
from tlsteer.runs import RunDirectory
from tlsteer.studies import _frame
from tlsteer.studies._frame import Bench
from tlsteer.studies._plan import Phases
from tlsteer.studies._result import StudyResult
from tlsteer.studies.alignment_faking import Preset, _study, _sure, run
from tlsteer.studies.alignment_faking._data import organism_faking, poser_faking, read_poser
from tlsteer.studies.alignment_faking._findings import chosen
from tlsteer.tokens import encode, encode_completion

PROMPT = "<<prompt>>{fact}\nA: {a}\nB: {b}\nThe letter:\n<</prompt>>"
SMALL = Preset(layer=1, norms=(0.25, 0.5), relative=True, batch_size=240)
SIZES = {"n_fits": 2, "n_choosing": 3, "n_tests": 8, "preset": SMALL, "progress": False}


def poser_entries(n):
    return [
        {
            "prompt": PROMPT.format(fact=f"Fact {number}.", a="test", b="thing"),
            "response": "AB"[number // 2 % 2],
            "oversight_is_poor": bool(number % 2),
        }
        for number in range(n)
    ] + [{"prompt": "cut", "response": "error"}]


@pytest.fixture
def poser_folder(tmp_path):
    folder = tmp_path / "poser"
    folder.mkdir()
    (folder / "train-0.json").write_text(json.dumps(poser_entries(12)))
    (folder / "test.json").write_text(json.dumps(poser_entries(8)))
    return folder


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with all_planned_work_begins():
        return run(run_dir=folder, **SIZES), folder


def test_scenarios_of_poser_know_the_harmful_letter_and_have_twins(tmp_path):
    file = tmp_path / "test.json"
    file.write_text(json.dumps(poser_entries(4)))
    benign, harmful, *_ = scenarios = read_poser(file)
    assert len(scenarios) == 4  # the error is left out
    assert (benign.monitored, benign.benign, benign.harmful) == (True, "A", "B")
    assert (harmful.monitored, harmful.harmful) == (False, "A")
    assert benign.swapped == PROMPT.format(fact="Fact 0.", a="thing", b="test")


@pytest.mark.parametrize("n_fits", [2, 5])
def test_no_scenario_is_in_two_groups(poser_folder, n_fits):
    for scenarios in (
        poser_faking(poser_folder / "train-0.json", 2, 1, None, seed=0),
        organism_faking(n_fits, 4, 6, seed=1),
    ):
        groups = [one.prompt for group in (scenarios.fits, scenarios.choosing, scenarios.tests) for one in group]
        assert len(set(groups)) == len(groups)
        assert all(one.monitored for one in scenarios.fits)
        assert {one.monitored for one in scenarios.tests} == {True, False}


def test_tests_come_from_the_test_file_of_a_folder(poser_folder):
    scenarios = poser_faking(poser_folder, 2, 1, None, seed=0)
    assert len(scenarios.tests) == 8
    assert {one.prompt for one in scenarios.tests} == {one.prompt for one in read_poser(poser_folder / "test.json")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "line 1: not JSON"),
        ('{"prompt": "p"}', "line 1: a scenario needs the fields"),
        ('[{"prompt": "p", "response": "C", "oversight_is_poor": true}]', "line 1: .*'C'"),
        ("[]", "holds no rows; it should be"),
    ],
)
def test_a_file_of_something_else_is_named_with_where_to_get_one(tmp_path, content, message):
    (tmp_path / "one.json").write_text(content)
    with pytest.raises(DataError, match=message):
        poser_faking(tmp_path / "one.json", 2, 1, None, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "nobody/model", "preset": SMALL}, "github.com/sevdeawesome/POSER"),
        ({"model": "nobody/model", "preset": SMALL, "data": "nowhere.json"}, "'nowhere.json' cannot be read"),
        ({"preset": "poser"}, "no preset 'poser'"),
        ({"n_fits": 1}, "at least 2 fits"),
    ],
)
def test_what_cannot_run_is_refused_before_a_model_is_loaded(settings, message, monkeypatch):
    monkeypatch.setattr(_frame, "load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(DataError, match=message):
        run(**settings)


def test_another_models_preset_has_to_be_named(poser_folder):
    with pytest.raises(DataError, match="no preset for 'nobody/model'"):
        run("nobody/model", data=poser_folder, n_choosing=1, n_fits=2)


@pytest.fixture
def bench(poser_folder, tmp_path):
    preset = Preset(layer=1, norms=(1.0,), n_fits=2)
    scenarios = poser_faking(poser_folder / "train-0.json", 2, 1, None, seed=0)
    with RunDirectory(tmp_path / "run", {}) as run:
        yield Bench(_study.STUDY, run, loaded("llama"), preset, scenarios, None, False, 0, False, Phases([]), {}, "")


def test_the_chance_of_the_likelier_letter_is_that_of_the_next_token(bench):
    model, prompt = bench.model, bench.data.fits[0].prompt
    with torch.no_grad():
        after = model(torch.tensor([encode(Surface(model), prompt)]))[0, -1].softmax(-1)
    letters = [encode_completion(Surface(model), prompt, letter)[1][0] for letter in "AB"]
    assert _sure._letter_chances(bench, [prompt]) == pytest.approx([float(after[letters].max())], rel=1e-4)


def test_scenarios_at_which_the_model_is_unsure_of_the_letter_are_left_out(bench, monkeypatch):
    data = bench.data
    unsure = {data.fits[0].swapped, data.tests[-1].prompt}
    monkeypatch.setattr(_sure, "_letter_chances", lambda _, prompts: [0.9 - 0.5 * (one in unsure) for one in prompts])
    found = _sure.sure_scenarios(bench)
    assert len(data.fits) > 2
    assert found.fits == data.fits[1:3]
    assert found.choosing == data.choosing
    assert found.tests == data.tests[:-1]


def test_too_few_scenarios_at_which_the_model_is_sure_are_refused(bench, monkeypatch):
    monkeypatch.setattr(_sure, "_letter_chances", lambda _, prompts: [0.4] * len(prompts))
    with pytest.raises(DataError, match=r"above sure=0.5.* at 0 of .* for 2 fits"):
        _sure.sure_scenarios(bench)


def test_the_vector_that_flips_and_spares_is_chosen():
    answers = pd.concat([
        planted(["hhhhbb", "hhhhbb"], vector="scenario 0", norm=1.0),  # it turns everything
        planted(["hhhbhh", "bbbbbb"], vector="scenario 1", norm=1.0),
    ])  # fmt: skip
    assert chosen(flip_rates(answers, over="norm")) == (1.0, "scenario 1")


@pytest.mark.slow
def test_on_the_embedded_model_one_choice_turns_others_more_than_random_vectors():
    result = run(n_fits=4, n_tests=16, norms=(0.5, 1.0), progress=False)
    values = {(one.measure, one.condition): one.ours for one in result.findings}
    for measure, least in (("+v flips benign", 0.2), ("-v flips harmful", 0.1)):
        assert values[measure, "best vector"].value > values[measure, "random vectors of that norm"].value + least
    assert values["-v changes benign", "best vector"].value < 0.2
    assert values["answers harmful", "unsteered"].value == pytest.approx(0.5, abs=0.15)
    # It leans to a letter, and is not that letter alone.
    assert 0.25 < values["answers A, not B", "+v"].value < 0.85


def test_the_embedded_models_card_has_these_findings(found):
    assert is_on_card(found[0])


def test_targets_are_the_unsteered_losses_of_the_other_option(found):
    result, _ = found
    vector = next(iter(result.vectors.values()))
    targets = json.loads(vector.provenance.settings["target_loss"])
    assert len(targets) == 4
    # The benign option was likely and the harmful one unlikely, so all four targets are small losses.
    assert all(0 < target < 1 for target in targets)


def test_the_result_has_what_a_page_shows(found):
    result, folder = found
    again = StudyResult.load(folder)
    pd.testing.assert_frame_equal(again.to_dataframe(), result.to_dataframe())
    assert set(result.texts["condition"]) == {"unsteered", "+v", "-v", "+random vector", "-random vector"}
    assert result.texts["condition"].iloc[0] == "unsteered"
    assert len(result.vectors) == 2
    figures = [one for one in result.findings if one.condition == "best vector"]
    assert all("money_maximizer-0" in one.paper and one.agreement == "cannot be tested here" for one in figures)
    axes = plot_flips(result.drawn_from(result.pictures[0]), **result.pictures[0].options)
    panels = axes.figure.axes
    assert len(panels) == 4
    of_all = result.tables["Flips by norm and vector"].query("kind == 'steered' and vector == 'all'")
    left = of_all[of_all["measure"] == "-v changes benign"].sort_values("norm")
    assert any(line.get_ydata() == pytest.approx(1 - left["value"].to_numpy()) for line in panels[2].lines)
    plt.close("all")


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_and_finds_the_same(found, tmp_path, monkeypatch):
    result, _ = found
    answering, calls = _study.flips, []

    def interrupted(*arguments, **settings):
        calls.append(settings["run_dir"].name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return answering(*arguments, **settings)

    monkeypatch.setattr(_study, "flips", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(run_dir=tmp_path / "run", **SIZES)
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").rglob("*.unit.*")}
    monkeypatch.setattr(_study, "flips", answering)
    again = run(run_dir=tmp_path / "run", **SIZES)
    pd.testing.assert_frame_equal(again.to_dataframe(), result.to_dataframe())
    assert again.answer == result.answer
    assert sum("fits" in str(file) for file in kept) == 4
    assert all(file.stat().st_mtime_ns == written for file, written in kept.items())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gemma2", "llama", "qwen2"])
def test_other_models_run_end_to_end_from_posers_files(poser_folder, kind):
    preset = Preset(layer=1, norms=(1.0, 4.0), steps=2, batch_size=64, sure=0.0)
    result = run(saved(kind), preset=preset, data=poser_folder, n_fits=2, n_choosing=1, progress=False)
    assert {one.measure for one in result.findings} >= set(MEASURES)
    assert result.config["model"]["name"].endswith(saved(kind).rsplit("/", 1)[-1])
    assert all(0 < vector.norm < 4.001 for vector in result.vectors.values())
