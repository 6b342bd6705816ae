"""How steering vectors of any origin relate to each other, against what chance would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from tlsteer._arguments import Seed, Share, checked
from tlsteer._identity import same_model
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.analyse._comparison.comparison_result import VectorComparison
from tlsteer.analyse._comparison.geometry import (
    cosines,
    covariance_cosine_limits,
    effective_dimension,
    principal_angles,
    random_angle_limits,
    random_cosine_limit,
    random_shared_limit,
    share_in_span,
    shared_direction,
    similarity_tree,
    unit_rows,
)
from tlsteer.analyse._comparison.residual_moments import residual_moments
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import VectorError
from tlsteer.positions import Positions
from tlsteer.vectors import SteeringVector

Given = SteeringVector | str | Path


@checked
def compare_vectors(
    vectors: Mapping[str, Given | Sequence[Given]],
    *,
    model: Model | None = None,
    texts: Sequence[PromptLike] | None = None,
    positions: Positions = slice(1, None),
    groups: Mapping[str, Sequence[str]] | None = None,
    confidence: Share = 0.95,
    seed: Seed = 0,
) -> VectorComparison:
    """Compares the directions and lengths of vectors from any tasks, methods, examples, layers or files.

    Args:
        vectors: by name, a vector or the path of a saved one; a list, such as one per layer, is named by its sites too.
        model: with texts, the model whose residual stream gives the second null band and the relative norms.
        texts: ordinary texts for the model, some hundred tokens at least.
        positions: which of their tokens are taken; not the first, whose residual is of another size in many models.
        groups: names of vectors by group, whose spans are compared.
        confidence: how often chance stays inside the null bands.
        seed: of the simulated null bands.

    Raises:
        VectorError: no vectors, one without a direction, vectors of different models, or an unknown name in a group.

    >>> compare_vectors({"one-shot": fitted.vector, "caa": vector, "random": control}, model=model, texts=neutral)
    """
    named = _named(vectors)
    groups = dict(groups or {})
    for group, some in groups.items():
        unknown = [name for name in some if name not in named]
        if unknown or not some:
            what = f"holds {', '.join(unknown)}, none of the vectors" if some else "is empty"
            raise VectorError(f"the group {group!r} {what}; take names from {', '.join(named)}")
    rows = np.stack([vector.tensor.double().numpy() for vector in named.values()])
    names, n, d_model = list(named), *rows.shape
    sites = [f"{vector.site.layer}.{vector.site.stage}" for vector in named.values()]
    bands = {"random": np.full((n, n), random_cosine_limit(d_model, confidence))}
    data = xr.Dataset(coords={"vector": names, "other": names, "site": ("vector", sites)})
    if model is not None and texts is not None:
        surface = Surface(model)
        places = [vector.check(surface) for vector in named.values()]
        moments = residual_moments(surface, texts, list(dict.fromkeys(places)), positions)
        at = [moments.sites.index(place) for place in places]
        limits = covariance_cosine_limits(moments.covariances, confidence, seed=seed)
        bands["residual"] = limits[np.ix_(at, at)]
        data["relative_norm"] = "vector", np.linalg.norm(rows, axis=1) / moments.mean_norms[at]
        data["effective_dimension"] = "vector", np.array([effective_dimension(one) for one in moments.covariances])[at]
        data.attrs |= {"model": surface.name, "n_tokens": moments.n_tokens}
    elif (model is None) != (texts is None):
        raise VectorError("give both model and texts, for the residual stream's own null band, or neither")
    data["cosine"] = ("vector", "other"), cosines(rows)
    data["null_band"] = xr.DataArray(np.stack(list(bands.values())), {"null": list(bands)}, ("null", "vector", "other"))
    data["norm"] = "vector", np.linalg.norm(rows, axis=1)
    data["tensor"] = ("vector", "d_model"), rows.astype(np.float32)
    data["shared"] = "vector", (unit_rows(rows) @ shared_direction(rows)) ** 2
    if n > 1:
        data["tree"] = ("merge", "part"), similarity_tree(data["cosine"].values)
    random_shared = random_shared_limit(n, d_model, confidence, seed)
    data.attrs |= {"d_model": d_model, "confidence": confidence, "seed": seed, "random_shared": random_shared}
    return VectorComparison(_with_groups(data, rows, groups, confidence, seed) if groups else data)


def _with_groups(
    data: xr.Dataset, rows: np.ndarray, groups: Mapping[str, Sequence[str]], confidence: float, seed: int
) -> xr.Dataset:
    names = list(map(str, data["vector"].values))
    members = {group: [names.index(name) for name in some] for group, some in groups.items()}
    inside = [
        [share_in_span(row, rows[[i for i in some if i != number]]) for some in members.values()]
        for number, row in enumerate(rows)
    ]
    most = max(map(len, members.values()))
    angles = np.full((2, len(groups), len(groups), most), np.nan)
    for i, first in enumerate(members.values()):
        for j, second in enumerate(members.values()):
            if i != j:
                found = principal_angles(rows[first], rows[second])
                angles[0, i, j, : len(found)] = found
                ranks = [int(np.linalg.matrix_rank(rows[some])) for some in (first, second)]
                angles[1, i, j, : len(found)] = random_angle_limits(ranks[0], ranks[1], rows.shape[1], confidence, seed)
    axes = ("group", "other_group", "number")
    return data.assign_coords(group=list(groups), other_group=list(groups)).assign(
        in_group=(("vector", "group"), np.array(inside)), angle=(axes, angles[0]), random_angle=(axes, angles[1])
    )


def _named(vectors: Mapping[str, Given | Sequence[Given]]) -> dict[str, SteeringVector]:
    """The vectors, loaded and checked to belong together."""
    named: dict[str, SteeringVector] = {}
    for name, given in vectors.items():
        if isinstance(given, SteeringVector | str | Path):
            named[name] = _loaded(given)
        else:
            named |= {f"{name} {vector.site.layer}.{vector.site.stage}": vector for vector in map(_loaded, given)}
    if not named:
        raise VectorError("give at least one vector, by name")
    first = next(iter(named))
    for name, vector in named.items():
        if vector.norm == 0 or not vector.operation.is_vector:
            what = "is zero" if vector.operation.is_vector else f"is for the operation {vector.operation}"
            raise VectorError(f"{name!r} {what}, so it has no direction to compare; leave it out")
        made, other = vector.provenance, named[first].provenance
        if vector.d_model != named[first].d_model or (
            made.fingerprint and other.fingerprint and not same_model(made.fingerprint, other.fingerprint)
        ):
            raise VectorError(
                f"{name!r} ({made.model or 'no model named'}, width {vector.d_model}) and {first!r} "
                f"({other.model or 'no model named'}, width {named[first].d_model}) belong to different models"
            )
    return named


def _loaded(given: Given) -> SteeringVector:
    return given if isinstance(given, SteeringVector) else SteeringVector.load(given)
