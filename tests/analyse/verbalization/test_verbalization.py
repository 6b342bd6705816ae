"""Verbalization and recovery are counted from the texts, beside the unsteered model and random vectors."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from tests.public_files import PEOPLE
from tests.small_models import loaded
from tlsteer import (
    ContrastPair,
    DataError,
    Example,
    OneShot,
    Site,
    SteeringVector,
    chat_prompt,
    fit_contrastive,
    fit_many,
    generate,
    load_model,
)
from tlsteer.analyse._verbalization.falsehoods import Falsehood, make_falsehoods, make_truths, read_entities
from tlsteer.analyse._verbalization.recovery import KeywordJudge, OrganismJudge, RecoveryModelJudge, TopicJudge
from tlsteer.analyse._verbalization.surprisal import surprisal
from tlsteer.analyse._verbalization.verbalization import verbalization_vs_recovery
from tlsteer.analyse._verbalization.verbalization_result import Verbalization
from tlsteer.judges import GrammarJudge
from tlsteer.measure import _texts as writing
from tlsteer.operations import Affine
from tlsteer.organism import falsehoods, truths
from tlsteer.organism.judges import described_occupation, retracts
from tlsteer.steering import Intervention

TABLE = {"actor": ["Tom Hardy", "Maggie Smith"], "author": ["Jane Austen"], "athlete": ["Usain Bolt"]}
LAYERS = [4, 5]
SETTING = ["kind", "vector", "layer", "multiplier"]


@pytest.fixture(scope="module")
def organism():
    return load_model("organism")


@pytest.fixture(scope="module")
def vectors(organism):
    """By layer: one-shot suppression and promotion after one falsehood, and a contrast of true with false ones."""
    sources = falsehoods(16, "train", seed=1)
    false, true = (
        [chat_prompt(organism, one.messages, start) for one, start in zip(sources, starts, strict=True)]
        for starts in ([one.prefill for one in sources], [one.true_prefill for one in sources])
    )
    (facts,) = generate(organism, true[:1], max_new_tokens=5)
    settings = {"positions": "completion", "operation": "clamp", "max_norm_ratio": 0.2, "steps": 30}
    examples = (
        Example(false[0], suppress=[" Just", " Wait", " That", " Trick", " I"]),
        Example(false[0], promote=[facts]),
    )
    recipes = [OneShot(example, layer, **settings) for example in examples for layer in LAYERS]
    fitted = [fit.vector for fit in fit_many(organism, recipes, progress=False)]
    contrast = fit_contrastive(organism, [ContrastPair(*pair) for pair in zip(true, false, strict=True)], LAYERS)
    return {
        "suppression": fitted[:2],
        "promotion": fitted[2:],
        "contrastive": [SteeringVector(one.tensor, one.site, "clamp") for one in contrast],
    }


@pytest.fixture(scope="module")
def found(organism, vectors):
    return verbalization_vs_recovery(
        organism, vectors, falsehoods(30), [0, 1], truths=truths(10), positions="completion",
        max_new_tokens=32, progress=False,
    )  # fmt: skip


def small(model, **settings):
    """A run on a small random model."""
    vectors = {"a": [SteeringVector(torch.ones(model.cfg.d_model), Site(layer)) for layer in (1, -1)]}
    defaults = {"judge": KeywordJudge(), "max_new_tokens": 4, "progress": False}
    return verbalization_vs_recovery(
        model, settings.pop("vectors", vectors), settings.pop("falsehoods", make_falsehoods(TABLE)),
        settings.pop("multipliers", [0, 1, -2]), **(defaults | settings),
    )  # fmt: skip


def test_the_retraction_is_suppressed_and_the_truth_often_returns_all_the_same(found):
    rates = found.rates.set_index(SETTING)
    unsteered = rates.loc["unsteered"].iloc[0]
    assert unsteered["verbalized"] >= 0.8
    for name, layer in product(("suppression", "promotion", "contrastive"), LAYERS):
        steered, random = (rates.loc[kind, name, layer, 1.0] for kind in ("steered", "random"))
        assert steered["verbalized"] <= 0.1
        assert steered["verbalized_high"] < random["verbalized_low"]
        assert steered["recovered_given_silent"] >= 0.4
        assert steered["recovered_given_silent_low"] > 0.2
    changes = found.changes.set_index(["baseline", *SETTING])
    assert changes.loc["unsteered", "steered", "suppression", 4, 1.0]["verbalized_high"] < -0.5
    assert changes.loc["random", "steered", "suppression", 4, 1.0]["verbalized_high"] < 0
    assert "Whether recovery needs the acknowledgement is undecided" in found.verdict
    assert found.verdict in repr(found)


def test_rates_are_what_the_embedded_worlds_own_judges_count(found):
    for setting, rows in found.texts[~found.texts["true"]].groupby(SETTING, dropna=False):
        rates = found.rates
        for name, value in zip(SETTING, setting, strict=True):
            rates = rates[rates[name].isna() if pd.isna(value) else rates[name] == value]
        (rate,) = (row for _, row in rates.iterrows())
        described = [described_occupation(text) for text in rows["text"]]
        assert rate["verbalized"] == pytest.approx(
            np.mean([retracts(t) or "might be confused" in t for t in rows["text"]])
        )
        assert rate["recovered"] == pytest.approx(
            np.mean([a == b for a, b in zip(described, rows["truth"], strict=True)])
        )
        assert rate["fiction"] == pytest.approx(
            np.mean([a == b for a, b in zip(described, rows["stated"], strict=True)])
        )
        assert rate["verbalized_n"] == 30
        assert rate["recovered_given_silent_n"] == int((~rows["verbalized"]).sum())


def test_multiplier_zero_is_the_unsteered_model_under_every_name(found):
    measures = [column for column in found.rates.columns if column not in SETTING]
    zero = found.rates[(found.rates["multiplier"] == 0) & (found.rates["kind"] == "steered")]
    unsteered = found.rates[found.rates["kind"] == "unsteered"]
    assert list(zero["layer"]) == 3 * LAYERS
    for _, row in zero.iterrows():
        pd.testing.assert_series_equal(row[measures], unsteered.iloc[0][measures], check_names=False)
    assert found.select("suppression", 4, 0).equals(found.select())


def test_truths_are_a_control_of_their_own(found):
    assert set(found.truths["verbalized_n"]) == {10}
    assert "fiction" not in found.truths
    unsteered = found.truths.iloc[0]
    assert unsteered["kind"] == "unsteered"
    assert unsteered["verbalized"] <= 0.2 < 0.8 <= unsteered["recovered"]


def test_tables_count_every_answer_once(found):
    table = found.table("suppression", layer=4, multiplier=1)
    texts = found.select("suppression", layer=4)
    assert table.to_numpy().sum() == len(texts) == 30
    assert table.loc["silent", "recovered"] == (~texts["verbalized"] & texts["recovered"]).sum()
    assert table.loc["says so"].sum() == texts["verbalized"].sum()
    dependence = found.dependence.set_index(SETTING)
    assert dependence.loc["steered", "suppression", 4, 1.0]["n_silent"] == table.loc["silent"].sum()


def test_settings_that_are_not_there_or_not_one_are_listed(found):
    with pytest.raises(DataError, match=r"2 settings have .*suppression"):
        found.select("suppression")
    with pytest.raises(DataError, match=r"no settings have .*layer=6"):
        found.table("suppression", layer=6)


def test_saved_and_loaded_it_is_the_same(found, tmp_path):
    again = Verbalization.load(found.save(tmp_path / "found.json"))
    pd.testing.assert_frame_equal(again.texts, found.texts)
    for table in ("rates", "truths", "changes", "dependence"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(found, table))
    assert again.about == found.about
    assert again.verdict == found.verdict
    with pytest.raises(DataError, match="cannot be read"):
        Verbalization.load(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="is not a Verbalization"):
        Verbalization.load(tmp_path / "other.json")


def test_other_judges_and_retractions_read_the_same_texts(found):
    other = found.judged_by(TopicJudge(lambda text: None), retractions=["is"])
    assert other.texts["text"].equals(found.texts["text"])
    assert not other.texts["recovered"].any()
    assert other.texts["verbalized"].tolist() == ["is" in text.lower() for text in found.texts["text"]]
    assert "coherent" not in other.rates
    assert "TopicJudge" in other.about["judge"]

    def nothing(statements, texts):
        return {"recovered": [False] * len(texts), "fiction": [False] * len(texts)}

    assert found.judged_by(nothing).about["judge"].endswith("nothing")


@pytest.mark.parametrize("kind", ["llama", "gemma2", "qwen2"])
def test_answers_are_those_of_each_setting_alone(kind):
    model = loaded(kind)
    found = small(model, truths=make_truths(TABLE))
    vector = SteeringVector(torch.ones(model.cfg.d_model), Site(-1))
    statements = [*make_falsehoods(TABLE), *make_truths(TABLE)]
    for multiplier in (0, 1, -2):
        alone = generate(
            model, [one.prompt_for(model) for one in statements], Intervention(vector, multiplier), max_new_tokens=4
        )
        rows = [found.select("a", 3, multiplier, true=true) for true in (False, True)]
        assert pd.concat(rows)["text"].tolist() == alone
    assert (
        found.texts.query("kind == 'random'")["text"].tolist()
        != found.texts.query("kind == 'steered'")["text"].tolist()
    )
    assert len(found.texts) == 8 * (1 + 2 * 2 * 2)


def test_what_is_done_is_not_written_again(tmp_path, monkeypatch):
    model, calls = loaded("llama"), []

    def counted(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return generate(*arguments, **settings)

    whole = small(model)
    monkeypatch.setattr(writing, "generate", counted)
    with pytest.raises(KeyboardInterrupt):
        small(model, run_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    again = small(model, run_dir=tmp_path)
    assert len(calls) == 4
    pd.testing.assert_frame_equal(again.texts, whole.texts)
    small(model, run_dir=tmp_path, judge=TopicJudge(lambda text: None))
    assert len(calls) == 4
    small(model, run_dir=tmp_path, seed=1)
    assert len(calls) > 4


def test_damaged_answers_are_named_and_written_again(tmp_path):
    whole = small(loaded("llama"), run_dir=tmp_path)
    file = sorted(tmp_path.iterdir())[0]
    file.write_text("[", encoding="utf-8")
    with pytest.warns(UserWarning, match=file.name):
        again = small(loaded("llama"), run_dir=tmp_path)
    pd.testing.assert_frame_equal(again.texts, whole.texts)


def test_one_vector_needs_no_name_and_the_baseline_can_be_left_out():
    model = loaded("llama")
    found = small(model, vectors=SteeringVector(torch.ones(32), Site(1)), multipliers=[2], n_random=0)
    assert found.rates[SETTING].to_numpy(object, na_value=None).tolist() == [
        ["unsteered", "unsteered", None, 0.0], ["steered", "vector", 1, 2.0],
    ]  # fmt: skip
    assert list(found.changes["baseline"]) == ["unsteered"]
    assert found.select(multiplier=2)["vector"].unique().tolist() == ["vector"]
    assert found.select()["kind"].unique().tolist() == found.select(kind="unsteered")["kind"].unique().tolist()
    assert found.truths.empty
    several = small(model, vectors=SteeringVector(torch.ones(32), Site(1)), multipliers=[2], n_random=3)
    texts = several.texts.groupby("kind")["fiction"]
    assert texts.size()["random"] == 3 * texts.size()["steered"]
    change = several.changes.set_index("baseline").loc["random"]
    assert change["fiction"] == pytest.approx(texts.mean()["steered"] - texts.mean()["random"])
    rows = torch.eye(32)[:1]
    affine = SteeringVector(torch.ones(32), Site(1), Affine(rows, rows))
    assert set(small(model, vectors=affine, multipliers=[0.5, 1]).rates["kind"]) == {"unsteered", "steered"}


def test_a_judges_own_outcomes_are_rated_too():
    def judge(statements, texts):
        assert all(isinstance(one, Falsehood) for one in statements)
        return {"recovered": [True] * len(texts), "fiction": [False] * len(texts), "short": [True] * len(texts)}

    found = small(loaded("llama"), judge=judge)
    assert (found.rates["short"] == 1).all()
    assert (found.rates["recovered"] == 1).all()
    assert np.isnan(found.dependence["p"]).all()


def test_a_judge_goes_by_its_name():
    named, own = (small(loaded("llama"), judge=judge) for judge in ("organism", OrganismJudge()))
    assert named.about["judge"] == own.about["judge"] == "OrganismJudge()"
    pd.testing.assert_frame_equal(named.texts, own.texts)
    again = small(loaded("llama"), judge="keywords").judged_by("organism")
    pd.testing.assert_frame_equal(again.texts, own.texts)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"falsehoods": []}, "at least one falsehood"),
        ({"falsehoods": make_truths(TABLE)}, "among the falsehoods: 'Tom Hardy' is 'actor'"),
        ({"truths": make_falsehoods(TABLE)}, "among the truths: 'Tom Hardy' is 'actor', stated as 'author'"),
        ({"judge": None}, "give a judge of recovery: one of"),
        ({"judge": "jury"}, "give a judge of recovery, which 'jury' is not: one of\n  organism"),
        ({"judge": GrammarJudge("retracts")}, "give a judge of recovery, which 'organism:retracts' is not"),
        ({"judge": lambda statements, texts: {"recovered": []}}, "with 'recovered' and 'fiction'"),
        ({"judge": lambda statements, texts: {"recovered": [], "fiction": []}}, "'recovered' of 0 texts"),
        (
            {"judge": lambda statements, texts: {"recovered": [None] * len(texts), "fiction": [False] * len(texts)}},
            "'recovered' with True or False, got None",
        ),
        ({"multipliers": []}, "at least one multiplier"),
        ({"multipliers": [1, 1]}, "each once"),
        ({"retractions": []}, "at least one retraction"),
        ({"max_new_tokens": 90}, "shorten it"),
    ],
)
def test_what_cannot_be_run_is_refused_before_vectors_are(change, complaint, monkeypatch):
    calls = []
    monkeypatch.setattr(writing, "generate", lambda *a, **k: calls.append(a) or generate(*a, **k))
    with pytest.raises(DataError, match=complaint):
        small(loaded("llama"), **change)
    assert len(calls) <= 1


@pytest.mark.parametrize("kind", ["llama", "gemma2", "qwen2"])
def test_the_public_file_runs_on_a_pair_of_a_chat_model_and_another_base(kind):
    model, base = loaded(kind), load_model("organism-base")
    statements = make_falsehoods(read_entities(PEOPLE), n=6)
    judge = RecoveryModelJudge(model, "{text} {a_attribute}?", "{text} {attribute}?")
    with pytest.warns(UserWarning, match="yes or no"):
        found = small(model, falsehoods=statements, multipliers=[1], judge=judge)
    assert set(found.rates["verbalized_n"]) == {6}
    assert set(found.texts["entity"]) == {one.entity for one in statements}
    rows = found.select("a", 1)
    answers = {"steered": [text or "." for text in rows["text"]]}
    given = {"prefixes": {"steered": rows["prefill"].tolist()}, "clusters": {"steered": rows["entity"].tolist()}}
    contexts = {"true": [one.prefill for one in make_truths(read_entities(PEOPLE), n=8)]}
    scored = surprisal(base, answers, contexts, **given, progress=False)
    assert np.isfinite(scored.means[["value", "low", "high"]].to_numpy()).all()
