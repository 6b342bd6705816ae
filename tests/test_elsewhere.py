"""A model that is run elsewhere is taken wherever texts and log-probabilities are asked for, and nowhere else."""

from contextvars import Context

import numpy as np
import pytest
import torch

import tlsteer as ts
from tests.small_models import LAYERS, WIDTH, loaded
from tlsteer._model_type import Elsewhere
from tlsteer._surface import Surface
from tlsteer.judges import ModelJudge
from tlsteer.lean import lean_or_plain
from tlsteer.measure import Texts, Written, measured
from tlsteer.scoring import last_logits, scored
from tlsteer.steering import attach

PROMPTS = ["Hello world", "What is it?", "Sure, here"]


class Here(Elsewhere):
    """An engine that is none: it runs every row by itself on the reference, under what it was given for the row."""

    def __init__(self, model):
        self.reference, self.asked = model, []

    def __str__(self):
        return "an engine of the tests"

    def about(self):
        return {"device": "elsewhere"}

    def _each(self, rows, writes):
        self.asked.append(len(rows))
        for number in range(len(rows)):
            own = []
            for write in writes:
                row, strength = (min(number, len(many) - 1) for many in (write.vector, write.multiplier))
                vector = ts.SteeringVector(write.vector[row], write.site, write.operation)
                own.append(ts.Intervention(vector, float(write.multiplier[strength]), write.positions))
            yield number, own

    def continued(self, rows, writes, *, max_new_tokens, ends, seeds=None, **sampling):
        assert seeds is None or len(set(seeds)) == len(rows)
        how = dict(max_new_tokens=max_new_tokens, progress=False)
        found = [
            Context().run(ts.generate, self.reference, [list(rows[number])], own, **how)  # where no engine is in force
            for number, own in self._each(rows, writes)
        ]
        return [ids for (ids,) in found]

    def next_logprobs(self, rows, writes, ids):
        surface, found = Surface(self.reference), []
        for number, own in self._each(rows, writes):
            ((_, logits),) = last_logits(surface, [rows[number]], own)
            found.append(logits[0].log_softmax(-1)[list(ids[number])].tolist())
        return found

    def completion_logprobs(self, pairs, writes):
        surface, found = Surface(self.reference), []
        for number, own in self._each(pairs, writes):
            ((_, score, greedy),) = scored(surface, [tuple(map(list, pairs[number]))], own, 1, "", False)
            found.append((score, greedy))
        return found


@pytest.fixture
def engine():
    return Here(loaded("llama"))


def vectors(n, site=2):
    return [
        ts.SteeringVector(2 * one, site) for one in torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(n))
    ]


def test_generate_gives_the_same_texts_cut_at_the_same_stop(engine):
    todo = [ts.Intervention(vectors(3), [1.0, 2.0, 0.5], "completion")]
    for stop in ([], ["e"]):
        settings = dict(max_new_tokens=6, stop=stop, progress=False)
        assert ts.generate(engine, PROMPTS, todo, **settings) == ts.generate(
            engine.reference, PROMPTS, todo, **settings
        )
    assert engine.asked == [3, 3]  # one batch each


def test_sampling_has_a_seed_of_its_own_for_every_prompt(engine):
    ts.generate(engine, PROMPTS, max_new_tokens=2, temperature=1.0)


def test_texts_without_a_cache_are_refused_because_the_engine_has_its_own(engine):
    with pytest.raises(ts.DataError, match="use_cache"):
        ts.generate(engine, PROMPTS, use_cache=False)


def test_attack_success_and_its_random_baselines_are_the_same(engine):
    def judge(prompts, texts):
        return ["e" in text for text in texts]

    settings = dict(multipliers=[1.0, 2.0], max_new_tokens=4, progress=False)
    there, here = (
        ts.attack_success(model, {"v": vectors(1)[0]}, PROMPTS, judge, **settings).texts
        for model in (engine, engine.reference)
    )
    assert there.equals(here)
    assert engine.asked


@pytest.mark.parametrize("measure", ["logit_difference", "logprob_difference"])
def test_propensity_is_the_same(engine, measure):
    questions = [
        ts.Choice("What is it? (A)\n(B)\nAnswer: (", "A", "B"),
        ts.Choice("Hello (A)\n(B)\nAnswer: (", "B", "A"),
    ]
    settings = dict(multipliers=[-1, 0, 2], measure=measure, progress=False)
    there, here = (
        ts.propensity(one, dict(zip("ab", vectors(2), strict=True)), questions, **settings)
        for one in (engine, engine.reference)
    )
    np.testing.assert_allclose(there.values, here.values, atol=1e-4)
    assert engine.asked


def test_probabilities_of_answers_and_completions_are_the_same(engine):
    own = ts.Intervention(vectors(1)[0], 2.0, "completion")
    for call, given in ((ts.completion_logprob, [" here"] * 3), (ts.answer_logit_difference, "A")):
        more = ["B"] if call is ts.answer_logit_difference else []
        there, here = (call(one, PROMPTS, given, *more, own, progress=False) for one in (engine, engine.reference))
        assert torch.allclose(there, here, atol=1e-4)
    assert engine.asked == [3, 3]


def test_it_judges_as_the_model_does(engine):
    there, here = (
        ModelJudge(one, "{prompt} {text}?", chat=False).probabilities(PROMPTS, ["yes"] * 3)
        for one in (engine, engine.reference)
    )
    np.testing.assert_allclose(there, here, atol=1e-5)
    assert engine.asked == [3]


def test_what_looks_inside_is_refused_with_the_model_to_use(engine):
    vector, surface = vectors(1)[0], Surface(engine)
    for call in (
        lambda: engine("Hello"),
        lambda: engine.run_with_cache("Hello"),
        lambda: ts.steer(engine, vector).__enter__(),
        lambda: attach(surface, []).__enter__(),
        lambda: lean_or_plain(surface),
        lambda: surface.forward(torch.ones(1, 1).long(), torch.ones(1, 1).bool()),
        lambda: ts.fit_oneshot(engine, ts.Example("Hello", promote=[" world"]), 2, progress=False),
        lambda: ts.fit_contrastive(engine, [ts.ContrastPair("Hello", "What")], 2, progress=False),
    ):
        with pytest.raises(ts.ModelError, match=r"run by an engine of the tests.*\.reference"):
            call()


def test_a_vector_of_another_model_is_refused_before_anything_is_run(engine):
    with pytest.raises(ts.VectorError, match="width"):
        ts.generate(engine, PROMPTS, ts.SteeringVector(torch.ones(WIDTH + 1), 1))
    with pytest.raises(ts.SiteError):
        ts.generate(engine, PROMPTS, ts.SteeringVector(torch.ones(WIDTH), LAYERS))
    assert not engine.asked


def test_results_say_where_they_come_from(engine):
    surface, own = Surface(engine), Surface(engine.reference)
    assert surface.about() == own.about() | {"device": "elsewhere"}


def test_an_engine_in_force_writes_the_texts_of_its_reference_and_does_nothing_else(engine):
    model, vector, other = engine.reference, vectors(1)[0], loaded("qwen2")
    request = Texts(PROMPTS, [Written(), Written([ts.Intervention(vector, 2.0)])], 4)
    here = list(measured(Surface(model), request))
    with engine.writing():
        assert list(measured(Surface(model), request)) == here
        assert engine.asked == [3, 3]
        ts.generate(other, PROMPTS, max_new_tokens=2, progress=False)
        ts.completion_logprob(model, PROMPTS, [" here"] * 3, vector, progress=False)
        ts.fit_contrastive(model, [ts.ContrastPair("Hello", "What"), ts.ContrastPair("Sure", "it")], 2, progress=False)
        assert engine.asked == [3, 3]
    ts.generate(model, PROMPTS, max_new_tokens=2, progress=False)
    assert engine.asked == [3, 3]


def test_texts_of_an_engine_are_kept_apart_from_the_models_own(engine, tmp_path):
    request = Texts(PROMPTS, [Written()], 4)
    list(measured(Surface(engine.reference), request, tmp_path))
    with engine.writing():
        list(measured(Surface(engine.reference), request, tmp_path))
        list(measured(Surface(engine.reference), request, tmp_path))
    assert engine.asked == [3]
    list(measured(Surface(engine.reference), request, tmp_path))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
