"""What a steering vector is compared with: the same method without the labels, and chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np

from tlsteer._arguments import Seed, checked
from tlsteer.data import ContrastPair
from tlsteer.errors import DataError, VectorError
from tlsteer.fit._constraints import random_on_sphere
from tlsteer.fit._estimators._lat import balanced_signs
from tlsteer.sites import Place
from tlsteer.vectors import SteeringVector

# Starts of fits are drawn from small seeds, and a fitted vector keeps some of its start's direction.
_APART_FROM_STARTS = 2**31  # torch reads 32 bits of a seed


@checked
def shuffled_labels(pairs: Sequence[ContrastPair], seed: Seed = 0) -> list[ContrastPair]:
    """The pairs with positive and negative exchanged in a random half of them.

    A vector fitted on these has seen the same texts, but no behaviour is on one side: any remaining effect comes from
    the texts. Half of the pairs rather than each by the toss of a coin: with few pairs, tosses often agree. Of an odd
    number the last pair is left out: with nothing to cancel it, it would give the behaviour's own direction.

    Raises:
        DataError: fewer than two pairs, whose labels cannot be mixed.

    >>> control = fit_contrastive(model, shuffled_labels(pairs, seed=0), Site(4))
    """
    if len(pairs) < 2:
        raise DataError(f"labels are shuffled among at least 2 pairs, got {len(pairs)}")
    pairs = pairs[: len(pairs) // 2 * 2]
    kept = balanced_signs(len(pairs), seed) > 0
    return [p if keep else ContrastPair(p.negative, p.positive) for p, keep in zip(pairs, kept.tolist(), strict=True)]


@checked
def random_vector(site: Place, *, like: SteeringVector, seed: Seed = 0) -> SteeringVector:
    """A vector of the same norm, operation and model as another, in a direction drawn uniformly.

    Drawn apart from the random starts of fits: seed 0 here and seed 0 there have nothing in common.

    Args:
        site: where it is written.
        like: the vector it stands in for.
        seed: of the direction.

    Raises:
        VectorError: `like` is an affine map, which has no norm to match.

    >>> control = random_vector(vector.site, like=vector, seed=0)
    >>> abs(control.norm - vector.norm) < 1e-5
    True
    """
    if not like.operation.is_vector:
        raise VectorError(f"the operation {like.operation} has no norm that a random vector could match; give a vector")
    made = replace(like.provenance, method="random", data_hash="", settings={"seed": seed})
    tensor = random_on_sphere(like.d_model, like.norm, seed + _APART_FROM_STARTS)
    return SteeringVector(tensor, site, like.operation, made)


def random_vectors(n: int, *, like: Sequence[SteeringVector], seed: int = 0) -> list[SteeringVector]:
    """Random vectors at the sites and of the norms of the given ones, taken in turn.

    Args:
        n: how many, as `n_random` asks.
        like: the vectors they stand in for.
        seed: of the first; the next ones have the next seeds.

    Raises:
        DataError: a negative number of them.
        VectorError: one of `like` is an affine map.
    """
    check_n_random(n)
    return [random_vector(one.site, like=one, seed=seed + i) for i, one in zip(range(n), cycle(like), strict=False)]


def random_controls(vectors: Mapping[str, SteeringVector], n: int, seed: int) -> dict[str, SteeringVector]:
    """`random_vectors` by the names "random 0" and so on.

    Raises:
        DataError: a negative number of them.
        VectorError: a given vector has one of these names, or is an affine map.
    """
    made = random_vectors(n, like=list(vectors.values()), seed=seed)
    controls = {f"random {number}": vector for number, vector in enumerate(made)}
    if taken := [name for name in controls if name in vectors]:
        raise VectorError(f"{', '.join(taken)}: names that the random vectors have; rename yours, or take n_random=0")
    return controls


def random_rows(vector: SteeringVector, name: str, n: int, seed: int, number: int = 0) -> list[SteeringVector]:
    """Random vectors of a vector's norm, one per row of what is run, so that no single direction's luck counts.

    Args:
        vector: whose norm and site they have.
        name: of the vector, which has random ones of its own.
        n: how many.
        seed: of all of them.
        number: of the vector among those of its name.
    """
    seeds = np.random.default_rng([seed, *name.encode(errors="surrogatepass"), number]).integers(2**31, size=n)
    return [random_vector(vector.site, like=vector, seed=int(one)) for one in seeds]


def check_n_random(n: int) -> None:
    """Refuses a number of random vectors that cannot be.

    Raises:
        DataError: it is negative.
    """
    if n < 0:
        raise DataError(f"n_random={n} has to be 0 or more")
