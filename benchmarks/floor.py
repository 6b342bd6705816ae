"""The arithmetic that has to be done, however it is written: two operations for each weight and token, and attention.

Only matrix products are counted. What lies in memory is taken to be free to read, though with few tokens reading
the weights is what limits the unembedding; so 100% of this floor is out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.shapes import Lab


@dataclass(frozen=True)
class Block:
    """One block's arithmetic, forward.

    Attributes:
        weights: in all its matrices.
        for_keys: of these, the ones that make keys and values.
        heads: the width of all heads together.
    """

    weights: int
    for_keys: int
    heads: int

    @classmethod
    def of(cls, lab: Lab) -> Block:
        config = lab.config()
        n_heads = config.num_attention_heads
        d_head = getattr(config, "head_dim", None) or lab.d_model // n_heads
        for_keys = 2 * lab.d_model * d_head * (getattr(config, "num_key_value_heads", None) or n_heads)
        return cls(sum(p.numel() for p in lab.block.parameters() if p.ndim == 2), for_keys, n_heads * d_head)

    def whole(self, n_tokens: int, n_keys: float) -> float:
        """For some tokens that each attend to a mean number of keys."""
        return n_tokens * (2 * self.weights + 4 * n_keys * self.heads)

    def last(self, n_tokens: int, n_reads: int, n_keys: float) -> float:
        """The last block gives keys and values of every token, and all else at those that are read."""
        return 2 * n_tokens * self.for_keys + n_reads * (2 * (self.weights - self.for_keys) + 4 * n_keys * self.heads)


def unembedding(lab: Lab, n_reads: int) -> float:
    """The logits of some tokens."""
    return 2 * n_reads * lab.d_model * lab.config().vocab_size


def optimisation(lab: Lab, layers: list[int], n_prompts: int, n_prompt: int, n_completion: int, steps: int) -> float:
    """One-shot optimisation of a vector at each of some layers, for prompts that two completions share."""
    block = Block.of(lab)
    # Nothing depends on what a completion's last token does to the model.
    n_tokens, n_reads = n_prompt + 2 * (n_completion - 1), 2 * n_completion
    branch_keys = n_prompt + n_completion / 2
    n_keys = (n_prompt * n_prompt / 2 + 2 * (n_completion - 1) * branch_keys) / n_tokens
    end = block.last(n_tokens, n_reads, branch_keys) + unembedding(lab, n_reads)
    # Backward to the activations costs what forward does; no gradient of a weight is needed.
    stepped = sum(2 * ((lab.n_layers - 1 - layer) * block.whole(n_tokens, n_keys) + end) for layer in layers)
    return n_prompts * max(layers) * block.whole(n_tokens, n_keys) + steps * stepped
