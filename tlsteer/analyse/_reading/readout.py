"""Which tokens a vector reads as: through the unembedding, and by the embeddings nearest to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd
import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from tlsteer._arguments import Seed, Whole, checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer._token_labels import token_labels
from tlsteer.errors import DataError, ModelError, VectorError
from tlsteer.sites import Site
from tlsteer.vectors import SteeringVector

# How well each token of the vocabulary fits some directions.
_Reading = Callable[[Float[Tensor, "direction d_model"]], Float[Tensor, "direction d_vocab"]]

# Directions read at once, and tokens of the vocabulary compared at once: both bound memory.
_DIRECTIONS, _TOKENS = 16, 16384


@checked
@torch.no_grad()
def read_out(
    model: Model, vector: SteeringVector, k: Whole = 10, *, n_random: Whole = 100, seed: Seed = 0
) -> pd.DataFrame:
    """The tokens a vector promotes and suppresses most, and the tokens it is nearest to.

    A "logit" is what the model would say if the vector were its whole last residual (the logit lens): through the
    final norm, so its length does not matter, and the unembedding; half the difference between the vector and its
    opposite, which leaves out what biases say of every direction, and less the mean over the vocabulary. Later
    layers have no part in it; for these see `trace`. "cosine embedding" and "cosine unembedding" compare the vector
    with each token's own directions. A token means something where it goes beyond what random directions reach.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vector: the vector.
        k: tokens on each side.
        n_random: random directions to compare with.
        seed: of the random directions.

    Returns:
        A row for each token: `reading` (logit, cosine embedding, cosine unembedding), `side` ("promoted" or
        "suppressed"; for cosines the nearest to the vector or to its opposite), `rank` from 1, `token` (its spaces and
        line ends marked, as in "␣the"), `token_id`, `value`, and `random_95`, which 95% of random directions do not go
        beyond at that rank.

    Raises:
        DataError: k or n_random that cannot be.
        VectorError: a vector of another model, or of norm 0.
        ModelError: a model whose logits are not its unembedding of the last residual.

    >>> read_out(model, vector, k=5).query("reading == 'logit' and side == 'promoted'")["token"].size
    5
    """
    surface = Surface(model)
    vector.check(surface)
    d_vocab = surface.model.cfg.d_vocab
    if vector.norm == 0:
        raise VectorError("a vector of norm 0 has no direction to read")
    if not 1 <= k <= d_vocab or n_random < 1:
        raise DataError(f"give k between 1 and {d_vocab} and at least one random direction, got {k} and {n_random}")
    drawn = torch.randn(n_random, surface.d_model, generator=torch.Generator().manual_seed(seed))
    directions = torch.cat([vector.normalized.tensor[None], drawn / drawn.norm(dim=1, keepdim=True)])
    unembedding = surface.model.W_U.T
    readings: dict[str, _Reading] = {
        # As long as an ordinary residual: the norm's epsilon would shrink what is much shorter.
        "logit": lambda some: _own_logits(surface, some * surface.d_model**0.5),
        "cosine embedding": lambda some: _cosines(some, surface.model.W_E),
        "cosine unembedding": lambda some: _cosines(some, unembedding),
    }
    rows = []
    for name, read in readings.items():
        for side, (values, ids) in zip(("promoted", "suppressed"), _extremes(read, directions, k), strict=True):
            # The vector itself comes first, the random directions after it.
            random = values[1:].quantile(0.95 if side == "promoted" else 0.05, dim=0)
            labels = token_labels(surface, ids[0].tolist())
            for rank, (label, token_id, value, chance) in enumerate(
                zip(labels, ids[0].tolist(), values[0].tolist(), random.tolist(), strict=True), 1
            ):
                rows.append((name, side, rank, label, token_id, value, chance))
    return pd.DataFrame(rows, columns=["reading", "side", "rank", "token", "token_id", "value", "random_95"])


def _extremes(
    read: _Reading, directions: Float[Tensor, "direction d_model"], k: Whole
) -> Iterator[tuple[Float[Tensor, "direction k"], Int[Tensor, "direction k"]]]:
    """The k highest and then the k lowest values of each direction, with the tokens that have them."""
    found = []
    for some in directions.split(_DIRECTIONS):
        values = read(some)
        found.append((values.topk(int(k)), values.topk(int(k), largest=False)))
    for side in range(2):
        values, ids = (torch.cat([tops[side][part].cpu() for tops in found]) for part in range(2))
        yield values, ids


def _own_logits(surface: Surface, directions: Float[Tensor, "direction d_model"]) -> Float[Tensor, "direction d_vocab"]:
    """What each direction alone adds to the logits: their odd part, centred over the vocabulary."""
    with_biases = _logits(surface, torch.cat([directions, -directions])).float()
    plus, minus = with_biases.split(len(directions))
    odd = (plus - minus) / 2
    return odd - odd.mean(1, keepdim=True)


def _logits(surface: Surface, vectors: Float[Tensor, "vector d_model"]) -> Float[Tensor, "vector d_vocab"]:
    try:
        from transformer_lens.tools.analysis import logit_readout
    except ImportError:  # TransformerLens 3 has none
        return logits_as_last_residual(surface, vectors)
    try:
        return logit_readout(surface.model, vectors).values
    except (ValueError, NotImplementedError) as error:
        raise ModelError(f"vectors cannot be read through the unembedding of {surface.name!r}: {error}") from error


def logits_as_last_residual(
    surface: Surface, vectors: Float[Tensor, "vector d_model"]
) -> Float[Tensor, "vector d_vocab"]:
    """The logits of vectors put in the place of the last residual, by the model's own end."""
    last = surface.read_name(Site(surface.n_layers - 1, "post"))
    found = []
    for some in vectors.split(surface.n_ctx):
        tokens = torch.full((1, len(some)), surface.pad_id, device=surface.device)
        with surface.hooks([(last, lambda residual, hook, some=some: some[None].to(residual))]):
            found.append(surface.forward(tokens, torch.ones_like(tokens, dtype=torch.bool))[0])
    return torch.cat(found)


def _cosines(
    directions: Float[Tensor, "direction d_model"], tokens: Float[Tensor, "d_vocab d_model"]
) -> Float[Tensor, "direction d_vocab"]:
    """The cosine of each unit direction with each token's own."""
    directions = directions.to(tokens.device)
    units = (torch.nn.functional.normalize(some.float(), dim=1) for some in tokens.split(_TOKENS))
    return torch.cat([einsum(directions, some, "direction d, token d -> direction token") for some in units], dim=1)
