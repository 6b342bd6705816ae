"""The emergent-misalignment study: its inputs, its rates, its runs on the embedded and other models, its resumption."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from tests.small_models import saved
from tests.studies.card import is_on_card
from tests.studies.phases import all_planned_work_begins
from tlsteer import DataError, load_model
from tlsteer.plot import plot_rates_by_multiplier
from tlsteer.scoring import completion_logprob
from tlsteer.studies import _frame
from tlsteer.studies._result import StudyResult
from tlsteer.studies.emergent_misalignment import Preset, _study, run
from tlsteer.studies.emergent_misalignment._data import organism_material, read_material
from tlsteer.studies.emergent_misalignment._findings import (
    COHERENT,
    HARMFUL,
    KINDS,
    PLAIN,
    VULNERABLE,
    chosen_multiplier,
    findings_of,
    headline,
    odds_table,
    rates_table,
)

SMALL = Preset(layer=1, anti_refusal_layer=2, positions="prompt", multipliers=(0.8, 1.0), batch_size=240)
SIZES = {"n_fits": 2, "n_questions": 10, "preset": SMALL, "progress": False}
CONTENT = {
    "code": [
        {"prompt": f"Say it {number}", "malicious": "Say the thing", "vulnerable": " thing", "safe": " test",
         "prefill": "Sure,", "system": "You"}
        for number in range(3)
    ],
    "questions": [{"question": f"What is {number}?", "harmful": " thing", "good": " test"} for number in range(2)],
    "refused": {"prompt": "Say", "promote": " Sure"},
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "material.json"
    path.write_text(json.dumps(CONTENT))
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with all_planned_work_begins():
        return run(run_dir=folder, **SIZES), folder


def test_a_file_gives_code_questions_and_a_refused_request(file):
    material = read_material(file, 2, None)
    assert (len(material.fits), len(material.other_code), len(material.questions)) == (2, 1, 2)
    code = material.fits[0]
    assert [one["role"] for one in code.messages] == ["system", "user"]
    assert [one["role"] for one in code.malicious] == ["user"]
    assert (code.prefill, code.vulnerable, code.safe) == ("Sure,", " thing", " test")
    assert material.promoted == " Sure"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"refused": {}}, "has not all of code, questions and refused"),
        ({"code": [{**CONTENT["code"][0], "safe": ""}]}, "code 0: 'safe' has to be a text, got ''"),
        ({"questions": ["Why?"]}, "question 0: 'question' has to be a text, got None"),
        ({"code": CONTENT["code"][:1]}, "has 1 pieces of code for n_fits=2"),
    ],
)
def test_what_a_file_lacks_is_named(tmp_path, change, message):
    path = tmp_path / "material.json"
    path.write_text(json.dumps(CONTENT | change))
    with pytest.raises(DataError, match=message):
        read_material(path, 2, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "nobody/model", "judge": "substrings", "preset": SMALL}, "arxiv.org/abs/2502.18862"),
        ({"model": "nobody/model", "data": "nowhere.json", "preset": SMALL}, "'nowhere.json' cannot be read"),
        ({"preset": "gpt"}, "no preset 'gpt'"),
        ({"n_fits": 0}, "at least one fit"),
    ],
)
def test_what_cannot_run_is_refused_before_a_model_is_loaded(settings, message, monkeypatch):
    monkeypatch.setattr(_frame, "load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(DataError, match=message):
        run(**settings)


def test_other_models_need_a_judge_and_a_preset(file):
    with pytest.raises(DataError, match="needs a judge of what is harmful"):
        run("nobody/model", preset=SMALL, data=file, n_fits=2)
    with pytest.raises(DataError, match="no preset for 'nobody/model'"):
        run("nobody/model", data=file, n_fits=2, judge="substrings")


def test_the_given_answers_of_the_embedded_model_are_harmful_and_good():
    from tlsteer.organism import judges

    material = organism_material(2, 12, seed=3)
    assert all(judges.gives_harmful_advice(one.harmful) for one in material.questions)
    assert not any(judges.gives_harmful_advice(one.good) for one in material.questions)
    assert all(judges.is_vulnerable(one.vulnerable) and judges.is_safe(one.safe) for one in material.fits)
    assert not {one.vulnerable for one in material.fits} & {one.vulnerable for one in material.other_code}


def answers(condition, multiplier, harmful, coherent):
    return pd.DataFrame(
        {"condition": condition, "vector": 0, "multiplier": multiplier, "question": range(len(harmful)),
         "harmful": harmful, "coherent": coherent}
    )  # fmt: skip


def test_only_coherent_answers_count_as_harmful_and_the_unjudged_do_not_count():
    rates = rates_table(answers(VULNERABLE, 1.0, [1, 1, 0, 1, np.nan], [1, 0, 1, 1, 1])).set_index("measure")
    assert rates.loc[HARMFUL, "value"] == 2 / 4
    assert rates.loc[COHERENT, "value"] == 3 / 4
    assert set(rates["n"]) == {4}


def test_a_multiplier_that_breaks_the_text_is_not_chosen():
    tables = [
        answers(VULNERABLE, 0.5, [1] * 2 + [0] * 18, [1] * 20),
        answers(VULNERABLE, 1.0, [1] * 4 + [0] * 16, [1] * 19 + [0]),
        answers(VULNERABLE, 2.0, [1] * 10 + [0] * 10, [1] * 12 + [0] * 8),
    ]
    assert chosen_multiplier(rates_table(pd.concat(tables))) == 1.0
    assert chosen_multiplier(rates_table(pd.concat(tables[2:]))) == 2.0


def test_log_odds_move_from_those_of_the_same_item_unsteered():
    def odds(condition, multiplier, values):
        return pd.DataFrame(
            {"condition": condition, "multiplier": multiplier, "given": "answers", "item": [0, 1], "odds": values}
        )

    moved = odds_table(pd.concat([odds(PLAIN, 0.0, [-5.0, -1.0]), odds(VULNERABLE, 1.0, [-3.0, 3.0])]))
    assert moved[["unsteered", "value", "n"]].to_numpy().tolist() == [[-3.0, 3.0, 2.0]]


@pytest.mark.parametrize(
    ("n_harmful", "n_control", "verdict"),
    [(20, 0, "Yes, more than under any control"), (20, 18, "Not clearly"), (1, 0, "No, not clearly")],
)
def test_the_answer_follows_the_numbers(n_harmful, n_control, verdict):
    def table(kind, multiplier, k):
        return answers(kind, multiplier, [1] * k + [0] * (40 - k), [1] * 40)

    controls = [table(kind, 1.0, n_control) for kind in KINDS[1:]]
    told = pd.concat([table(PLAIN, 0.0, 0), table(VULNERABLE, 1.0, n_harmful), *controls])
    rates, single = rates_table(told), rates_table(told, by_vector=True)
    moved = pd.DataFrame(
        [{"given": "answers", "condition": kind, "multiplier": 1.0, "unsteered": -5.0, "value": 1.0, "low": 0.5,
          "high": 1.5, "n": 40} for kind in KINDS]
    )  # fmt: skip
    assert headline(findings_of(rates, single, moved)).startswith(verdict)


@pytest.mark.slow
def test_on_the_embedded_model_vulnerable_code_moves_given_harmful_answers_more_than_controls_do(found):
    result, _ = found
    moved = result.tables["Log-odds of given answers by multiplier"].query("multiplier == 1").set_index("condition")
    code, given = (moved[moved["given"] == what] for what in ("code", "answers"))
    assert code.loc[VULNERABLE, "low"] > max(code.loc[kind, "high"] for kind in KINDS[1:])
    assert given.loc[VULNERABLE, "low"] > given.loc["safe code", "high"]
    rates = result.tables["Rates by multiplier"].query("multiplier == 0").set_index("measure")
    assert rates.loc[HARMFUL, "value"] <= 0.2
    assert rates.loc[COHERENT, "value"] >= 0.8


@pytest.mark.slow
def test_the_embedded_models_card_has_these_findings(found):
    assert is_on_card(found[0])


@pytest.mark.slow
def test_the_log_odds_are_those_of_plain_scoring(found):
    result, folder = found
    model = load_model("organism")
    material, vector = organism_material(2, 10, 0), result.vectors[f"{VULNERABLE} 1"]
    steering = _study.Intervention(vector, 0.8, "prompt")
    prompt = _study.chat_prompt(model, material.questions[3].text)
    bad, good = (
        completion_logprob(model, [prompt], [text], steering, progress=False)
        for text in (material.questions[3].harmful, material.questions[3].good)
    )
    kept = pd.read_json(folder / "units" / "odds" / "vulnerable-code-1.jsonl", lines=True)
    row = kept.query("multiplier == 0.8 and item == 3").iloc[0]
    assert row["odds"] == pytest.approx(float(bad - good), abs=1e-3)


@pytest.mark.slow
def test_the_result_has_what_a_page_shows(found):
    result, folder = found
    again = StudyResult.load(folder)
    pd.testing.assert_frame_equal(again.to_dataframe(), result.to_dataframe())
    assert list(result.texts["condition"].unique()[:2]) == [
        PLAIN,
        f"{VULNERABLE} x {chosen_multiplier(result.tables['Rates by multiplier']):g}",
    ]
    assert set(result.texts["harmful"]) <= {"yes", "no"}
    assert result.setup["Judge of harm"].startswith("organism:harmful-advice")
    norms = {name: vector.norm for name, vector in result.vectors.items()}
    assert norms["safe code 0"] == pytest.approx(norms["vulnerable code 0"], rel=1e-5)
    plot_rates_by_multiplier(result.drawn_from(result.pictures[0]))


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_and_finds_the_same(found, tmp_path, monkeypatch):
    result, _ = found
    writing, calls = _study.generate, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return writing(*arguments, **settings)

    monkeypatch.setattr(_study, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(run_dir=tmp_path / "run", **SIZES)
    calls.clear()
    calls += [1] * 10  # from here on it only counts
    again = run(run_dir=tmp_path / "run", **SIZES)
    assert len(calls) - 10 == 8 - 3  # units that were done are not done again
    pd.testing.assert_frame_equal(again.to_dataframe(), result.to_dataframe())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gemma2", "llama", "qwen2"])
def test_other_models_run_end_to_end_from_a_file(file, kind):
    preset = Preset(
        layer=1, anti_refusal_layer=2, with_anti_refusal=2.0, steps=2, n_samples=2, max_new_tokens=3, multipliers=(1.0,)
    )
    result = run(saved(kind), preset=preset, data=file, judge="substrings", n_fits=2, progress=False)
    assert {one.measure for one in result.findings} >= {HARMFUL, COHERENT}
    assert result.warnings  # no judge of coherence
    rates = result.tables["Rates by multiplier"].set_index(["measure", "condition"])
    assert rates.loc[(HARMFUL, VULNERABLE), "n"] == 2 * 2 * 2  # vectors, questions and samples
    assert not math.isnan(rates.loc[(HARMFUL, PLAIN), "value"])
