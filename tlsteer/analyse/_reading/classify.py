"""A vector as a classifier of texts, and whether it controls what it predicts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from tlsteer._arguments import Count, Seed, Share, Whole, checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import DataError, VectorError
from tlsteer.evaluate._vector_grid import VectorGrid, Vectors
from tlsteer.measure import Residuals, measured
from tlsteer.positions import Positions
from tlsteer.sites import Site
from tlsteer.stats._auc import roc_auc
from tlsteer.tokens import encode_prompts


@checked
def classify(
    model: Model,
    vectors: Vectors,
    positives: Sequence[PromptLike],
    negatives: Sequence[PromptLike],
    *,
    layers: Sequence[int] | Literal["all"] = "all",
    positions: Positions = "all",
    clusters: Sequence[Hashable] | None = None,
    n_random: Whole = 200,
    confidence: Share = 0.95,
    batch_size: Count = 32,
    progress: bool = True,
    seed: Seed = 0,
) -> pd.DataFrame:
    """How well the dot product with a vector tells positive from negative texts, by layer (arXiv 2502.18862).

    A text's score is its mean residual over the chosen tokens, dotted with the vector; no threshold is chosen. An
    area under the ROC curve (AUC) below 0.5 says that the vector points from the positives to the negatives. The
    classes differ in many directions at once, so a random one may tell them apart too: that is the band.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one vector, or one per layer in a list, or either by name.
        positives: texts of the class the vector should point to.
        negatives: texts of the other class.
        layers: where a single vector is read, at its own stage; a vector of a list is read at its own layer.
        positions: the tokens averaged, e.g. "all" or last(1).
        clusters: what each text is about, positives first, where some go together (such as both sides of a pair).
        n_random: random directions in the band.
        confidence: of the intervals, and share of random directions in the band.
        batch_size: texts run at once.
        progress: show a bar where there are several batches.
        seed: of the random directions.

    Returns:
        A row for each vector and layer: `vector` (where given by name), `layer`, `auc`, `auc_low`, `auc_high`,
        `random_low`, `random_high`, `n`.

    Raises:
        DataError: no texts of a class, or clusters of another number.
        VectorError: vectors of another model, or lists with different layers.
        SiteError: a layer the model does not have.

    >>> table = classify(model, {"caa": vector, "one-shot": fitted}, answered, prompts, positions=last(1))
    >>> table[["vector", "auc", "random_high"]]
    """
    surface = Surface(model)
    grid = VectorGrid.of(vectors, surface)
    if not positives or not negatives or n_random < 1:
        raise DataError(
            f"give texts of both classes and at least one random direction, got {len(positives)} positives, "
            f"{len(negatives)} negatives and n_random={n_random}"
        )
    sides = {"positive": positives, "negative": negatives}
    names = [f"{side} text {i}" for side, texts in sides.items() for i in range(len(texts))]
    rows = encode_prompts(surface, [*positives, *negatives], names=names)
    if clusters is not None and len(clusters) != len(rows):
        raise DataError(f"{len(clusters)} clusters were given for {len(rows)} texts")
    if any(vector.norm == 0 for vector in grid.flat):
        raise VectorError("a vector of norm 0 has no direction to classify with")
    labels = np.arange(len(rows)) < len(positives)
    groups = None if clusters is None else pd.factorize(pd.Series(list(clusters), dtype=object))[0]
    own = [[vector.site.resolve(surface.n_layers) for vector in row] for row in grid.rows]
    wanted = range(surface.n_layers) if layers == "all" else layers
    if grid.layers is None:
        own = [[Site(layer, site.stage).resolve(surface.n_layers) for layer in wanted] for (site,) in own]
    sites = sorted({site for places in own for site in places})
    if not sites:
        raise DataError("layers=[] names no layer to read at")
    residuals = measured(surface, Residuals(rows, sites, positions, batch_size, names=names), progress=progress)
    drawn = np.random.default_rng(seed).standard_normal((surface.d_model, n_random))
    at = {site: own.astype(float) for site, own in zip(sites, residuals, strict=True)}
    bands = {site: _random_band(at[site] @ drawn, labels, confidence) for site in sites}
    table = []
    for name, row, places in zip(grid.names or [None] * len(own), grid.rows, own, strict=True):
        for place, site in enumerate(places):
            vector = row[place if grid.layers else 0]
            auc = roc_auc(at[site] @ vector.tensor.double().numpy(), labels, groups, confidence=confidence)
            low, high = bands[site]
            table.append((name, site.layer, auc.value, auc.low, auc.high, low, high, auc.n))
    columns = ["vector", "layer", "auc", "auc_low", "auc_high", "random_low", "random_high", "n"]
    found = pd.DataFrame(table, columns=columns)
    return found if grid.names else found.drop(columns="vector")


@checked
def predict_control(classifier: pd.DataFrame, steerability: pd.DataFrame) -> pd.DataFrame:
    """What a vector predicts against what it controls: AUC and steerability of the same vector and layer.

    Vectors that steer well can be poor classifiers and the other way round: the predict-control discrepancy
    (arXiv 2502.18862 reports AUCs of at most 0.66, median 0.56, for one-shot vectors that steer well).

    Args:
        classifier: from `classify`.
        steerability: from `reliability_table` of a curve over the same layers (and vectors, where both name them).

    Returns:
        The rows of `classifier` for which there is a steerability, with the columns `steerability`, `_low` and `_high`,
        and `n_steered`, the samples it stands on.

    Raises:
        DataError: no layer in common, or several steerabilities for one row (of several datasets or settings).

    >>> steered = evaluate.reliability_table(propensity(model, by_layer, choices, [-1, 0, 1]))
    >>> both = predict_control(classify(model, by_layer, answered, prompts), steered)
    >>> stats.rank_correlation(both["auc"].to_numpy(), both["steerability"].to_numpy()).n
    3
    """
    keys = [key for key in ("vector", "layer") if key in classifier and key in steerability]
    if "layer" not in keys:
        raise DataError(f"the table of steerabilities needs the column layer; it has {', '.join(steerability)}")
    if steerability.duplicated(keys).any():
        raise DataError(f"the table has several steerabilities for one {' and '.join(keys)}; choose one dataset first")
    named = steerability.rename(columns={"n": "n_steered"})
    columns = [name for name in named if str(name).startswith("steerability") or name == "n_steered"]
    try:
        joined = classifier.merge(named[[*keys, *columns]], on=keys)
    except ValueError as error:
        raise DataError(f"the tables have no {' and '.join(keys)} of one type: {error}") from None
    if joined.empty:
        raise DataError(
            f"no {' and '.join(keys)} in common: {classifier[keys].values.tolist()} and "
            f"{steerability[keys].values.tolist()}"
        )
    return joined


def _random_band(
    scores: Float[np.ndarray, "samples directions"], labels: Bool[np.ndarray, " samples"], confidence: float
) -> tuple[float, float]:
    """Between which AUCs that share of random directions lies."""
    n_positive = int(labels.sum())
    ranks = rankdata(scores, axis=0)[labels].sum(0)
    areas = (ranks - n_positive * (n_positive + 1) / 2) / (n_positive * (len(labels) - n_positive))
    # A direction and its opposite are equally likely, so the band is even about one half.
    half = float(np.quantile(np.abs(areas - 0.5), confidence))
    return 0.5 - half, 0.5 + half
