"""Small random models in directories, with heads as wide as vLLM's attention for processors asks for."""

import atexit
import functools
import shutil
import tempfile

import torch
import transformers

import tlsteer as ts
from tests.architectures import ARCHITECTURES
from tests.small_models import tokenizer

WIDTH, LAYERS = 64, 4
_SIZES = {
    "hidden_size": WIDTH, "n_embd": WIDTH, "num_attention_heads": 2, "n_head": 2, "num_key_value_heads": 1,
    "head_dim": 32, "max_position_embeddings": 128, "n_positions": 128,
}  # fmt: skip
SHAPES = (
    "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM",
    "Gemma3ForCausalLM", "GPT2LMHeadModel", "GPTNeoXForCausalLM",
)  # fmt: skip


@functools.cache
def directory(name):
    """A folder as `save_pretrained` of a model and its tokenizer leaves it."""
    folder = tempfile.mkdtemp(prefix=f"tlsteer-test-{name}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    kind = getattr(transformers, name)
    settings = ARCHITECTURES[name]
    own = {key: size for key, size in _SIZES.items() if key in settings}
    torch.manual_seed(0)
    model = kind(kind.config_class(**settings | own))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.15)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def vectors(n, site=2, operation="add", norm=4.0):
    """Different random vectors of one length."""
    made = torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(n))
    return [ts.SteeringVector(norm * one / one.norm(), site, operation) for one in made]
