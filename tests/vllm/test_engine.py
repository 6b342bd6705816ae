"""Real vLLM against tlsteer's own generation, token for token in float32."""

import pytest
import torch

import tlsteer as ts
from tests.vllm.models import LAYERS, SHAPES, WIDTH, vectors
from tlsteer.judges import ModelJudge
from tlsteer.measure import Texts, Written, measured
from tlsteer.sites import STAGES, Site
from tlsteer.steering import collected_receipts

PROMPTS = ["Hello world, this is", "What is it?", "Sure", "I cannot say the answer. What is the thing?"]


def ids_of(engine, todo=(), prompts=PROMPTS, n=12, where=None):
    rows = ts.to_tokens(engine.reference, prompts).rows
    return ts.generate(where or engine, rows, todo, max_new_tokens=n, progress=False)


def receipt_of(run):
    with collected_receipts() as receipts:
        run()
    return receipts


@pytest.mark.parametrize("is_eager", [True, False], ids=["eager", "compiled"])
@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_texts_of_every_shape_site_and_operation_are_those_of_transformerlens(start, shape, is_eager):
    engine = start(shape, enforce_eager=is_eager, apart=not is_eager or shape == "GPTNeoXForCausalLM")
    assert ("eager" if is_eager else "compiled") in repr(engine)
    assert shape != "GPTNeoXForCausalLM" or "parallel" in engine.refused["mid"]
    stages = [stage for stage in STAGES if stage not in engine.refused]
    assert stages == (["pre", "post"] if shape == "GPTNeoXForCausalLM" else ["pre", "mid", "post"])
    plain = ids_of(engine)
    assert plain == ids_of(engine, where=engine.reference)
    sites = [Site(layer, stage) for layer in (0, 2, LAYERS - 1) for stage in stages]
    affine = ts.Affine(*(torch.randn(2, 2, WIDTH, generator=torch.Generator().manual_seed(0)) / 4))
    for site in sites:
        changed = 0
        for operation in (ts.Add(), ts.Clamp(0.5), ts.Ablate(), affine):
            todo = ts.Intervention(vectors(1, site, operation), [1.5] * len(PROMPTS))
            steered = ids_of(engine, todo)
            assert steered == ids_of(engine, todo, where=engine.reference), (site, operation)
            changed += steered != plain
        assert changed >= 2, site  # a vector that changes nothing shows nothing


def test_many_requests_with_a_vector_each_share_a_batch_with_unsteered_ones_and_are_as_one_by_one(start):
    engine = start(max_num_batched_tokens=64)  # prompts come in chunks, beside others' new tokens
    prompts = [f"{PROMPTS[i % 4]} {i}" for i in range(64)]
    many, strengths = vectors(64), [0.0 if i % 4 == 3 else 1.0 + i / 64 for i in range(64)]
    todo = ts.Intervention(many, strengths, "completion")
    together = ids_of(engine, todo, prompts)
    assert together == ids_of(engine, todo, prompts, where=engine.reference)
    for i in range(0, 64, 9):
        assert together[i] == ids_of(engine, ts.Intervention(many[i], strengths[i], "completion"), [prompts[i]])[0]
    plain = ids_of(engine, (), prompts)
    assert [i for i in range(64) if together[i] == plain[i]][:1] == [3]
    assert all(together[i] == plain[i] for i in range(3, 64, 4))
    assert sum(together[i] != plain[i] for i in range(64)) > 40


@pytest.mark.parametrize(
    "positions", ["all", "prompt", "completion", ts.last(2), slice(1, -1, 2), ts.after("is")], ids=str
)
def test_the_same_tokens_are_steered_and_the_receipt_says_so(start, positions):
    engine, prompts = start(max_num_batched_tokens=16, max_num_seqs=4), [PROMPTS[0], PROMPTS[3]]
    todo = [
        ts.Intervention(vectors(1)[0], 1.5, positions),
        ts.Intervention(vectors(2, Site(1, "mid"))[1], 0.5, positions),
    ]
    (there,) = receipt_of(lambda: ids_of(engine, todo, prompts))
    (here,) = receipt_of(lambda: ids_of(engine, todo, prompts, where=engine.reference))
    assert ids_of(engine, todo, prompts) == ids_of(engine, todo, prompts, where=engine.reference)
    for own, other in zip(there.entries, here.entries, strict=True):
        assert sorted(own.prefill) == sorted(other.prefill)
        assert own.steps == other.steps
        assert own.relative_norm == pytest.approx(other.relative_norm, rel=1e-3)
    assert (there.n_passes, sorted(there.n_tokens), there.has_bos) == (
        here.n_passes,
        sorted(here.n_tokens),
        here.has_bos,
    )


def test_two_workers_that_share_a_model_write_what_one_does(start):
    engine = start(apart=True, tensor_parallel_size=2)
    plain = ids_of(engine)
    assert plain == ids_of(engine, where=engine.reference)
    for operation, site in (
        (ts.Add(), Site(2)),
        (ts.Clamp(0.5), Site(1, "mid")),
        (ts.Ablate(), Site(LAYERS - 1, "post")),
    ):
        todo = ts.Intervention(vectors(4, site, operation), [0.0, 1.0, 1.5, 2.0])
        steered = ids_of(engine, todo)
        assert steered == ids_of(engine, todo, where=engine.reference), (site, operation)
        assert steered[0] == plain[0]
        assert steered != plain


def test_requests_that_give_way_for_lack_of_memory_are_steered_anew(start, monkeypatch):
    tight = start(enable_prefix_caching=False, num_gpu_blocks_override=8, block_size=32)
    prompts, todo = [f"{PROMPTS[i % 4]} {i}" for i in range(12)], ts.Intervention(vectors(12), [1.5] * 12)
    ask, told = tight._llm.collective_rpc, []
    monkeypatch.setattr(tight._llm, "collective_rpc", lambda *a, **k: told.append(ask(*a, **k)) or told[-1])
    assert ids_of(tight, todo, prompts, 40) == ids_of(tight, todo, prompts, 40, where=tight.reference)
    assert sum(one["again"] for ((one,),) in zip(told[0][0], strict=True)) > 0


def test_cached_prefixes_are_shared_by_equally_steered_requests_alone(start):
    engine = start(enable_prefix_caching=True, block_size=32)
    prompt = " ".join(["Hello world, this is a test of the thing."] * 3)
    first, other = vectors(2)
    for todo in (first, other, (), ts.Intervention(first, 2.0), ts.Intervention(first, positions="completion"), first):
        expected = ids_of(engine, todo, [prompt], where=engine.reference)
        for _ in range(2):
            assert ids_of(engine, todo, [prompt]) == expected
    (receipt,) = receipt_of(lambda: ids_of(engine, first, [prompt]))
    assert receipt.entries[0].prefill == receipt.n_tokens  # those from the cache were steered too


def test_choices_completions_judges_and_sweeps_of_texts_are_the_same(start):
    engine, own = start(max_model_len=128), vectors(2)
    questions = [ts.Choice("What is it? (A) (B) Answer: (", "A", "B"), ts.Choice("Hello (A) (B) Answer: (", "B", "A")]
    for measure in ("logit_difference", "logprob_difference"):
        there, here = (
            ts.propensity(
                one, dict(zip("ab", own, strict=True)), questions, [-1, 0, 2], measure=measure, progress=False
            )
            for one in (engine, engine.reference)
        )
        assert abs(there - here).max() < 1e-3
    judges = [ModelJudge(one, "{prompt} {text}?", chat=False) for one in (engine, engine.reference)]
    there, here = (judge.probabilities(PROMPTS, PROMPTS) for judge in judges)
    assert abs(there - here).max() < 1e-4
    units = [Written(), *(Written([ts.Intervention([v] * 2, [1.0, 2.0])]) for v in own)]
    from tlsteer._surface import Surface

    there, here = (list(measured(Surface(one), Texts(PROMPTS[:2], units, 8))) for one in (engine, engine.reference))
    assert there == here


def test_sampling_is_as_reproducible_as_its_seed(start):
    engine, settings = start(), dict(max_new_tokens=8, temperature=1.0, progress=False)
    first, again, other = (ts.generate(engine, PROMPTS, vectors(1)[0], seed=seed, **settings) for seed in (0, 0, 1))
    assert first == again != other


def test_what_vllm_cannot_hold_or_would_not_steer_is_refused(start):
    engine = start(max_model_len=32)
    with pytest.raises(ts.DataError, match="max_model_len"):
        ids_of(engine, n=40)
    with pytest.raises(ts.VectorError, match="not finite"):
        ids_of(engine, ts.Intervention(ts.SteeringVector(torch.ones(WIDTH), 1), 1e30))
