"""Threads, nested calls, generators: what is asked of a model is what runs, or it is refused in one sentence."""

import contextlib
import copy
import threading

import pytest
import torch

import tlsteer as ts
from tests import small_models
from tlsteer import _turns as turns

EXAMPLE = ts.Example("What is it?", promote=[" Sure, here"])
PROMPTS = ["Hello world", "What is it? this is a test"]


@pytest.fixture(params=["fast", "plain"])
def model(request):
    """A model of either engine."""
    made = ts.load_model(small_models.bridge("gpt2"))
    if request.param == "plain":
        made.add_hook("blocks.0.hook_in", lambda x, hook: None)
    return made


@pytest.fixture
def plain_model():
    return ts.load_model(small_models.bridge("llama"))


def vector(layer=1, seed=0):
    return ts.SteeringVector(torch.randn(small_models.WIDTH, generator=torch.Generator().manual_seed(seed)), layer)


def in_thread(work, name="other"):
    """What some work gives, or raises, in a thread of its own."""
    found = []

    def run():
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread, found


def steered(model, one):
    with torch.no_grad(), ts.steer(model, one):
        return model(torch.tensor([[5, 6, 7]]))


def calls(model):
    """Ways to use a model, each with a vector of its own."""
    return {
        "generate": lambda seed: ts.generate(model, PROMPTS, vector(1, seed), max_new_tokens=3, progress=False),
        "score": lambda seed: ts.completion_logprob(model, PROMPTS, [" a", " b"], vector(2, seed), progress=False),
        "steer": lambda seed: steered(model, vector(0, seed)),
        "mid": lambda seed: steered(model, vector(ts.Site(1, "mid"), seed)),
        "cache": lambda seed: cached(model, vector(1, seed)),
        "fit": lambda seed: ts.fit_oneshot(model, EXAMPLE, 1, steps=2, seed=seed, progress=False).vector.tensor,
        "extract": lambda seed: (
            ts.fit_contrastive(model, [ts.ContrastPair("Hello world", f"I cannot {seed}")], 1, progress=False).tensor
        ),
    }


def cached(model, one):
    with torch.no_grad(), ts.steer(model, one):
        return model.run_with_cache(torch.tensor([[5, 6, 7]]))[1]["blocks.2.hook_resid_pre"]


def alike(one, other):
    return one == other if isinstance(one, list) else torch.allclose(one, other, atol=1e-5)


def test_what_threads_do_at_once_is_what_each_does_alone(model):
    ways = calls(model)
    jobs = [(name, seed) for seed in range(4) for name in ways]
    alone = {job: ways[job[0]](job[1]) for job in jobs}
    wrong = []

    def work(mine):
        for name, seed in mine:
            if not alike(ways[name](seed), alone[name, seed]):
                wrong.append((name, seed))

    threads = [in_thread(lambda mine=mine: work(mine)) for mine in (jobs, jobs[::-1], jobs[len(jobs) // 2 :])]
    for thread, found in threads:
        thread.join()
        assert found == [None]
    assert not wrong


def test_a_call_of_another_thread_is_refused_while_a_context_is_open_and_right_after_it(plain_model):
    model, tokens = plain_model, torch.tensor([[5, 6, 7]])
    ways = {
        "call": lambda: model(tokens),
        "forward": lambda: model.forward(tokens),
        "hugging face": lambda: model.original_model(tokens),
        "block": lambda: model.blocks[1](torch.zeros(1, 3, small_models.WIDTH)),
        "cache": lambda: model.run_with_cache(tokens),
        "generate": lambda: model.generate(tokens, max_new_tokens=1, verbose=False),
    }
    plain = model(tokens)
    with ts.steer(model, vector(1)) as receipt:
        steered = model(tokens)
        for name, way in ways.items():
            thread, found = in_thread(way, name)
            thread.join()
            assert isinstance(found[0], ts.ModelError), name
            assert f"thread {name!r} called the model while thread 'MainThread' has a context open" in str(found[0])
        assert torch.equal(model(tokens), steered)
    assert receipt.n_passes == 2
    thread, found = in_thread(ways["call"])
    thread.join()
    assert torch.equal(found[0], plain)


def test_another_thread_waits_its_turn(model):
    expected = calls(model)["generate"](0)
    with ts.steer(model, vector(1)):
        threads = [in_thread(lambda: calls(model)["generate"](0)) for _ in range(2)]
        model(torch.tensor([[5, 6, 7]]))  # tokenizers before 0.23 pad text in one thread at a time
    for thread, found in threads:
        thread.join()
        assert found == [expected]


def test_it_does_not_wait_for_ever(plain_model, monkeypatch):
    """The thread that has the context may be waiting for this one."""
    monkeypatch.setattr(turns, "_PATIENCE", 0.05)
    with ts.steer(plain_model, vector(1)):
        thread, found = in_thread(lambda: steered(plain_model, vector(1)))
        thread.join()
    assert "thread 'MainThread' has had the model for 0.05 s" in str(found[0])
    assert isinstance(found[0], ts.ModelError)


def test_a_generator_may_hold_a_context_while_others_come_and_go(plain_model, monkeypatch):
    """Contexts of one thread end in any order, each taking away its own hooks; another thread's end is one too."""
    model, tokens = plain_model, torch.tensor([[5, 6, 7]])
    monkeypatch.setattr(turns, "_PATIENCE", 0.05)

    def logits(one):
        with ts.steer(model, one):
            while True:
                yield model(tokens)

    plain, alone = model(tokens), steered(model, vector(2, 1))
    first, second = logits(vector(1)), logits(vector(2, 1))
    next(first)
    assert torch.equal(next(second), next(second))
    first.close()
    torch.testing.assert_close(next(second), alone)
    thread, found = in_thread(lambda: ts.generate(model, PROMPTS, vector(1), max_new_tokens=1))
    thread.join()
    assert found[0] == ts.generate(model, PROMPTS, vector(1), max_new_tokens=1) or isinstance(found[0], ts.ModelError)
    thread, found = in_thread(second.close)
    thread.join()
    assert found == [None]
    assert torch.equal(model(tokens), plain)
    thread, found = in_thread(lambda: model(tokens))
    thread.join()
    assert torch.equal(found[0], plain)


def test_calls_inside_a_context_add_to_it(model):
    """Generated texts, scores, fits and residuals inside `steer` are those of the steered model."""
    outer, inner = ts.Intervention(vector(1), 2.0), ts.Intervention(vector(2, 1), -1.5)
    both = dict(max_new_tokens=4, progress=False)
    with ts.steer(model, outer):
        texts = ts.generate(model, PROMPTS, inner, **both)
        scores = ts.completion_logprob(model, PROMPTS, [" a", " b"], inner)
        fit = ts.fit_oneshot(model, EXAMPLE, 2, steps=3, progress=False)
        found = ts.fit_contrastive(model, [ts.ContrastPair("Hello world", "I cannot")], 2, progress=False)
        with ts.steer(model, inner):
            logits = model(torch.tensor([[5, 6, 7]]))
    assert texts == ts.generate(model, PROMPTS, [outer, inner], **both)
    torch.testing.assert_close(scores, ts.completion_logprob(model, PROMPTS, [" a", " b"], [outer, inner]))
    with ts.steer(model, outer, inner):
        torch.testing.assert_close(logits, model(torch.tensor([[5, 6, 7]])))
    with model.hooks(fwd_hooks=[("blocks.1.hook_in", lambda x, hook: x + 2.0 * outer.vector.tensor)]):
        other = ts.fit_oneshot(model, EXAMPLE, 2, steps=3, progress=False)
        expected = ts.fit_contrastive(model, [ts.ContrastPair("Hello world", "I cannot")], 2, progress=False)
    assert fit.losses == pytest.approx(other.losses, rel=1e-5)
    torch.testing.assert_close(found.tensor, expected.tensor)


def test_a_model_is_not_copied_with_an_open_context(plain_model):
    """A copy would run the original's weights, or keep its hooks for ever."""
    with ts.steer(plain_model, vector(1)), pytest.raises(ts.ModelError, match="cannot be copied"):
        copy.deepcopy(plain_model)


def test_the_model_is_as_it_was_after_a_context(plain_model):
    def own(*arguments, **settings):
        return type(plain_model).forward(plain_model, *arguments, **settings)

    plain_model("Hello")  # the first pass adds hooks of the bridge's own
    for forward in (None, own):
        if forward is not None:
            plain_model.__dict__["forward"] = forward
        before = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in plain_model.modules()]
        with contextlib.suppress(IndexError), ts.steer(plain_model, vector(1)):
            plain_model(torch.tensor([[10**6]]))
        assert plain_model.__dict__.get("forward") is forward
        assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in plain_model.modules()] == before
