"""Which tokens carry a vector's effect, and how far each token already lies along it."""

from __future__ import annotations

import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import Count, Seed, Whole, checked
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._surface import Surface
from tlsteer._token_labels import token_labels
from tlsteer._version import __version__
from tlsteer.data._prompt_like import PromptLike
from tlsteer.fit._controls import random_vectors
from tlsteer.scoring import completion_logprob
from tlsteer.steering import Intervention
from tlsteer.tokens import encode, encode_completion, encode_prompts, pad
from tlsteer.vectors import SteeringVector


@checked
def token_effects(
    model: Model,
    vector: SteeringVector,
    prompt: PromptLike,
    promote: PromptLike,
    suppress: PromptLike | None = None,
    *,
    multiplier: Number = 1.0,
    n_random: Whole = 10,
    batch_size: Count = 32,
    progress: bool = True,
    seed: Seed = 0,
) -> xr.Dataset:
    """What steering a single token of a prompt does to the answer, and what leaving it out does.

    The answer's score is log p(promote) - log p(suppress), or log p(promote) alone; for answers of one token the
    former is their logit difference. Completions themselves are not steered.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vector: applied as it says.
        prompt: the text whose tokens are steered.
        promote: a completion of the prompt, e.g. "A" or "Sure, here".
        suppress: the completion it is compared with.
        multiplier: of the vector.
        n_random: random vectors of the same norm to compare with.
        batch_size: rows run at once; there is one for each token and vector.
        progress: show a bar where there are several batches.
        seed: of the random vectors.

    Returns:
        A dataset over `position` (with the coordinate `token`, its spaces and line ends marked, as in "␣the") and
        `random`, all in nats: `alone`, the change of the score where that token alone is steered; `without`, how much
        less all prompt tokens do where that one is left out; `random_alone`, `alone` for each random vector;
        `unsteered` and `steered`, the score itself, with all prompt tokens steered in the latter.

    Raises:
        DataError: an empty completion, or a token that spans the boundary of prompt and completion.
        VectorError: a vector of another model.

    >>> token_effects(model, vector, prompts[0], "Sure", "I")["alone"].to_series()
    """
    surface = Surface(model)
    site = vector.check(surface)
    (multiplier,) = finite_numbers([multiplier], "multiplier")
    controls = random_vectors(n_random, like=[vector], seed=seed)
    ids = encode(surface, prompt)
    n = len(ids)
    one, every = torch.eye(n, dtype=torch.bool), torch.ones(1, n, dtype=torch.bool)
    masks = torch.cat([one, ~one, ~every, every, *[one] * n_random])
    # Positions may not select nothing: such a row is steered everywhere, by nothing.
    nothing = ~masks.any(1)
    multipliers = torch.full((len(masks),), multiplier, dtype=torch.float64).masked_fill(nothing, 0.0)
    masks = masks | nothing[:, None]
    vectors = [vector] * (2 * n + 2) + [control for control in controls for _ in range(n)]

    def score(completion: PromptLike) -> Float[Tensor, " rows"]:
        n_more = len(encode_completion(surface, prompt, completion)[1])
        positions = torch.nn.functional.pad(masks, (0, n_more))
        intervention = Intervention(vectors, multipliers.tolist(), positions)
        return completion_logprob(
            model, [prompt] * len(masks), [completion] * len(masks), intervention,
            batch_size=batch_size, progress=progress,
        )  # fmt: skip

    scores = score(promote) if suppress is None else score(promote) - score(suppress)
    alone, without, (unsteered, steered), random = scores.split([n, n, 2, n * n_random])
    random = rearrange(random, "(random position) -> random position", random=n_random, position=n)
    return xr.Dataset(
        {
            "alone": ("position", (alone - unsteered).numpy()),
            "without": ("position", (steered - without).numpy()),
            "random_alone": (("random", "position"), (random - unsteered).numpy()),
            "unsteered": unsteered.item(),
            "steered": steered.item(),
        },
        {"position": range(n), "token": ("position", token_labels(surface, ids))},
        dict(
            model=surface.name, site=str(site), multiplier=multiplier, promote=promote, suppress=suppress or "",
            units="nats", seed=seed, version=__version__,
        ),
    )  # fmt: skip


@checked
@torch.no_grad()
def projections(model: Model, vector: SteeringVector, text: PromptLike) -> xr.DataArray:
    """How far the residual of each token lies along a vector at its site, unsteered, in units of the residual.

    Returns:
        An array over `position`, with the coordinate `token`, its spaces and line ends marked, as in "␣the".

    Raises:
        DataError: a text without tokens, or too long for the model.
        VectorError: a vector of another model, or of norm 0.

    >>> projections(model, vector, "How do I make a lamp?").to_series()
    """
    surface = Surface(model)
    site, unit = vector.check(surface), vector.normalized.tensor
    (ids,) = encode_prompts(surface, [text])
    tokens, real = pad(surface, [ids], "right")
    caught: list[Tensor] = []
    with surface.hooks([(surface.read_name(site), lambda residual, hook: caught.append(residual))]):
        surface.run_to(tokens, real, site.layer)
    values = caught[0][0].float().cpu() @ unit
    return xr.DataArray(
        values.numpy(),
        {"position": range(len(ids)), "token": ("position", token_labels(surface, ids))},
        ("position",),
        "projection",
        {"units": "residual units", "model": surface.name, "site": str(site)},
    )
