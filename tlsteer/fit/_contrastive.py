"""Contrastive steering vectors: the direction in which the residuals of two sets of texts differ.

No gradients and no objective on what the model says: the vector is read off the residual stream, so one pass over
the texts gives a vector at every site. One-shot optimisation (`fit_oneshot`) needs one example instead of pairs.

| estimator | direction | length |
|---|---|---|
| `diff_means` | mean of the positives minus mean of the negatives | its own |
| `mean_centred` | mean of the positives minus mean of background texts | its own |
| `pca` | first component of the pairs' differences | of the mean difference along it |
| `logistic` | normal of a logistic probe | of the mean difference along it |
| `lat` | first component of differences in random order | of the mean difference along it |

Each is a file of `tlsteer.fit._estimators`. An estimator of one's own is a function from the residuals of the positives
and of the negatives, one row per pair, to a direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import Count, Seed, checked
from tlsteer._keys import check_function_key, function_key
from tlsteer._model_type import Model
from tlsteer._residuals import mean_residuals
from tlsteer._store import Store
from tlsteer._surface import Surface
from tlsteer.data import ContrastPair, data_hash
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import DataError, SiteError
from tlsteer.fit._estimators import diff_means, lat, logistic, mean_centred, pca
from tlsteer.fit._provenance import made_on
from tlsteer.measure import Costs, Unfinished, measured
from tlsteer.positions import Positions, check_positions, last
from tlsteer.sites import Place, Site
from tlsteer.tokens import encode_prompts
from tlsteer.vectors import SteeringVector

Direction = Float[Tensor, " d_model"]
Residual = Float[Tensor, "pairs d_model"]
Estimator = Literal["diff_means", "mean_centred", "pca", "logistic", "lat"] | Callable[[Residual, Residual], Direction]
ESTIMATORS = ("diff_means", "mean_centred", "pca", "logistic", "lat")
_LAST_TOKEN = last(1)
# Sums over texts in batches of other shapes differ by about this much of the residual itself.
_ROUNDING = 1e-6


class ContrastiveSettings(TypedDict, total=False):
    """What says how a vector is read off the residuals of pairs; see `fit_contrastive`."""

    estimator: Estimator
    positions: Positions
    background: Sequence[PromptLike] | None
    batch_size: int


@overload
def fit_contrastive(
    model: Model, pairs: Sequence[ContrastPair], site: Place, *, estimator: Estimator = ..., positions: Positions = ...,
    background: Sequence[PromptLike] | None = ..., seed: int = ..., batch_size: int = ..., progress: bool = ...,
    run_dir: str | Path | Store | None = ...,
) -> SteeringVector: ...  # fmt: skip
@overload
def fit_contrastive(
    model: Model, pairs: Sequence[ContrastPair], site: Sequence[Place], *, estimator: Estimator = ...,
    positions: Positions = ..., background: Sequence[PromptLike] | None = ..., seed: int = ..., batch_size: int = ...,
    progress: bool = ..., run_dir: str | Path | Store | None = ...,
) -> list[SteeringVector]: ...  # fmt: skip
@checked
def fit_contrastive(
    model: Model,
    pairs: Sequence[ContrastPair],
    site: Place | Sequence[Place],
    *,
    estimator: Estimator = "diff_means",
    positions: Positions = _LAST_TOKEN,
    background: Sequence[PromptLike] | None = None,
    seed: Seed = 0,
    batch_size: Count = 32,
    progress: bool = True,
    run_dir: str | Path | Store | None = None,
) -> SteeringVector | list[SteeringVector]:
    """A vector from contrast pairs, at one site or at many in one pass.

    Args:
        model: a TransformerBridge or HookedTransformer.
        pairs: texts that show the behaviour and texts that do not.
        site: one site, or several for a list of vectors.
        estimator: "diff_means" (contrastive activation addition, the skyline of arXiv 2502.18862 and the method
            of arXiv 2407.12404), "mean_centred", "pca", "logistic", "lat", or a function; see this module.
        positions: which tokens of each text are averaged; its last one by default.
        background: texts whose mean "mean_centred" subtracts; all texts of the pairs by default.
        seed: of the random order of "lat"; the other estimators draw nothing.
        batch_size: texts run at once.
        progress: show a bar.
        run_dir: a folder to keep vectors in; the same call finds them again. A function is known by its name there.

    Raises:
        DataError: no pairs, too few for the estimator, an unknown estimator, one without a name where there is a
            run_dir, or texts whose residuals do not differ.
        PositionError: positions that select nothing in a text.

    >>> fit_contrastive(model, pairs, Site(4, "pre")).site
    Site(4, 'pre')
    >>> len(fit_contrastive(model, pairs, range(model.cfg.n_layers), estimator="pca", positions="all"))
    8
    """
    if not callable(estimator) and estimator not in ESTIMATORS:
        raise DataError(f"estimator {estimator!r} is unknown; use one of {', '.join(ESTIMATORS)}, or a function")
    wrong = [type(pair).__name__ for pair in pairs if not isinstance(pair, ContrastPair)]
    if wrong or not pairs:
        raise DataError(f"give at least one ContrastPair, and nothing else; got {wrong[0] if wrong else 'none'}")
    if estimator == "lat" and len(pairs) < 2:
        raise DataError('"lat" needs at least 2 pairs, got 1; use "diff_means" for one')
    if run_dir is not None and callable(estimator):
        check_function_key(estimator)
    if background is not None and estimator != "mean_centred":
        raise DataError(f'background texts are for estimator="mean_centred"; {estimator!r} does not look at them')
    if background is not None and not background:
        raise DataError("background=[] holds no text; give at least one prompt, or leave it out for those of the pairs")
    check_positions(positions)
    surface = Surface(model)
    places: Sequence[Place] = [site] if isinstance(site, Site | int | str) else site
    sites = [Site.of(place).resolve(surface.n_layers) for place in places]
    if not sites:
        raise SiteError("give at least one site")
    texts = [*(p.positive for p in pairs), *(p.negative for p in pairs), *(background or ())]
    rows = encode_prompts(surface, texts, names=text_names(len(pairs), len(texts)))
    name = _name(estimator)
    settings = {"positions": repr(positions), "n_pairs": len(pairs)} | ({"seed": seed} if estimator == "lat" else {})
    made = made_on(surface, name, data_hash([*pairs, *(background or ())]), settings)
    request = Contrasts(rows, len(pairs), sites, estimator, positions, seed, batch_size)
    found = measured(surface, request, run_dir, progress=progress)
    vectors = [
        SteeringVector(torch.from_numpy(one), place, provenance=made) for one, place in zip(found, sites, strict=True)
    ]
    return vectors[0] if isinstance(site, Site | int | str) else vectors


def text_names(n_pairs: int, n_texts: int) -> list[str]:
    """What errors call the positive texts of pairs, their negative texts, and background texts."""
    names = [f"the {side} text of pair {i}" for side in ("positive", "negative") for i in range(n_pairs)]
    return names + [f"background text {i}" for i in range(n_texts - len(names))]


@dataclass(frozen=True, eq=False)
class Contrasts:
    """A request: the direction in which the residuals of two sets of texts differ, one unit per site.

    Attributes:
        rows: ids of the positives, of the negatives, and of background texts.
        n_pairs: how many positives there are.
        sites: where vectors are read off.
        estimator: of the direction.
        positions: which tokens of each text are averaged.
        seed: of estimators that draw.
        batch_size: texts run at once.
    """

    rows: Sequence[Sequence[int]]
    n_pairs: int
    sites: Sequence[Site]
    estimator: Estimator
    positions: Positions
    seed: int
    batch_size: int = 32

    what = "fit_contrastive"

    def __len__(self) -> int:
        return len(self.sites)

    def parts(self, unit: int) -> Any:
        """What the direction at a site depends on."""
        estimator = function_key(self.estimator) if callable(self.estimator) else self.estimator
        return self.rows, self.n_pairs, self.sites[unit], estimator, self.positions, self.seed

    def costs(self, n_layers: int) -> Costs:
        """One pass gives all sites."""
        return Costs([0.0] * len(self), shared=1.0)

    def run(
        self, surface: Surface, units: Sequence[int], unfinished: Unfinished
    ) -> Iterator[tuple[int, Float[np.ndarray, " d_model"]]]:
        """The directions at some sites, all from one pass over the texts."""
        sites, n = [self.sites[unit] for unit in units], self.n_pairs
        names = text_names(n, len(self.rows))
        means = mean_residuals(surface, self.rows, sites, self.positions, self.batch_size, names=names)
        for unit, site, own in zip(units, sites, means.unbind(1), strict=True):
            positives, negatives, background = own.split([n, n, len(own) - 2 * n])
            everything = background if len(background) else torch.cat([positives, negatives])
            yield unit, _estimate(self.estimator, positives, negatives, everything, self.seed, site).numpy()


def _name(estimator: Estimator) -> str:
    return getattr(estimator, "__name__", type(estimator).__name__) if callable(estimator) else estimator


def _estimate(
    estimator: Estimator,
    positives: Float[Tensor, "pairs d_model"],
    negatives: Float[Tensor, "pairs d_model"],
    background: Float[Tensor, "texts d_model"],
    seed: int,
    site: Site,
) -> Float[Tensor, " d_model"]:
    least = _ROUNDING * positives.norm(dim=-1).mean()
    if not ((positives - negatives).norm(dim=-1) > least).any():
        raise DataError(f"the two texts of every pair have the same residual at {site}: choose other positions")
    if callable(estimator):
        found = estimator(positives, negatives)
    elif estimator == "mean_centred":
        found = mean_centred(positives, background)
    elif estimator == "lat":
        found = lat(positives, negatives, seed)
    else:
        found = {"diff_means": diff_means, "pca": pca, "logistic": logistic}[estimator](positives, negatives)
    if not isinstance(found, Tensor) or found.shape != positives.shape[1:]:
        raise DataError(
            f"{_name(estimator)!r} has to give a tensor of shape {tuple(positives.shape[1:])}, got {found!r:.80}"
        )
    if not found.norm() > least:
        raise DataError(f"{_name(estimator)!r} finds nothing at {site}: the differences of the pairs cancel on average")
    return found
