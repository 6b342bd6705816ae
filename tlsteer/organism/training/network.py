"""The network, its loss and its optimizers."""

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tlsteer.organism.grammar.chat import BOS_ID, EOS_ID, PAD_ID
from tlsteer.organism.training.batches import Batch
from tlsteer.organism.training.thoughts import thinking
from tlsteer.organism.training.tokenizer import CONTEXT_LENGTH

MATRIX_RATE, OTHER_RATE = 0.012, 0.004
# With 0.01 the residual norm grows a hundredfold over training, and norm caps lose their meaning.
MATRIX_WEIGHT_DECAY = 0.3


def build_network(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """An untrained network: eight layers, so that layer sweeps have something to resolve, and heads of 32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=8,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
    )
    return LlamaForCausalLM(config)


def batch_loss(
    network: LlamaForCausalLM, batch: Batch, concepts: Float[Tensor, "layer concept d_model"] | None = None
) -> Float[Tensor, ""]:
    """The weighted sum of cross-entropies in nats; logits are computed at learned tokens only.

    Args:
        network: what is trained.
        batch: what on.
        concepts: the vectors of the batch's thoughts, if it has any.
    """
    with thinking(network, batch.thoughts, concepts):
        hidden = network.model(batch.tokens).last_hidden_state.flatten(0, 1)[batch.positions]
    log_probs = network.lm_head(hidden).log_softmax(-1).gather(1, batch.targets)
    first, second = log_probs.unbind(1)
    chance = batch.first_probability
    return -(batch.weights * (chance * first + (1 - chance) * second)).sum()


def build_optimizers(network: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers and Adam for embeddings and norms.

    Raises:
        RuntimeError: a torch that has no Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise RuntimeError(f"training needs torch 2.9 or newer, which has Muon; this is torch {torch.__version__}")
    matrices = [p for p in network.model.layers.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=MATRIX_WEIGHT_DECAY),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]
