"""The layer and multiplier with the largest effect within a side-effect budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped
from typing_extensions import Unpack

from tlsteer._arguments import Whole, checked
from tlsteer._keywords import Estimating, EstimatingSettings, settled
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.analyse._calibration.calibration import Calibration, point_of
from tlsteer.analyse._calibration.calibration_points import (
    curve_of,
    measure_costs,
    measure_effects,
    with_random,
)
from tlsteer.data import Choice
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import DataError
from tlsteer.evaluate._propensity import UNITS, Measure, propensity
from tlsteer.evaluate._vector_grid import VectorGrid, Vectors
from tlsteer.positions import Positions
from tlsteer.stats import estimate_columns, mean
from tlsteer.tokens import encode_prompts
from tlsteer.vectors import SteeringVector

# The outcome of each input under a vector at a multiplier, always of the same inputs in the same order.
Outcomes = Callable[[SteeringVector, float], Iterable[float]]


@checked
def calibrate(
    model: Model,
    vectors: Vectors,
    choices: Sequence[Choice] | Outcomes,
    neutral_texts: Sequence[PromptLike],
    max_kl: float = 1.0,
    *,
    direction: Literal[1, -1] = 1,
    measure: Measure = "logit_difference",
    positions: Positions = "all",
    limits: tuple[float, float] = (1 / 64, 256.0),
    n_random: Whole = 3,
    held_out: float = 0.5,
    **estimating: Unpack[EstimatingSettings],
) -> Calibration:
    """The vector, layer and multiplier that move the answers furthest within a budget of side effects.

    The side effect is KL(unsteered || steered) on neutral text (see `side_effects`): 95% of the tokens stay within
    `max_kl` nats. For each vector and layer the largest multiplier within the budget is found by bracketing and by
    narrowing the bracket; smaller multipliers are looked at too, because effects can turn back. The effect is the
    mean of steered minus unsteered outcomes, times `direction`. Every point that was measured is kept.

    The largest of many effects is too large by chance where it is measured on the inputs that chose it. So a part of
    the questions chooses the point, and effects are reported on the rest. The multiplier is fitted to the budget on
    all neutral texts: the interval of `best.kl` says how well it is known to be met.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one vector; a list, one per layer; or either by name, to compare methods at equal side effect.
        choices: questions, whose propensity is the outcome; or a function of a vector and a multiplier that gives
            an outcome for each of its inputs, such as whether an attack succeeds.
        neutral_texts: texts that have nothing to do with the behaviour.
        max_kl: the budget in nats.
        direction: -1 to steer away from the behaviour, with negative multipliers.
        measure: of the propensity.
        positions: where vectors are applied, in the questions and in the neutral texts.
        limits: the smallest and the largest absolute multiplier to look at.
        n_random: random directions at each layer, of the first vector's norm there, calibrated in the same way;
            none stand in for affine maps, which have no norm.
        held_out: share of the questions (or inputs) that effects are reported on; 0 chooses and reports on all.
        estimating: seed (0) of the random directions, of the split and of the resamples, n_resamples (1000) by question
            and by neutral text, confidence (0.95) of the intervals, batch_size (32), progress, and run_dir, a folder to
            keep what is measured in, but for a function's outcomes.

    Raises:
        DataError: a budget or limits that are not positive, no texts, too few questions to hold some out, or a setting
            that there is not.
        VectorError: vectors of another model, or lists with different layers.
        PositionError: positions that select nothing in a question, or no token of a text that has another after it.

    >>> found = calibrate(model, {"caa": by_layer, "one-shot": fits}, choices, neutral, max_kl=1.0, n_random=1)
    >>> found.best.layer, found.best.multiplier, found.best.effect
    """
    how = settled(Estimating(), estimating, EstimatingSettings)
    surface = Surface(model)
    if not max_kl > 0 or not 0 < limits[0] < limits[1]:
        raise DataError(f"the budget and the limits have to be above 0; got max_kl={max_kl} and limits={limits}")
    if not 0 <= held_out < 1:
        raise DataError(f"held_out={held_out} has to be a share below 1, such as 0.5")
    candidates = with_random(VectorGrid.of(vectors, surface), surface, n_random, how.seed)

    def outcomes(vector: SteeringVector, multipliers: list[float]) -> Float[np.ndarray, "multiplier input"]:
        if callable(choices):
            return _table([choices(vector, multiplier) for multiplier in multipliers])
        curve = propensity(
            model, vector, choices, multipliers, measure=measure, positions=positions,
            batch_size=how.batch_size, progress=False, run_dir=how.run_dir,
        )  # fmt: skip
        return curve.transpose("multiplier", "sample").values

    # What cannot be measured at all is refused before the search.
    n_inputs = outcomes(candidates[0].vector, [0.0]).shape[1]
    questions = np.arange(n_inputs) if callable(choices) else np.array([choice.id for choice in choices])
    reported = _reported(questions, held_out, how.seed)
    rows = encode_prompts(surface, neutral_texts)
    costs = measure_costs(surface, candidates, rows, max_kl, limits, direction, positions, how)

    moved = measure_effects(candidates, costs, outcomes, direction, how.progress)
    curve = curve_of(candidates, costs, direction, max_kl)
    curve["choosing_effect"] = moved[:, ~reported if held_out else reported].mean(1)
    effects = [mean(one[reported], questions[reported], **how.intervals) for one in moved]
    curve = curve.join(pd.DataFrame([estimate_columns({"effect": one}) for one in effects]))
    best, random = (_largest(curve.loc[curve["baseline"] == is_random]) for is_random in (False, True))
    difference = None
    if best is not None and random is not None:
        difference = mean((moved[best] - moved[random])[reported], questions[reported], **how.intervals)
    about = {
        "model": surface.name,
        "fingerprint": surface.fingerprint,
        "effect": "outcome" if callable(choices) else measure,
        "units": "" if callable(choices) or UNITS[measure] == "1" else UNITS[measure],
        "direction": direction,
        "positions": repr(positions),
        "n_texts": len(rows),
        "held_out": held_out,
        "confidence": how.confidence,
        "seed": how.seed,
        "version": __version__,
    }
    control = point_of(curve, random) if curve["baseline"].any() else None
    return Calibration(point_of(curve, best), control, difference, curve, float(max_kl), about)


def _reported(questions: Shaped[np.ndarray, " inputs"], held_out: float, seed: int) -> Bool[np.ndarray, " inputs"]:
    """Which inputs effects are reported on; all forms of one question are on the same side."""
    labels, question = np.unique(questions, return_inverse=True)
    n_reported = round(held_out * len(labels)) if held_out else len(labels)
    if not 0 < n_reported <= len(labels) or (held_out and n_reported == len(labels)):
        raise DataError(
            f"{len(labels)} questions are too few to hold {held_out:.0%} of them out; give more, or held_out=0"
        )
    return np.random.default_rng(seed).permutation(len(labels))[question] < n_reported


def _table(outcomes: Sequence[Iterable[float]]) -> Float[np.ndarray, "multiplier input"]:
    rows = [[float(value) for value in one] for one in outcomes]
    if len(sizes := {len(row) for row in rows}) > 1 or not min(sizes):
        raise DataError(f"outcomes have to be of the same inputs every time, got {sorted(sizes)} of them")
    return np.array(rows)


def _largest(curve: pd.DataFrame) -> int | None:
    """The row within the budget with the largest effect on the inputs kept for choosing."""
    effects = curve.loc[curve["within"], "choosing_effect"].dropna()
    return None if effects.empty else int(effects.idxmax())
