"""Weights that transformers packs into 8 or 4 bits: the same numbers as there, and fits that follow their gradients."""

import functools
import tempfile

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from tests.small_models import saved, tokenizer
from tlsteer import Example, ModelError, SteeringVector, engine, fit_oneshot, generate, load_model, steer

pytest.importorskip("bitsandbytes", reason="bitsandbytes packs the weights, and is not installed")
TOKENS = torch.tensor([[5, 6, 7, 8, 9, 10]])
WIDTH = 128  # bitsandbytes packs blocks of 64 weights
CONFIGS = {
    "8-bit": BitsAndBytesConfig(load_in_8bit=True),
    "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32),
}
packings = pytest.mark.parametrize("packing", CONFIGS)


@functools.cache
def directory():
    """A saved Llama whose layers are wide enough to be packed."""
    torch.manual_seed(0)
    shape = dict(hidden_size=WIDTH, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4, vocab_size=300)
    folder = tempfile.mkdtemp(prefix="tlsteer-test-model-")
    LlamaForCausalLM(LlamaConfig(**shape, initializer_range=0.1)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def theirs(packing):
    """As transformers loads it."""
    settings = dict(quantization_config=CONFIGS[packing], dtype=torch.float32, device_map={"": "cpu"})
    return AutoModelForCausalLM.from_pretrained(directory(), **settings)


@functools.cache
def plain(packing):
    """What transformers computes: of 4 bits with the weights unpacked, as a processor's own kernel rounds further."""
    return theirs(packing) if packing == "8-bit" else theirs(packing).dequantize().float()


@functools.cache
def ours(packing):
    """As it is loaded here."""
    return load_model(directory(), quantization_config=CONFIGS[packing])


@torch.no_grad()
def logits(model):
    return model(TOKENS).logits


@packings
def test_packed_weights_compute_what_transformers_computes_steered_or_not(packing):
    expected = logits(plain(packing))
    assert not torch.allclose(expected, load_model(directory())(TOKENS), atol=0.01)
    torch.testing.assert_close(ours(packing)(TOKENS), expected, atol=1e-4, rtol=1e-4)
    hook = plain(packing).model.layers[1].register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1.0, *inputs[1:]))
    steered = logits(plain(packing))
    hook.remove()
    with steer(ours(packing), SteeringVector(torch.ones(WIDTH), 1)):
        torch.testing.assert_close(ours(packing)(TOKENS), steered, atol=1e-4, rtol=1e-4)


@packings
def test_text_is_that_of_transformers(packing):
    expected = plain(packing).generate(TOKENS, max_new_tokens=6, do_sample=False, pad_token_id=0)[0, TOKENS.shape[1] :]
    assert generate(ours(packing), TOKENS.tolist(), max_new_tokens=6)[0] == expected.tolist()


def test_4_bits_take_the_fast_path():
    assert engine(ours("nf4")).name == "fast"


@pytest.mark.parametrize(("packing", "alike"), [("8-bit", 0.95), ("nf4", 0.999)])  # 8 bits round activations too
def test_a_fit_on_packed_weights_is_that_on_the_same_weights_unpacked(packing, alike):
    example = Example("Hello world", promote=" What is")
    unpacked = load_model(theirs(packing).dequantize().float(), tokenizer=tokenizer())
    found, expected = (
        fit_oneshot(model, example, 1, steps=5, progress=False).vector.tensor for model in (ours(packing), unpacked)
    )
    assert torch.cosine_similarity(found, expected, dim=0) > alike


def test_4_bits_that_a_processors_kernel_took_over_are_refused():
    model = theirs("nf4")
    module = next(one for one in model.modules() if hasattr(one, "support_avx512bf16_for_cpu"))
    module.support_avx512bf16_for_cpu = module.weight.quant_state.packing_format_for_cpu = True
    with pytest.raises(ModelError, match="laid out for this processor when it first ran, which gives wrong gradients"):
        load_model(model, tokenizer=tokenizer())


def test_fused_queries_keys_and_values_in_8_bits_are_refused_in_a_sentence():
    with pytest.raises(ModelError, match=r"TransformerLens cannot load .*cannot split a fused QKV projection"):
        load_model(saved("gpt2"), quantization_config=CONFIGS["8-bit"])
