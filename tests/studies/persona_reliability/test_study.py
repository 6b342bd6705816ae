"""The persona-reliability study: what it reports is what its vectors do, it goes on where it stopped, refuses early."""

import json
import math
import shutil
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import small_models
from tests.public_files import EVALS
from tests.studies.card import names, section
from tests.studies.phases import all_planned_work_begins
from tlsteer import report
from tlsteer.data import Attitudes, split_choices
from tlsteer.errors import DataError
from tlsteer.evaluate._propensity import propensity
from tlsteer.organism import TRAITS
from tlsteer.stats import fit_lines
from tlsteer.studies import _frame
from tlsteer.studies._result import StudyResult
from tlsteer.studies.card import card
from tlsteer.studies.persona_reliability import PRESETS, STUDY, _measures, run
from tlsteer.studies.persona_reliability._data import organism_personas, personas_from_files
from tlsteer.studies.persona_reliability._numbers import AGAINST, IN_AND_OUT

SMALL = {"questions": 20, "n_random": 1, "layers": [2, 3], "progress": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two small datasets with all combinations of letter and word, and sentences for one of them."""
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("power", "risk")):
        rows = [
            {"question": f"Is it {number} {i}?\n(A) {'Yes' if yes else 'No'}\n(B) {'No' if yes else 'Yes'}",
             "positive": "AB"[i % 2], "negative": "BA"[i % 2], "prefill": "(", "letter": "AB"[i % 2],
             "word": "Yes" if yes == (i % 2 == 0) else "No"}
            for i in range(24) for yes in [i % 4 < 2]
        ]  # fmt: skip
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "attitudes.json").write_text(
        json.dumps({"power": {"positive": "You are.", "negative": ["You hate it."]}})
    )
    return [folder / "power.jsonl", folder / "risk.jsonl", folder / "attitudes.json"]


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    with all_planned_work_begins():
        return run(
            small_models.loaded("llama"), data=data, other=small_models.loaded("qwen2"), **SMALL,
            run_dir=tmp_path_factory.mktemp("study") / "run",
        )  # fmt: skip


def finding(result, measure, condition):
    (one,) = [one for one in result.findings if (one.measure, one.condition) == (measure, condition)]
    return one.ours


@pytest.mark.slow
def test_the_slopes_are_those_of_its_vectors_on_the_test_questions(found, data):
    model, slopes = small_models.loaded("llama"), []
    for name, choices in personas_from_files(data, 20, 0).choices.items():
        vector = found.vectors[f"answer, {name}, tiny-llama"]
        curve = propensity(model, vector, split_choices(choices).test, positions="completion", progress=False)
        slopes.append(fit_lines(curve.multiplier.values, curve.values).slope)
    ours = finding(found, "steerability, mean over datasets", "answer vectors, tiny-llama")
    assert ours.value == pytest.approx(np.mean(slopes), abs=1e-4)
    against = finding(found, "anti-steerable share of questions", "answer vectors, tiny-llama")
    assert (against.value, against.n) == (pytest.approx(np.mean(np.concatenate(slopes) < 0)), 20)


@pytest.mark.slow
def test_one_layer_serves_all_datasets_and_is_the_best_on_average(found):
    means = found.tables["Layers, on validation questions"].query("model == 'tiny-llama' and vectors == 'answer'")
    best = means.loc[means["value"].idxmax(), "layer"]
    assert {found.vectors[f"answer, {name}, tiny-llama"].site.layer for name in ("power", "risk")} == {best}


@pytest.mark.slow
def test_what_has_no_sentences_is_left_out_of_the_shifts_with_a_warning(found):
    assert any("risk" in one and "attitude" in one for one in found.warnings)
    assert "attitude, power, tiny-llama" in found.vectors
    assert "attitude, risk, tiny-llama" not in found.vectors
    assert set(found.data["Shifts, tiny-llama"]["dataset"]) == {"power"}
    assert len(found.data["Shifts, tiny-llama"]) == 25


@pytest.mark.slow
def test_a_diagonal_of_the_settings_is_its_own_distribution(found):
    table = found.tables["Prompt settings, tiny-llama"]
    own = table[table["fitted in"] == table["tested in"]]
    assert own["baseline shift"].tolist() == own["baseline distance"].tolist() == [0.0] * 5
    assert (table["fitted in"] == "attitude").sum() == 5


@pytest.mark.slow
def test_the_embedded_models_card_has_these_measures(found):
    ours, cards = ({measure for measure, _ in names(text)} for text in (card([found]), section(found.name)))
    assert ours == cards


@pytest.mark.slow
def test_undefined_correlations_say_so(found):
    one = finding(found, IN_AND_OUT, "answer vectors, BASE to SYS_POS, tiny-llama")
    assert math.isnan(one.value)
    assert one.n == 1
    assert "undefined" in found.answer


@pytest.mark.slow
def test_each_pair_of_settings_has_a_row_and_no_row_is_over_several(found):
    rows = [one.condition for one in found.findings if one.measure == IN_AND_OUT and "tiny-llama" in one.condition]
    pairs = [f"BASE to {name}" for name in ("SYS_POS", "SYS_NEG", "USER_POS", "USER_NEG")]
    pairs += ["SYS_POS to USER_NEG", "SYS_NEG to USER_POS"]
    assert rows[:6] == [f"answer vectors, {pair}, tiny-llama" for pair in pairs]
    assert len(rows) == 10


@pytest.mark.slow
def test_every_figure_of_the_paper_agrees_differs_or_says_why_it_cannot_be_tested(found):
    compared = [one for one in found.findings if one.paper]
    assert len(compared) >= 10
    assert {one.agreement for one in compared} <= {"agree", "differ", "cannot be tested here"}


@pytest.mark.slow
def test_vectors_are_applied_at_the_answer_and_at_every_token_in_findings_of_their_own(found):
    model = small_models.loaded("llama")
    vector = found.vectors["answer, power, tiny-llama"]
    test = split_choices(personas_from_files(Path(found.config["data"]["from"][0]), 20, 0).choices["power"]).test
    for name, positions in (("answer vectors", "completion"), ("answer vectors at every token", "all")):
        curve = propensity(model, vector, test, positions=positions, progress=False)
        report = found.data[f"Reports, {name}"]["power"]
        np.testing.assert_allclose(report.curve.values, curve.values, atol=1e-4)
    assert finding(found, AGAINST, "answer vectors at every token, tiny-llama").n == 20
    assert "from the token on that predicts the letter" in found.setup["Applied"]


def test_the_older_codes_positions_and_every_token_are_settings_that_the_page_names(data):
    for positions, said in (("-2:", "from one token before that which predicts the letter"), ("all", "at every token")):
        result = run(small_models.loaded("llama"), data=data[:1], positions=positions, **SMALL | {"layers": [2]})
        assert result.setup["Applied"].startswith(said)
        assert said in result.headline
        assert any("another experiment" in one for one in result.warnings) == (positions == "all")


def test_the_system_message_of_a_preset_stands_before_every_question(data):
    personas = personas_from_files(data, 20, 0, "Be concise.")
    assert {one.system for several in personas.choices.values() for one in several} == {"Be concise."}
    assert PRESETS["llama-2-7b-chat"].system == "You are a helpful, honest and concise assistant."


@pytest.mark.slow
def test_the_page_shows_every_picture_and_the_result_comes_back(found, tmp_path):
    again = StudyResult.load(found.save(tmp_path / "run"))
    assert again.answer == found.answer
    pd.testing.assert_frame_equal(again.to_dataframe(), found.to_dataframe())
    page = report.write(tmp_path / "run").read_text()
    assert found.pictures
    assert all(f'alt="{escape(one.title)}' in page for one in found.pictures)
    conditions = list(dict.fromkeys(found.texts["condition"]))
    assert conditions[:3] == ["unsteered", "answer vector x 1", "answer vector x -1"]


@pytest.mark.slow
@pytest.mark.parametrize("stopped_at", [1, 3])
def test_an_interrupted_run_goes_on_to_the_same_findings(found, data, stopped_at, tmp_path, monkeypatch):
    across, calls = _measures.reliability_across, []

    def interrupted(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == stopped_at:
            raise KeyboardInterrupt
        return across(*arguments, **settings)

    monkeypatch.setattr(_measures, "reliability_across", interrupted)
    settings = {"data": data, "other": small_models.loaded("qwen2"), "run_dir": tmp_path / "run", **SMALL}
    with pytest.raises(KeyboardInterrupt):
        run(small_models.loaded("llama"), **settings)
    again = run(small_models.loaded("llama"), **settings)
    # Two kinds of vectors on two models, and the interrupted one once more.
    assert len(calls) == 5
    pd.testing.assert_frame_equal(again.to_dataframe(), found.to_dataframe())
    assert again.answer == found.answer


@pytest.mark.parametrize("name", ["llama-2-7b-chat", "qwen1.5-14b-chat"])
def test_the_papers_presets_write_options_as_the_paper_does(data, name):
    plain, papers = (personas_from_files(data, 20, 0, "", mark) for mark in ("", PRESETS[name].after_letter))
    for dataset, choices in papers.choices.items():
        for own, file in zip(choices, plain.choices[dataset], strict=True):
            lettered = [line for line in own.question.splitlines() if "(A)" in line or "(B)" in line]
            assert [line.strip()[:5] for line in lettered] == ["(A): ", "(B): "]
            assert own.question.replace("): ", ") ") == file.question
            assert (own.id, own.positive, own.factors) == (file.id, file.positive, file.factors)
    assert papers.hash != plain.hash


@pytest.mark.slow
def test_without_system_messages_their_settings_are_left_out(data, monkeypatch):
    asked = _measures.ask_choices

    def refusing(model, choices):
        if any(choice.system for choice in choices):
            raise DataError("no system messages")
        return asked(model, choices)

    monkeypatch.setattr(_measures, "ask_choices", refusing)
    result = run(small_models.loaded("gemma2"), data=data, **SMALL)
    assert set(result.data["Shifts, tiny-gemma2"]["tested"]) == {"BASE", "USER_POS", "USER_NEG"}
    assert any("SYS_POS" in one for one in result.warnings)
    assert any("One model alone" in one for one in result.warnings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"anthropics/evals"),
        ({"data": "nowhere.jsonl"}, r"no file 'nowhere.jsonl'.*anthropics/evals"),
        ({"data": "attitudes.json"}, r"0 files of questions"),
        ({"data": "bad.jsonl"}, r"bad.jsonl"),
        ({"data": ["few.jsonl"]}, r"too few"),
        ({"data": ["few.jsonl", "wrong.json"]}, r"'wrong.json' is not a file of attitudes"),
        ({"data": ["few.jsonl", "other.json"]}, r"attitudes for 'unknown'.*few"),
        ({"preset": "gpt-5"}, r"no preset 'gpt-5'.*llama-2-7b-chat"),
    ],
    ids=["none", "missing", "questions", "damaged", "few", "attitudes", "names", "preset"],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_frame, "load_model", lambda *_, **__: pytest.fail("the model was loaded"))
    Path("bad.jsonl").write_text("{")
    Path("few.jsonl").write_text(json.dumps({"question": "Is it?", "positive": "A", "negative": "B"}))
    Path("attitudes.json").write_text("{}")
    Path("wrong.json").write_text(json.dumps({"few": 1}))
    Path("other.json").write_text(json.dumps({"unknown": {"positive": "Yes.", "negative": "No."}}))
    with pytest.raises(DataError, match=message):
        run("some/model", **arguments)


def test_the_papers_presets_are_found_by_the_models_names():
    assert STUDY.preset_of("meta-llama/Llama-2-7b-chat-hf") is PRESETS["llama-2-7b-chat"]
    assert STUDY.preset_of("Qwen/Qwen1.5-14B-Chat") is PRESETS["qwen1.5-14b-chat"]
    assert STUDY.preset_of("google/gemma-2-2b-it").layers is None


def test_the_embedded_models_vectors_are_fitted_with_other_sentences_than_the_settings_say():
    personas = organism_personas(8, 0)
    assert set(personas.choices) == {trait.name for trait in TRAITS}
    for name, told in personas.told.items():
        assert isinstance(told, Attitudes)
        assert not set(told.positive) & set(personas.fitted_with[name].positive)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gemma2", "qwen2"])
def test_a_model_and_public_files_from_disk_run_end_to_end(kind, tmp_path):
    longer = shutil.copytree(small_models.saved(kind), tmp_path / kind)
    config = json.loads((longer / "config.json").read_text())
    (longer / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}))
    files = EVALS[:3]
    sentences = {file.stem: {"positive": "You like it.", "negative": "You hate it."} for file in files}
    (tmp_path / "attitudes.json").write_text(json.dumps(sentences))
    result = run(str(longer), data=[*files, tmp_path / "attitudes.json"], run_dir=tmp_path / "run", **SMALL)
    assert set(result.texts["dataset"]) == set(sentences)
    assert finding(result, "anti-steerable share of questions", f"answer vectors, {longer}").n == 30
