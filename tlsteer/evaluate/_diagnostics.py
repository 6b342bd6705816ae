"""Cheap signs, before any steering, of how reliably a contrastive vector will steer (arXiv 2505.22637)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tlsteer._arguments import Count, Seed, Share, checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.data import ContrastPair
from tlsteer.errors import DataError
from tlsteer.fit._contrastive import text_names
from tlsteer.measure import Residuals, measured
from tlsteer.positions import Positions, last
from tlsteer.stats import Estimate, bootstrap_interval, mean, weighted_mean
from tlsteer.stats._bootstrap import Weights
from tlsteer.tokens import encode_prompts
from tlsteer.vectors import SteeringVector

_LAST_TOKEN = last(1)


@checked
def diagnose(
    model: Model,
    vector: SteeringVector,
    pairs: Sequence[ContrastPair],
    positions: Positions = _LAST_TOKEN,
    *,
    confidence: Share = 0.95,
    batch_size: Count = 32,
    progress: bool = True,
    seed: Seed = 0,
) -> dict[str, Estimate]:
    """How much the pairs agree on a direction, and how far the vector separates their sides.

    `agreement` is the mean cosine of each pair's difference of residuals with the mean difference of the other
    pairs: 0 for pairs that have nothing in common. (The paper leaves a pair's own difference in the mean, which with
    few pairs shows agreement where there is none.) `separation` is the distance of the two sides' means along the
    vector in pooled standard deviations, d'.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vector: the vector, at whose site the residuals are read.
        pairs: those it was fitted on, or others.
        positions: as in the fit.
        confidence: of the intervals.
        batch_size: texts run at once.
        progress: show a bar where there are several batches.
        seed: of the bootstrap, by pairs.

    Raises:
        DataError: fewer than three pairs.

    >>> curve = propensity(model, vector, choices, [-1, 0, 1])
    >>> reliability(curve, diagnostics=diagnose(model, vector, pairs)).diagnostics
    """
    if len(pairs) < 3:
        raise DataError(f"diagnostics need at least three pairs, got {len(pairs)}")
    surface, n = Surface(model), len(pairs)
    site = vector.check(surface)
    texts = [pair.positive for pair in pairs] + [pair.negative for pair in pairs]
    names = text_names(n, len(texts))
    request = Residuals(encode_prompts(surface, texts, names=names), [site], positions, batch_size, names=names)
    both = next(measured(surface, request, progress=progress)).astype(float)
    difference = both[:n] - both[n:]
    others = (difference.sum(0) - difference) / (n - 1)
    lengths = np.linalg.norm(difference, axis=1) * np.linalg.norm(others, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (difference * others).sum(1) / lengths
    along = both @ vector.tensor.double().numpy()
    sides = np.stack([along[:n], along[n:]], axis=1)
    moments = weighted_mean(np.concatenate([sides, sides**2], axis=1))

    def separation(weights: Weights) -> np.ndarray:
        first, second = np.split(moments(weights), 2, axis=1)
        pooled = np.sqrt((second - first**2).clip(0).mean(1))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(pooled > 0, (first[:, 0] - first[:, 1]) / pooled, np.nan)

    low, high = bootstrap_interval(separation, np.arange(n), confidence=confidence, seed=seed)
    value = separation(np.ones((1, n)))[0]
    agreement = mean(cosines, confidence=confidence, seed=seed)
    return {"agreement": agreement, "separation": Estimate(float(value), float(low), float(high), n)}
