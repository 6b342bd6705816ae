"""The seam: units have keys, come back in order, are run once and kept, and do not depend on who runs them."""

import tracemalloc

import numpy as np
import pytest
import torch

import tlsteer as ts
from tests import small_models
from tests.cluster.fakes import Fake
from tests.measure.watched import Watched
from tlsteer._store import Store
from tlsteer._surface import Surface
from tlsteer.data import ContrastPair
from tlsteer.fit._contrastive import Contrasts
from tlsteer.fit._fits import Fits
from tlsteer.measure import Answers, Divergences, Likelihoods, Residuals, Texts, Work, Written, executing, measured
from tlsteer.tokens import encode_completion, encode_prompts

PROMPTS = ["What is it? this is a test of the thing", "Hello world is it", "This is A"]
MULTIPLIERS = [-1.0, 0.0, 2.0]


class OneByOneBackwards:
    """An executor as remote as can be: every unit alone, the last first, through what a file can hold."""

    def run(self, surface, request, units, unfinished):
        for unit in reversed(units):
            ((number, value),) = request.run(surface, [unit], unfinished)
            through = Store(None)
            through.put("value", value)
            yield number, through.get("value")


def vectors():
    tensors = torch.randn(4, small_models.WIDTH, generator=torch.Generator().manual_seed(0))
    return [ts.SteeringVector(one, site) for one, site in zip(tensors, (0, 2, ts.Site(1, "post"), 2), strict=True)]


def requests(surface):
    rows = encode_prompts(surface, PROMPTS)
    pairs = [encode_completion(surface, prompt, " Sure, here") for prompt in PROMPTS]
    several = [ts.Intervention([one] * 3, [1.0] * 3) for one in vectors()]
    contrast = [ContrastPair("Hello world", "Hello thing"), ContrastPair("this is A", "this is B")]
    texts = encode_prompts(surface, [p.positive for p in contrast] + [p.negative for p in contrast])
    sites = [ts.Site(layer) for layer in (1, 2, 3)]
    example = ts.Example("What is it?", promote=[" Sure, here"], suppress=[" I cannot"])
    return {
        "answers": Answers(rows, torch.tensor([[5, 6]] * 3), vectors(), MULTIPLIERS),
        "likelihoods": Likelihoods(pairs, vectors(), MULTIPLIERS),
        "divergences": Divergences(rows, [(one, MULTIPLIERS) for one in vectors()]),
        "greedy texts": Texts(PROMPTS, [Written(), *(Written([one]) for one in several)], 5),
        "sampled texts": Texts(PROMPTS, [Written([one]) for one in several], 5, temperature=1.0, seed=3),
        "residuals": Residuals(rows, sites, "all"),
        "contrasts": Contrasts(texts, 2, sites, "diff_means", ts.last(1), 0),
        "fits": Fits([ts.OneShot(example, layer, steps=3) for layer in (1, 2)], progress=False),
    }


NAMES = list(requests(Surface(small_models.loaded("llama"))))


def flat(value):
    """Every number and text in a value, in order."""
    if isinstance(value, dict):
        value = [value[name] for name in sorted(value)]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in flat(one)]
    return value.ravel().tolist() if isinstance(value, np.ndarray) else [value]


@pytest.mark.parametrize("name", NAMES)
def test_values_do_not_depend_on_the_units_beside_them_nor_on_their_order(name):
    surface = Surface(small_models.loaded("llama"))
    request = requests(surface)[name]
    here = list(measured(surface, request))
    with executing(OneByOneBackwards()):
        elsewhere = list(measured(surface, request))
    assert len(here) == len(elsewhere) == len(request)
    for one, other in zip(here, elsewhere, strict=True):
        for a, b in zip(flat(one), flat(other), strict=True):
            assert a == (b if isinstance(b, str) or b is None else pytest.approx(b, rel=1e-5, abs=1e-5, nan_ok=True))


@pytest.mark.parametrize("name", NAMES)
def test_every_unit_has_a_key_of_its_own_and_is_run_once(name, tmp_path):
    surface = Surface(small_models.loaded("llama"))
    request = requests(surface)[name]
    with Watched() as watched:
        first = list(measured(surface, request, tmp_path))
        again = list(measured(surface, request, tmp_path))
    assert watched.units == [(request.what, list(range(len(request))))]
    assert len(list(tmp_path.iterdir())) == len(request)
    for one, other in zip(first, again, strict=True):
        assert str(flat(one)) == str(flat(other))


def test_units_with_one_key_are_run_once_and_given_to_each():
    surface = Surface(small_models.loaded("llama"))
    (vector, other, *_), rows = vectors(), encode_prompts(surface, PROMPTS)
    request = Answers(rows, torch.tensor([[5, 6]] * 3), [vector, other, vector], MULTIPLIERS)
    with Watched() as watched:
        found = list(measured(surface, request))
    assert watched.units == [("answers", [0, 1])]
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


def test_little_more_than_its_key_is_held_of_a_unit_that_waits():
    class Newest(Store):
        def put(self, key, value):
            self._memory.clear()
            super().put(key, value)

    def held(n):
        tracemalloc.start()
        try:
            values = measured(Surface(small_models.loaded("llama")), Fake(n), Newest(None))
            next(values)
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    held(1)  # what is made once
    assert (held(1200) - held(200)) / 1000 < 60  # bytes; the key has 32, the unit's number 8


def test_what_was_measured_before_an_interruption_is_kept(tmp_path):
    surface = Surface(small_models.loaded("llama"))
    request = requests(surface)["answers"]

    class Stops:
        def run(self, surface, request, units, unfinished):
            yield next(request.run(surface, units[:1], unfinished))
            raise KeyboardInterrupt

    work = Work(surface, request, tmp_path)
    with executing(Stops()), pytest.raises(KeyboardInterrupt):
        list(work.values())
    assert list(work.finished()) == [0]
    with Watched() as watched:
        list(measured(surface, request, tmp_path))
    assert watched.units == [("answers", [1, 2, 3])]


def test_a_changed_model_is_another_model(tmp_path):
    model = ts.load_model("organism")
    request = Answers([[5, 6, 7]], torch.tensor([[5, 6]]), [ts.SteeringVector(torch.ones(model.cfg.d_model), 1)], [1.0])
    before = next(measured(Surface(model), request, tmp_path))
    with torch.no_grad():
        next(model.original_model.parameters()).mul_(1.5)
    after = next(measured(Surface(model), request, tmp_path))
    assert not np.array_equal(before, after)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_executor_is_in_force_inside_its_context_alone():
    surface = Surface(small_models.loaded("llama"))
    request = requests(surface)["answers"]
    with Watched() as outer:
        with Watched() as inner:
            list(measured(surface, request))
        list(measured(surface, request))
    list(measured(surface, request))
    assert len(outer.units) == len(inner.units) == 1
