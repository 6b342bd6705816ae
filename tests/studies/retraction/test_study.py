"""The retraction study: its statements, its run on the embedded and on other models, its resumption."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch

from tests.public_files import PEOPLE
from tests.small_models import loaded, saved
from tests.studies.card import is_on_card
from tests.studies.phases import all_planned_work_begins
from tlsteer import DataError, SteeringVector
from tlsteer._surface import Surface
from tlsteer.analyse._reading.classify import classify
from tlsteer.analyse._verbalization.falsehoods import Falsehood
from tlsteer.analyse._verbalization.recovery import KeywordJudge, OrganismJudge
from tlsteer.analyse._verbalization.retractions import retraction_spans
from tlsteer.positions import last
from tlsteer.report._page import write
from tlsteer.runs import RunDirectory
from tlsteer.studies import _frame
from tlsteer.studies._frame import Bench
from tlsteer.studies._plan import Phases
from tlsteer.studies._result import StudyResult
from tlsteer.studies.retraction import STUDY, run
from tlsteer.studies.retraction._contexts import made_of
from tlsteer.studies.retraction._data import file_statements, judge_of_recovery, organism_statements
from tlsteer.studies.retraction._pooled import pooled_auc
from tlsteer.studies.retraction._presets import PRESETS, Preset
from tlsteer.studies.retraction._sources import known_statements, likeliest_completion
from tlsteer.studies.retraction._tables import FICTION, KEPT, RETURNS, SAYS, SILENT, _recovery
from tlsteer.studies.retraction._vectors import CAA, METHODS, REENTRANT
from tlsteer.tokens import decode_after, encode

NAMES = {"actor": ["Tom Hardy", "Maggie Smith", "Jodie Foster", "Al Pacino"], "author": ["Jane Austen", "Homer"],
         "athlete": ["Usain Bolt", "Pele", "Babe Ruth"], "musician": ["Adele"]}  # fmt: skip
# The byte-level tokenizer of the small models makes 60 tokens of a prompt; their context holds 96.
TINY = Preset(
    other="organism-base", layers=(2, 3), layer=3, openings=("...Just", " Just"), prefill="{article} **{attribute}**.",
    fit={"steps": 3}, target=True, invasive={"steps": 3}, late={"steps": 3, "max_norm": 30.0}, max_new_tokens=4,
    contrast=last(1),
)  # fmt: skip
SMALL = replace(PRESETS["organism"], layers=(4,), max_new_tokens=32)
SIZES = {"n_fits": 8, "n_tests": 24, "preset": SMALL, "progress": False}


@pytest.fixture
def names(tmp_path):
    file = tmp_path / "names.json"
    file.write_text(json.dumps(NAMES))
    return file


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with all_planned_work_begins():
        return run(run_dir=folder, **SIZES), folder


def findings(result):
    return {(one.measure, one.condition): one.ours for one in result.findings}


def test_nobody_is_fitted_on_and_tried(names):
    for statements in (organism_statements(40, 60, seed=1), file_statements(names, "{entity}: {attribute}", 9, 9, 1)):
        people = [{one.entity for twins in group for one in twins} for group in (statements.fits, statements.tests)]
        assert all(people)
        assert not people[0] & people[1]
        for false, true in (*statements.fits, *statements.tests):
            assert (false.entity, false.question, false.truth) == (true.entity, true.question, true.stated)
            assert not false.true
            assert true.true
            assert false.prefill != true.prefill


@pytest.mark.slow
def test_the_retraction_is_stopped_and_silent_answers_return_to_the_truth_as_often_as_planted(found):
    ours = findings(found[0])
    assert ours[SAYS, "unsteered"].value > 0.7
    for method in METHODS:
        steered, random = ours[SAYS, f"{method}, layer 4"], ours[SAYS, f"random vectors, norm of {method}"]
        assert steered.high < min(random.low, ours[SAYS, "unsteered"].low)
        if method != REENTRANT:
            assert steered.value <= 0.1
            # What is planted for silent answers: fiction in a quarter to a half of them, by fame.
            assert ours[SILENT, f"{method}, layer 4"].high >= 0.5
            assert ours[FICTION, f"{method}, layer 4"].low <= 0.5
        assert ours["takes a true statement back", f"{method}, layer 4"].value <= 0.2


@pytest.mark.slow
def test_findings_are_counted_from_the_texts_that_are_shown(found):
    result, _ = found
    texts = result.texts[result.texts["statement"] == "false"]
    ours = findings(result)
    for condition, shown in [("unsteered", "unsteered"), *((method, f"{method}, layer 4") for method in METHODS)]:
        rows = texts[texts["condition"] == condition]
        assert ours[SAYS, shown].value == pytest.approx(
            rows["text"].map(lambda text: bool(retraction_spans(text))).mean()
        )
        assert ours[RETURNS, shown].value == pytest.approx(rows["returns"].mean())
        assert len(rows) == ours[SAYS, shown].n
        # 24 people for each vector; an occupation whose fit is left out has none.
        assert len(rows) in ([24] if condition in ("unsteered", CAA) else [24 * n for n in (4, 5, 6)])


@pytest.mark.slow
def test_the_embedded_models_card_has_these_findings(found):
    assert is_on_card(found[0])


@pytest.mark.slow
def test_the_claim_is_in_one_table_and_in_words(found):
    result, _ = found
    overview = next(iter(result.tables.values()))
    assert overview[["method", "layer"]].dropna().to_numpy().tolist() == [[method, 4] for method in METHODS]
    suppression = overview.query("method == 'suppression' and layer == 4").iloc[0]
    assert suppression["retraction suppressed"] == "yes"
    changes = result.tables["What each vector changes"].query("vector == 'suppression' and layer == 4")
    assert (suppression["recovery"] == KEPT) == (changes["recovered_high"] >= 0).all()
    shown = overview[(overview["retraction suppressed"] == "yes") & (overview["recovery"] == "kept")]["method"]
    assert result.answer.startswith("No: ") == ({*METHODS} - {REENTRANT} <= {*shown})
    assert "of 24 falsehoods" in result.answer


@pytest.mark.slow
def test_a_finished_run_is_read_again_and_written_as_a_page(found):
    result, folder = found
    again = StudyResult.load(folder)
    pd.testing.assert_frame_equal(again.to_dataframe(), result.to_dataframe())
    assert again.answer == result.answer
    page = write(folder).read_text()
    assert "Retraction suppressed, recovery kept?" in page
    assert len(list((folder / "pictures").glob("*.png"))) == len(result.pictures) == 5


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_result(names, tmp_path, monkeypatch):
    settings = {"model": saved("llama"), "preset": TINY, "data": names, "judge": "keywords", "progress": False}
    whole = run(run_dir=tmp_path / "whole", **settings)
    unit, computed = RunDirectory.unit, []

    def stopping(self, name, compute):
        def counted():
            computed.append(name)
            if len(computed) == 5:
                raise KeyboardInterrupt
            return compute()

        return unit(self, name, counted)

    monkeypatch.setattr(RunDirectory, "unit", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(run_dir=tmp_path / "run", **settings)
    result = run(run_dir=tmp_path / "run", **settings)
    assert len(computed) == len(set(computed)) + 1  # only what was in flight is done again
    pd.testing.assert_frame_equal(result.to_dataframe(), whole.to_dataframe())
    pd.testing.assert_frame_equal(result.texts, whole.texts)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gemma2", "llama", "qwen2"])
def test_the_public_names_run_on_saved_models(kind, tmp_path):
    result = run(
        saved(kind), preset=TINY, data=PEOPLE, judge="keywords", run_dir=tmp_path / "run", n_fits=5, n_tests=6,
        progress=False,
    )  # fmt: skip
    ours = findings(result)
    assert ours[SAYS, "unsteered"].n == 6
    n_sources = ours[SAYS, "reentrant, layer 3"].n // 6
    assert ours[SAYS, "reentrant, layer 3"].n == 6 * n_sources
    assert n_sources == len({name.split(", ")[1] for name in result.vectors if name.startswith("reentrant")}) > 1
    assert ours[SAYS, "random vectors, norm of reentrant"].n == 6
    assert "KeywordJudge" in result.setup["Judge of recovery and fiction"]
    assert str(PEOPLE) in result.command
    assert any("takes no statement for fits about" in warning for warning in result.warnings)
    write(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": "nobody/gemma-2-2b-it"}, "needs people that the model knows"),
        ({"model": "nobody/gemma-2-2b-it", "data": "names"}, "give a judge of recovery: one of"),
        (
            {"model": "nobody/gemma-2-2b-it", "data": "names", "judge": "jury"},
            "judge of recovery, which 'jury' is not",
        ),
        ({"model": "nobody/other"}, "no preset for 'nobody/other'"),
        ({"preset": "other"}, "no preset 'other'"),
        ({"n_tests": 0}, "at least 1 fit and 1 test"),
    ],
)
def test_what_is_missing_is_said_before_a_model_is_loaded(change, complaint, names, monkeypatch):
    monkeypatch.setattr(_frame, "load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    change = change | ({"data": names} if "data" in change else {})
    with pytest.raises(DataError, match=complaint):
        run(**change)


def test_the_likeliest_completion_is_that_of_all_completions_where_the_beam_is_as_wide_as_the_vocabulary():
    model = loaded("llama")
    surface, prompt = Surface(model), "Who is it? "
    before = encode(surface, prompt)
    with torch.no_grad():
        first = model(torch.tensor([before]))[0, -1].double().log_softmax(-1)
        rows = torch.tensor([[*before, token] for token in range(len(first))])
        scores = first[:, None] + model(rows)[:, -1].double().log_softmax(-1)
    pair = divmod(int(scores.argmax()), len(first))
    wide = likeliest_completion(surface, prompt, 2, len(first))
    assert wide == decode_after(surface, before, list(pair))
    greedy = [int(first.argmax()), int(scores[first.argmax()].argmax())]
    assert likeliest_completion(surface, prompt, 2, 1) == decode_after(surface, before, greedy)


def test_texts_of_each_kind_are_made_of_what_was_said_after_true_statements():
    people = [
        ("Ann Lee", "author", "She wrote."),
        ("Bo Ek", "actor", "He acts."),
        ("Cy Day", "actor", "Lee? She acts."),
    ]
    true = [(Falsehood(name, own, own, "Who?", f"{name} is an {own}."), f" {text}") for name, own, text in people]
    made = made_of(true, 0, {"Ann Lee": "Ann Lee is an actor."})
    assert [one.begun + one.text for one in made["real"]] == [
        "Ann Lee is an author. She wrote.", "Bo Ek is an actor. He acts.", "Cy Day is an actor. Lee? She acts.",
    ]  # fmt: skip
    # Ann's pronoun is Cy's; nobody of another occupation shares Bo's.
    assert [one.begun + one.text for one in made["fictitious"]] == [
        "Cy Day is an author. She wrote.", "Ann Lee is an actor. He acts.", "Ann Lee is an actor. Lee? She acts.",
    ]  # fmt: skip
    assert [(one.begun, one.text) for one in made["incongruous"]] == [("Ann Lee is an actor.", " She wrote.")]


def test_only_entities_that_the_model_knows_are_kept(names, tmp_path):
    model, statements = loaded("llama"), file_statements(names, TINY.prefill, 5, 5, 0)
    truths = [true for group in (statements.fits, statements.tests) for _, true in group]
    chances = []
    for one in truths:
        before, _, _ = one.prompt_for(model).rpartition(one.truth)
        prompt, whole = (encode(Surface(model), text) for text in (before, before + one.truth))
        with torch.no_grad():
            logs = model(torch.tensor([whole]))[0].double().log_softmax(-1)
        places = range(len(prompt), len(whole))
        chances.append(float(torch.stack([logs[place - 1, whole[place]] for place in places]).sum().exp()))
    own = sorted(chances[: len(statements.fits)])[-2], sorted(chances[len(statements.fits) :])[-2]
    preset = replace(TINY, known=min(own) * 0.999)
    with RunDirectory(tmp_path / "run", {}) as folder:
        bench = Bench(STUDY, folder, model, preset, statements, None, False, 0, False, Phases([]), {}, "")
        found = known_statements(bench)
    kept = [true.entity for group in (found.fits, found.tests) for _, true in group]
    assert kept == [one.entity for one, chance in zip(truths, chances, strict=True) if chance > preset.known]
    assert 4 <= len(kept) < len(truths)


def test_vectors_of_a_method_are_one_classifier_in_which_all_dot_products_count():
    model, torch_seed = loaded("llama"), torch.Generator().manual_seed(0)
    prompts = ["One is it", "Two", "Three is a test", "What is four?", "Sure"]
    vectors = {"m": {source: [SteeringVector(torch.randn(32, generator=torch_seed), 2)] for source in "ab"}}
    named = {f"m, {source}": rows for source, rows in vectors["m"].items()}
    single = classify(model, named, prompts[:3], prompts[3:], progress=False)
    (row,) = pooled_auc(model, vectors, prompts, 3, list("vwxyz"), single).to_dict("records")
    dots = []
    for vector in vectors["m"].values():
        for number, prompt in enumerate(prompts):
            tokens = torch.tensor([encode(Surface(model), prompt)])
            _, cache = model.run_with_cache(tokens)
            dots.append((number < 3, float(cache["blocks.2.hook_resid_pre"][0].mean(0) @ vector[0].tensor)))
    pairs = [(yes > no) + (yes == no) / 2 for true, yes in dots if true for false, no in dots if not false]
    assert row["auc"] == pytest.approx(sum(pairs) / len(pairs))
    assert row["n"] == len(dots)
    assert [row["single_low"], row["single_high"]] == sorted(single["auc"])


def test_recovery_is_kept_where_it_is_significantly_below_neither_baseline():
    rows = [
        {"baseline": name, "recovered": 0, "recovered_low": -0.2, "recovered_high": 0.2, "recovered_n": 9}
        for name in ("unsteered", "random")
    ]
    assert _recovery(pd.DataFrame(rows))["recovery"] == KEPT
    rows[1]["recovered_high"] = -0.01
    assert _recovery(pd.DataFrame(rows))["recovery"] == "below random"
    assert _recovery(pd.DataFrame(rows[:1]))["recovery"] == "not compared"


def test_judges_and_presets_go_by_name():
    assert isinstance(judge_of_recovery(None, TINY, True).make(), OrganismJudge)
    assert isinstance(judge_of_recovery("keywords", TINY, False).make(), KeywordJudge)
    judge = KeywordJudge({"a": ["b"]})
    assert judge_of_recovery(judge, TINY, False).make() is judge
    assert STUDY.preset_of("google/gemma-2-2b-it") is PRESETS["gemma-2-2b-it"]
    with pytest.raises(DataError, match="layer=9 has to be one of"):
        replace(SMALL, layer=9)
    with pytest.raises(DataError, match="all of them after early=4"):
        replace(SMALL, early=4)
