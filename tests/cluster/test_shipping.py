"""A model that goes to another process is the same there, and what would not be the same does not go."""

import pytest
import torch

import tlsteer as ts
from tests import small_models
from tests.test_elsewhere import Here
from tlsteer._surface import Surface

pytest.importorskip("ray")

from tlsteer.cluster._shipping import Packed, check_portable, packed, unpacked

TOKENS = torch.tensor([[5, 6, 7, 8, 9]])


def sent(model):
    surface = Surface(model)
    check_portable(surface)
    return unpacked(packed(surface, surface.about())).model


@pytest.mark.parametrize("kind", [*small_models.KINDS, *small_models.MORE_KINDS])
def test_a_model_gives_the_same_logits_where_it_was_sent(kind):
    model = small_models.loaded(kind)
    there = sent(model)
    assert torch.equal(model(TOKENS), there(TOKENS))
    assert ts.engine(there) == ts.engine(model)
    assert there.tokenizer.encode("Hello world") == model.tokenizer.encode("Hello world")


def test_a_model_goes_whose_activations_were_once_recorded():
    model = small_models.loaded("gpt2")
    model.run_with_cache(TOKENS)
    assert torch.equal(model(TOKENS), sent(model)(TOKENS))


def test_half_precision_goes_as_it_is():
    model = small_models.loaded("llama", torch.bfloat16)
    assert torch.equal(model(TOKENS), sent(model)(TOKENS))


def test_weights_that_are_one_stay_one_and_are_sent_once():
    model = small_models.loaded("gpt2")  # whose unembedding is its embedding
    surface = Surface(model)
    on_its_way = packed(surface, surface.about())
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in model.parameters()}
    assert sum(map(len, on_its_way.weights)) < 1.3 * sum(storages.values())
    there = unpacked(on_its_way).model.original_model
    assert there.get_output_embeddings().weight.data_ptr() == there.get_input_embeddings().weight.data_ptr()


def test_what_is_changed_there_is_not_changed_here():
    model = small_models.loaded("llama")
    surface = Surface(model)
    before, on_its_way = model(TOKENS), packed(surface, surface.about())
    with torch.no_grad():
        next(unpacked(on_its_way).model.original_model.parameters()).mul_(2)
    assert torch.equal(before, model(TOKENS))
    assert torch.equal(before, unpacked(on_its_way).model(TOKENS))


def test_a_model_that_arrives_as_another_is_refused():
    surface = Surface(small_models.loaded("llama"))
    on_its_way = packed(surface, surface.about())
    other = Packed({**on_its_way.about, "fingerprint": "w2:other"}, on_its_way.modules, on_its_way.weights)
    with pytest.raises(ts.ModelError, match="on a worker, and 'w2:other' where it is from"):
        unpacked(other)


def test_hooks_and_open_contexts_do_not_go():
    model = small_models.loaded("llama")
    surface = Surface(model)
    with (
        model.hooks([("blocks.1.hook_resid_pre", lambda residual, hook: residual)]),
        pytest.raises(ts.ModelError, match="cannot be handed to workers: it carries hooks"),
    ):
        check_portable(surface)
    vector = ts.SteeringVector(torch.ones(small_models.WIDTH), 1)
    with ts.steer(model, vector), pytest.raises(ts.ModelError, match="inside a context such as steer"):
        check_portable(surface)
    check_portable(surface)


def test_a_model_whose_texts_an_engine_writes_does_not_go():
    engine = Here(small_models.loaded("llama"))
    with engine.writing(), pytest.raises(ts.ModelError, match="an engine of the tests writes its texts"):
        check_portable(Surface(engine.reference))
    check_portable(Surface(engine.reference))


def test_what_is_no_plain_tensor_does_not_go():
    class Packed4Bit(torch.nn.Parameter):
        pass

    model = ts.load_model(small_models.bridge("llama"))
    model.original_model.extra = Packed4Bit(torch.ones(2), requires_grad=False)
    with pytest.raises(ts.ModelError, match="it holds a Packed4Bit"):
        sent(model)
