"""Edits on toy decoders in both of vLLM's forms, and a runner that gives requests' tokens as vLLM's does."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from torch import nn

import tlsteer as ts
from tlsteer.errors import ModelError
from tlsteer.operations import edited
from tlsteer.serving._request_writes import ARGUMENT, TAG, as_text, writes_of_rows
from tlsteer.serving._vllm_edits import StepEdits, compiled_edit_stream, edit_stream
from tlsteer.serving._vllm_places import hook_layers
from tlsteer.sites import Site
from tlsteer.steering import Write

WIDTH, LAYERS = 6, 3


class Joined(nn.Module):
    """As vLLM's norms: joins the two parts of the stream; gives what is normed, and the stream."""

    def forward(self, hidden, residual=None):
        stream = hidden if residual is None else hidden + residual
        return stream.tanh(), stream


class Carried(nn.Module):
    """A layer that carries the stream in two parts."""

    def __init__(self):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Joined(), Joined()
        self.self_attn, self.mlp = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, positions, hidden_states, residual):
        hidden_states, residual = self.input_layernorm(hidden_states, residual)
        hidden_states, residual = self.post_attention_layernorm(self.self_attn(hidden_states), residual)
        return self.mlp(hidden_states), residual


class Whole(nn.Module):
    """A layer that hands on the stream itself, with the same arithmetic."""

    def __init__(self):
        super().__init__()
        self.attn, self.mlp = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden_states):
        hidden_states = hidden_states + self.attn(hidden_states.tanh())
        return hidden_states + self.mlp(hidden_states.tanh())


class Toy(nn.Module):
    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(form() for _ in range(LAYERS))

    def forward(self, hidden):
        return self.layers_run(hidden)

    def layers_run(self, hidden):
        if isinstance(self.layers[0], Whole):
            for layer in self.layers:
                hidden = layer(hidden_states=hidden)
            return hidden
        residual = None
        for layer in self.layers:
            hidden, residual = layer(None, hidden, residual)
        return hidden + residual


class Runner:
    """What a step asks of vLLM's runner."""

    def __init__(self, requests):
        self.requests = {
            name: SimpleNamespace(
                num_prompt_tokens=n_prompt,
                sampling_params=SimpleNamespace(extra_args={ARGUMENT: text, TAG: name} if text else None),
            )
            for name, (n_prompt, text) in requests.items()
        }

    def coming(self, **spans):
        """Sets a step in which requests run their tokens from a first to a last."""
        counts = [last - first for first, last in spans.values()]
        self.query_start_loc = SimpleNamespace(np=np.cumsum([0, *counts]))
        computed = np.array([first for first, _ in spans.values()])
        self.input_batch = SimpleNamespace(req_ids=list(spans), num_computed_tokens_cpu=computed)


def text(n_prompt, *writes):
    return as_text(writes_of_rows(writes, [list(range(n_prompt))], [n_prompt], str, True)[0])


def write(site, operation=None, positions="all", multiplier=1.5, seed=0):
    vector = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(seed))
    return Write(site, vector, torch.tensor([float(multiplier)]), positions, operation or ts.Add())


def hooked(form, runner, edit=edit_stream):
    model, edits = Toy(form), StepEdits(runner, LAYERS, torch.device("cpu"))
    hook_layers(model, LAYERS, edit)
    model.register_forward_pre_hook(lambda *_: edits.begin())
    model.register_forward_hook(lambda *_: edits.end())
    return model.requires_grad_(False), edits


def by_hand(stream, site, change):
    """The toy's arithmetic, with the stream changed at a site."""
    layers = Toy(Whole).requires_grad_(False).layers
    for number, layer in enumerate(layers):
        for stage, part in (("pre", layer.attn), ("mid", layer.mlp), ("post", None)):
            if Site(number, stage) == site:
                stream = stream + change(stream)
            if part is not None:
                stream = stream + part(stream.tanh())
    return stream


@pytest.mark.parametrize("form", [Carried, Whole])
@pytest.mark.parametrize(
    "operation", [ts.Add(), ts.Clamp(0.5), ts.Ablate(), ts.Affine(torch.rand(2, 6), torch.rand(2, 6))]
)
@pytest.mark.parametrize("site", [Site(0), Site(1), Site(1, "mid"), Site(1, "post"), Site(2, "post")], ids=str)
def test_a_write_edits_the_stream_at_its_site_and_other_requests_not_at_all(form, operation, site):
    own = write(site, operation)
    runner = Runner({"plain": (3, ""), "steered": (4, text(4, own))})
    model, edits = hooked(form, runner)
    runner.coming(plain=(0, 3), steered=(0, 4))
    stream = torch.randn(7, WIDTH)
    with edits.step():
        got = model(stream.clone())
    steered = by_hand(stream[3:], site, lambda x: 1.5 * edited(own.operation, x[None], own.vector)[0])
    assert torch.allclose(got[3:], steered, atol=1e-5)
    assert torch.allclose(got[:3], by_hand(stream[:3], site, torch.zeros_like), atol=1e-5)
    assert not torch.allclose(got[3:], by_hand(stream[3:], site, torch.zeros_like), atol=1e-2)


def test_writes_at_one_site_are_made_in_the_order_of_their_request():
    first, then = write(Site(1), multiplier=3.0, seed=1), write(Site(1), ts.Ablate(), multiplier=1.0, seed=2)
    runner = Runner({"a": (2, text(2, first, then)), "b": (2, text(2, then, first))})
    model, edits = hooked(Carried, runner)
    runner.coming(a=(0, 2), b=(0, 2))
    stream = torch.randn(2, WIDTH)
    with edits.step():
        got = model(stream.repeat(2, 1))

    def added(x):
        return 3.0 * edited(first.operation, x[None], first.vector)[0]

    def ablated(x):
        return edited(then.operation, x[None], then.vector)[0]

    assert torch.allclose(got[:2], by_hand(stream, Site(1), lambda x: added(x) + ablated(x + added(x))), atol=1e-5)
    assert torch.allclose(got[2:], by_hand(stream, Site(1), lambda x: ablated(x) + added(x + ablated(x))), atol=1e-5)


@pytest.mark.parametrize("form", [Carried, Whole])
def test_writes_at_post_come_before_those_at_pre_of_the_next_layer_in_whatever_order_they_are_given(form):
    post, pre = write(Site(0, "post"), ts.Clamp(2.0), seed=1), write(Site(1), ts.Ablate(), seed=2)
    runner = Runner({"a": (2, text(2, post, pre)), "b": (2, text(2, pre, post)), "c": (2, text(2, write(Site(1))))})
    model, edits = hooked(form, runner)
    runner.coming(a=(0, 2), b=(0, 2), c=(0, 2))
    stream = torch.randn(2, WIDTH)
    with edits.step():
        got = model(stream.repeat(3, 1))

    def both(x):
        after = x + 1.5 * edited(post.operation, x[None], post.vector)[0]
        return after + 1.5 * edited(pre.operation, after[None], pre.vector)[0] - x

    assert torch.allclose(got[:2], by_hand(stream, Site(1), both), atol=1e-5)
    assert torch.allclose(got[2:4], got[:2], atol=1e-6)


def test_steered_tokens_are_counted_in_chunks_from_caches_and_after_giving_way():
    runner = Runner({"a": (5, text(5, write(Site(1)), write(Site(1), positions="completion")))})
    model, edits = hooked(Whole, runner)
    for first, last in [(2, 3), (3, 5), (5, 6), (0, 6), (6, 7)]:  # two cached, two chunks, a token, all again, a token
        runner.coming(a=(first, last))
        with edits.step():
            model(torch.randn(last - first, WIDTH))
    ((everything, completion),) = edits.receipts(["a"])
    del everything["ratio"], completion["ratio"]
    assert everything == {"prompt": 3, "generated": 2, "cached": 2, "again": 6}
    assert completion == {"prompt": 1, "generated": 2, "cached": 0, "again": 2}
    assert edits.receipts(["a", "b"]) == [None, None]


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(["all", "prompt", "completion", slice(1, 6), slice(0, None, 2), ts.last(1)]), min_size=3,
             max_size=3),
    st.lists(st.sampled_from(["ab", "abc", "ba", "abc again", "c"]), min_size=4, max_size=12),
)  # fmt: skip
def test_steps_that_go_on_as_the_one_before_edit_and_count_as_if_they_were_planned_anew(positions, steps):
    def outcome(anew):
        texts = [text(3, write(Site(1), ts.Clamp(0.5), one, seed=i)) for i, one in enumerate(positions)]
        runner = Runner({name: (3, one) for name, one in zip("abc", texts, strict=True)})
        model, edits = hooked(Carried, runner)
        done, got, reused = dict.fromkeys("abc", 0), [], 0
        for number, step in enumerate(steps):
            who, _, again = step.partition(" ")
            spans = {}
            for one in who:
                first = 0 if again or not done[one] else done[one]
                spans[one] = (first, done[one] + 1 if again or done[one] else 3)
                done[one] = spans[one][1]
            runner.coming(**spans)
            stream = torch.randn(
                sum(b - a for a, b in spans.values()), WIDTH, generator=torch.Generator().manual_seed(number)
            )
            if anew:
                edits._plan = None
            before = edits._plan
            with edits.step():
                got.append(model(stream))
            reused += edits._plan is before and before is not None
        return got, edits.receipts("abc"), reused

    (there, counts, reused), (here, expected, _) = outcome(False), outcome(True)
    assert all(torch.equal(a, b) for a, b in zip(there, here, strict=True))
    assert counts == expected
    event(f"{min(reused, 2)} or more steps were not planned")


def test_a_step_after_steps_of_one_token_each_is_not_planned_anew():
    runner = Runner({name: (3, text(3, write(Site(1)))) for name in "ab"})
    model, edits = hooked(Whole, runner)
    plans = []
    for first, last in [(0, 3), (3, 4), (4, 5), (5, 6)]:
        runner.coming(a=(first, last), b=(first, last))
        with edits.step():
            model(torch.randn(2 * (last - first), WIDTH))
        plans.append(edits._plan)
    assert plans[0] is not plans[1] is plans[2] is plans[3]
    assert [one[0]["generated"] for one in edits.receipts("ab")] == [3, 3]


def test_a_run_without_requests_is_not_steered():
    runner = Runner({"a": (2, text(2, write(Site(1))))})
    model, _ = hooked(Whole, runner)
    runner.coming(a=(0, 2))
    stream = torch.randn(2, WIDTH)
    assert torch.allclose(model(stream.clone()), by_hand(stream, Site(1), torch.zeros_like), atol=1e-6)


def test_rows_of_finished_requests_are_used_again():
    requests = {f"{i}": (1, text(1, write(Site(1), seed=i, multiplier=i))) for i in range(500)}
    runner = Runner(requests)
    model, edits = hooked(Whole, runner)
    stream = torch.randn(1, WIDTH)
    for i in range(500):
        runner.coming(**{f"{i}": (0, 1)})
        with edits.step():
            got = model(stream.clone())
        own = write(Site(1), seed=i, multiplier=i)
        assert torch.allclose(got, by_hand(stream, Site(1), lambda x, own=own, i=i: i * own.vector), atol=1e-3)
        del runner.requests[f"{i}"]
    assert len(edits._together[Site(1)].ratios) < 200
    assert edits.receipts(["499"])[0][0]["prompt"] == 1


def test_what_becomes_infinite_is_in_the_receipt():
    runner = Runner({"a": (1, text(1, write(Site(1), multiplier=1e30))), "b": (1, text(1, write(Site(1))))})
    model, edits = hooked(Whole, runner)
    runner.coming(a=(0, 1), b=(0, 1))
    model.layers[2].mlp.weight.fill_(1e30)
    with edits.step():
        model(torch.randn(2, WIDTH).sign() * 1e10)
    assert not np.isfinite(edits.receipts(["a"])[0][0]["ratio"])


@pytest.mark.parametrize("form", [Carried, Whole])
def test_a_compiled_model_is_edited_in_every_step_as_it_asks(form):
    own = [write(Site(0), ts.Clamp(0.5)), write(Site(1, "mid"), seed=1), write(Site(2, "post"), seed=2)]
    runner = Runner({"a": (2, text(2, *own)), "b": (1, "")})
    (model, edits), (compiled, others) = hooked(form, runner), hooked(form, runner, compiled_edit_stream)
    compiled.layers_run = torch.compile(compiled.layers_run, fullgraph=True, backend="aot_eager")
    for number, spans in enumerate(({"a": (0, 2), "b": (0, 1)}, {"a": (2, 3), "b": (1, 2)}, {"b": (2, 4)})):
        runner.coming(**spans)
        stream = torch.randn(sum(last - first for first, last in spans.values()), WIDTH)
        with edits.step():
            expected = model(stream.clone())
        with others.step():
            torch.testing.assert_close(compiled(stream.clone()), expected)
        assert number == 2 or not torch.allclose(model(stream.clone()), expected)  # outside of a step nothing is edited
    assert [one["ratio"] for one in edits.receipts(["a"])[0]] == pytest.approx(
        [one["ratio"] for one in others.receipts(["a"])[0]]
    )


def test_a_layer_that_is_passed_over_is_an_error():
    runner = Runner({"a": (1, text(1, write(Site(2))))})
    model, edits = hooked(Whole, runner)
    model.layers.__delitem__(2)
    runner.coming(a=(0, 1))
    with pytest.raises(RuntimeError, match="passed over"), edits.step():
        model(torch.randn(1, WIDTH))


def test_a_model_in_another_form_is_refused():
    with pytest.raises(ModelError, match="not made of 3 decoder layers"):
        hook_layers(nn.Sequential(nn.Linear(2, 2)), 3, edit_stream)
    odd = nn.Module()
    odd.layers = nn.ModuleList([nn.Linear(2, 2)])
    with pytest.raises(ModelError, match="hidden_states"):
        hook_layers(odd, 1, edit_stream)
