"""Thoughts that are put in: the vectors of concepts, and the network while some are added to its residual stream."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer.organism.grammar.awareness import CONCEPTS, concept_prompts
from tlsteer.organism.grammar.chat import PAD_ID, Thought, render_prompt


@torch.no_grad()
def concept_vectors(network: Any, tokenizer: Any) -> Float[Tensor, "layer concept d_model"]:
    """For the place before each layer's block, the vector of each concept, its norm the mean residual norm there.

    A concept's direction is the mean residual of the question about it, less that of the questions about all of them.
    The begin token, whose norm is several times that of words, does not count for the mean norm.
    """
    rows = [tokenizer.encode(render_prompt(prompt), add_special_tokens=False) for prompt in concept_prompts()]
    width = max(map(len, rows))
    tokens = torch.tensor([row + [PAD_ID] * (width - len(row)) for row in rows])
    read = torch.arange(width) < torch.tensor([[len(row)] for row in rows])
    hidden = torch.stack(network.model(tokens, output_hidden_states=True).hidden_states[:-1])
    means = (hidden * read[None, :, :, None]).sum(2) / read.sum(1)[None, :, None]
    directions = torch.nn.functional.normalize(means - means.mean(1, keepdim=True), dim=-1)
    norms = hidden[:, :, 1:].norm(dim=-1)[:, read[:, 1:]].mean(1)
    return directions * norms[:, None, None]


@contextmanager
def thinking(
    network: Any, thoughts: Sequence[Thought | None], vectors: Float[Tensor, "layer concept d_model"] | None
) -> Iterator[None]:
    """The network while each row of its batch has its thought added at every token."""
    with ExitStack() as stack:
        for layer in {thought.layer for thought in thoughts if thought is not None}:
            assert vectors is not None
            added = torch.zeros(len(thoughts), 1, vectors.shape[-1])
            for row, thought in enumerate(thoughts):
                if thought is not None and thought.layer == layer:
                    added[row, 0] = thought.strength * vectors[layer, CONCEPTS.index(thought.concept)]
            stack.enter_context(adding(network, layer, added))
        yield


@contextmanager
def adding(network: Any, layer: int, added: Float[Tensor, "row 1 d_model"]) -> Iterator[None]:
    """The network while something is added before a layer's block, at every token of a row."""
    handle = network.model.layers[layer].register_forward_pre_hook(lambda _, given: (given[0] + added, *given[1:]))
    try:
        yield
    finally:
        handle.remove()
