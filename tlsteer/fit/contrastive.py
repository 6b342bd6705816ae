"""Contrastive steering vectors: estimators of the direction in which two sets of texts differ.

No gradients and no objective: the vector is read off the residual stream, so one pass over the texts gives a
vector at every site. One-shot optimisation (`fit_oneshot`) needs one example instead of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from tlsteer.data import ContrastPair, data_hash
from tlsteer.errors import DataError, SiteError
from tlsteer.positions import Positions, check_positions, last
from tlsteer.residuals import mean_residuals
from tlsteer.sites import Place, Site
from tlsteer.surface import Surface
from tlsteer.tokens import encode_prompts
from tlsteer.vectors import Provenance, SteeringVector

Estimator = Literal["diff_means"]
_LAST_TOKEN = last(1)


@overload
def fit_contrastive(
    model: Any, pairs: Sequence[ContrastPair], site: Place, *, estimator: Estimator = ..., positions: Positions = ...,
    batch_size: int = ..., progress: bool = ...,
) -> SteeringVector: ...  # fmt: skip
@overload
def fit_contrastive(
    model: Any, pairs: Sequence[ContrastPair], site: Sequence[Place], *, estimator: Estimator = ...,
    positions: Positions = ..., batch_size: int = ..., progress: bool = ...,
) -> list[SteeringVector]: ...  # fmt: skip
def fit_contrastive(
    model: Any,
    pairs: Sequence[ContrastPair],
    site: Place | Sequence[Place],
    *,
    estimator: Estimator = "diff_means",
    positions: Positions = _LAST_TOKEN,
    batch_size: int = 32,
    progress: bool = True,
) -> SteeringVector | list[SteeringVector]:
    """A vector from contrast pairs, at one site or at many in one pass.

    `diff_means` is the mean residual of the positive texts minus that of the negative ones (contrastive
    activation addition, the skyline of arXiv 2502.18862 and the method of arXiv 2407.12404).

    Args:
        model: a TransformerBridge or HookedTransformer.
        pairs: texts that show the behaviour and texts that do not.
        site: one site, or several for a list of vectors.
        estimator: "diff_means".
        positions: which tokens of each text are averaged; its last one by default.
        batch_size: texts run at once.
        progress: show a bar where there are several batches.

    Raises:
        DataError: no pairs, or an unknown estimator.
        PositionError: positions that select nothing in a text.

    >>> caa = fit_contrastive(model, pairs, Site(4, "pre"))
    >>> by_layer = fit_contrastive(model, pairs, range(model.cfg.n_layers), positions="all")
    """
    if estimator != "diff_means":
        raise DataError(f'estimator {estimator!r} is unknown; use "diff_means"')
    others = sorted({type(pair).__name__ for pair in pairs if not isinstance(pair, ContrastPair)})
    if others or not pairs:
        raise DataError(f"give at least one ContrastPair, and nothing else; got {', '.join(others) or 'none'}")
    check_positions(positions)
    surface = Surface(model)
    places: Sequence[Place] = [site] if isinstance(site, Site | int | str) else site
    sites = [Site.of(place).resolve(surface.n_layers) for place in places]
    if not sites:
        raise SiteError("give at least one site")
    texts = [pair.positive for pair in pairs] + [pair.negative for pair in pairs]
    means = mean_residuals(surface, encode_prompts(surface, texts), sites, positions, batch_size, progress)
    difference = means[: len(pairs)].mean(0) - means[len(pairs) :].mean(0)
    made = Provenance(
        model=surface.name,
        fingerprint=surface.fingerprint,
        weight_processing=surface.weight_processing,
        method=estimator,
        data_hash=data_hash(pairs),
        settings={"positions": repr(positions), "n_pairs": len(pairs)},
    )
    vectors = [SteeringVector(difference[i], place, provenance=made) for i, place in enumerate(sites)]
    return vectors[0] if isinstance(site, Site | int | str) else vectors
