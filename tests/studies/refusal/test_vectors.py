"""Vectors of a study are those that fits one by one give."""

from dataclasses import replace

import pytest
import torch

from tests.small_models import loaded
from tests.studies.refusal.tiny import TINY
from tlsteer.data import Example
from tlsteer.fit import fit_oneshot
from tlsteer.generation import generate
from tlsteer.models import chat_prompt
from tlsteer.operations import Clamp
from tlsteer.positions import last
from tlsteer.runs import RunDirectory
from tlsteer.studies import refusal
from tlsteer.studies._frame import Bench
from tlsteer.studies._plan import Phases
from tlsteer.studies.refusal._data import Request, Requests
from tlsteer.studies.refusal._vectors import ADD, CLAMP, PAPER, Fitting

WAYS_IN_ORDER = (ADD, PAPER, CLAMP)


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
