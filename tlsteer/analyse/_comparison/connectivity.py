"""Mode connectivity: whether the loss stays low on the way from one steering vector to another (arXiv 2502.18862)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import Count, Seed, Whole, checked
from tlsteer._model_type import Model
from tlsteer._store import Store
from tlsteer._surface import Surface
from tlsteer.analyse._comparison.connectivity_result import ModeConnectivity
from tlsteer.analyse._comparison.example_loss import ExampleLosses
from tlsteer.analyse._comparison.paths import angle_between, geodesic, line
from tlsteer.data import Example
from tlsteer.errors import DataError, VectorError
from tlsteer.fit._controls import random_controls
from tlsteer.measure import measured
from tlsteer.positions import Positions
from tlsteer.vectors import SteeringVector

# From vectors, one per row, to their losses.
Loss = Callable[[Float[Tensor, "vectors d_model"]], Float[np.ndarray, " vectors"]]
Losses = Example | Sequence[Example] | Mapping[str, Example] | Loss
PATHS = {"geodesic": geodesic, "line": line}
_PATHS_AT_ONCE = 16  # what an interruption loses at most


@checked
def mode_connectivity(
    model: Model,
    vectors: Mapping[str, SteeringVector],
    loss: Losses,
    n_points: Count = 20,
    *,
    path: str = "geodesic",
    n_random: Whole = 3,
    solved: float | None = None,
    tolerance: float = 0.1,
    positions: Positions = "all",
    run_dir: str | Path | None = None,
    progress: bool = True,
    seed: Seed = 0,
) -> ModeConnectivity:
    """The loss on the way between every two vectors, and how many pairs are connected.

    Both ends of a connected pair have to be solutions here, or a flat path between two random vectors would count.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: by name, all at one site and of one operation.
        loss: an example or several, e.g. `Example(prompt, suppress=["I cannot"])`; one for each vector by its name,
            and then pairs are ordered, each with the loss of its first vector's example; or a function from vectors
            (rows) to losses.
        n_points: on each path, ends included.
        path: "geodesic", along the great circle between the directions with the norm interpolated, or "line".
        n_random: random vectors for the baselines.
        solved: the loss in nats at which an end counts as a solution; half the unsteered loss by default.
        tolerance: in nats.
        positions: where the vectors are applied, for examples.
        run_dir: a folder to keep what is done; an interrupted call is resumed from there. Not with a function.
        progress: show a bar.
        seed: of the random vectors.

    Raises:
        VectorError: fewer than two vectors, several sites or operations, opposite vectors, or examples for others.
        DataError: an example that cannot be encoded.

    >>> mode_connectivity(model, {"one": fitted, "another": vector}, Example(prompts[0], suppress=["I cannot"]), 5)
    """
    surface = Surface(model)
    _check(vectors, surface, n_points, path)
    if isinstance(loss, Mapping) and set(loss) != set(vectors):
        raise VectorError(f"there are examples for {sorted(loss)}, but the vectors are {sorted(vectors)}")
    given = list(vectors.values())
    controls = random_controls(vectors, n_random, seed)
    rows = {name: vector.tensor.double().numpy() for name, vector in {**vectors, **controls}.items()}
    pairs = _pairs(list(vectors), list(controls), ordered=isinstance(loss, Mapping))
    fractions, walk = np.linspace(0, 1, n_points), PATHS[path]
    points = np.stack([walk(rows[first], rows[second], fractions) for first, second, _ in pairs]).astype(np.float32)
    losses, unsteered = np.zeros((len(pairs), n_points)), np.zeros(len(pairs))
    # Paths between random vectors belong to no example; the first stands in.
    owners = [first if first in vectors else next(iter(vectors)) for first, _, _ in pairs]
    store = Store(None if callable(loss) else run_dir)
    for name, one in loss.items() if isinstance(loss, Mapping) else [(None, loss)]:
        numbers = [number for number, owner in enumerate(owners) if name in (None, owner)]
        some = [numbers[i : i + _PATHS_AT_ONCE] for i in range(0, len(numbers), _PATHS_AT_ONCE)]
        groups = [
            np.zeros((1, surface.d_model), np.float32),
            *(rearrange(points[group], "path point d -> (path point) d") for group in some),
        ]
        if callable(one):
            found = (_losses(one, group) for group in groups)
        else:
            found = measured(surface, ExampleLosses(one, groups, given[0], positions), store, progress=progress)
        unsteered[numbers] = next(found)[0]
        for group, own in zip(some, found, strict=True):
            losses[group] = rearrange(own, "(path point) -> path point", point=n_points)
    about = {
        "first": [first for first, _, _ in pairs],
        "second": [second for _, second, _ in pairs],
        "kind": [kind for _, _, kind in pairs],
        "angle": [np.degrees(angle_between(rows[first], rows[second])) for first, second, _ in pairs],
        "unsteered": unsteered,
        "solved": unsteered / 2 if solved is None else np.full(len(pairs), float(solved)),
    }
    data = xr.Dataset(
        {"loss": (("pair", "point"), losses)},
        {"fraction": ("point", fractions)} | {name: ("pair", values) for name, values in about.items()},
        {"path": path, "tolerance": float(tolerance), "model": surface.name, "site": str(given[0].site), "seed": seed},
    )
    return ModeConnectivity(data)


def _losses(loss: Callable[[Tensor], Any], vectors: Float[np.ndarray, "rows d_model"]) -> Float[np.ndarray, " rows"]:
    found = loss(torch.from_numpy(vectors))
    try:
        losses = np.asarray(found, dtype=float)
    except (TypeError, ValueError):
        losses = np.zeros(())
    if losses.shape != (len(vectors),):
        raise DataError(f"the function loss gives a number for each of {len(vectors)} vectors, got {found!r:.80}")
    return losses


def _pairs(names: list[str], controls: list[str], ordered: bool) -> list[tuple[str, str, str]]:
    """First, second and kind of each pair."""
    within = [(a, b, "vectors") for a, b in combinations(names, 2)]
    if ordered:
        within += [(b, a, kind) for a, b, kind in within]
    outward = [(name, control, "to random") for name in names for control in controls]
    return [*within, *outward, *((a, b, "random") for a, b in combinations(controls, 2))]


def _check(vectors: Mapping[str, SteeringVector], surface: Surface, n_points: int, path: str) -> None:
    if len(vectors) < 2 or n_points < 3:
        raise VectorError(f"give at least 2 vectors and 3 points, got {len(vectors)} and {n_points}")
    if path not in PATHS:
        raise VectorError(f'path {path!r} is unknown; use "geodesic" or "line"')
    kinds = {(vector.check(surface), vector.operation) for vector in vectors.values()}
    if len(kinds) > 1 or not all(vector.operation.is_vector for vector in vectors.values()):
        raise VectorError(f"a path joins vectors of one site and operation, not affine maps; got {kinds}")
    for (a, first), (b, second) in combinations(vectors.items(), 2):
        if not first.cosine(second) > -1 + 1e-6:  # NaN where one is zero
            raise VectorError(f"{a!r} and {b!r} are opposite or zero, so no one path leads from one to the other")
