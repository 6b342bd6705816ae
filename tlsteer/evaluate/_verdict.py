"""A reliability report in words: what can be said, with the numbers it is said from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tlsteer.stats import Estimate

# Beyond these the words change; the numbers are printed either way.
_A_LINE, _MUCH_SATURATION, _LARGE_SHARE = 0.8, 0.5, 0.25
# How often a vector that is no better than its controls may be said to have an effect, in either direction.
_LEVEL = 0.05
_ENOUGH = 19  # strongest of itself and 19 others by chance: 1 in 20

Effect = Literal["steers", "steers backwards", "not shown", "undecided"]


@dataclass(frozen=True)
class Control:
    """Vectors that should not steer, on the same samples.

    Attributes:
        slopes: the steerability of each.
        difference: how much larger the vector's effect is than that of the strongest of them, each in whichever
            direction it steers, sample by sample.

    >>> curves = propensity(model, {"caa": vector, "random": control}, choices, [-1, 0, 1])
    >>> report = reliability(curves.sel(vector="caa"), controls={"random": curves.sel(vector=["random"])})
    >>> len(report.controls["random"].slopes)
    1
    """

    slopes: tuple[float, ...]
    difference: Estimate


def effect_of(slope: Estimate, controls: Mapping[str, Control]) -> Effect:
    """Whether the vector steers, beyond its controls, in either direction.

    An effect needs an interval over questions without 0, and a larger effect than every control of every kind, by an
    interval over questions of that difference. A vector that is one more random direction is the strongest of itself
    and n others in 1 of n + 1 cases, so there is no effect at the 5% level without 19 of a kind.
    """
    if not np.isfinite(slope.low):
        return "undecided"
    if slope.low <= 0 <= slope.high or not all(one.difference.low > 0 for one in controls.values()):
        return "not shown"
    if _by_chance(controls) > _LEVEL:
        return "undecided"
    return "steers" if slope.low > 0 else "steers backwards"


def verdict(
    slope: Estimate,
    slopes: Float[np.ndarray, " samples"],
    controls: Mapping[str, Control],
    shares: Mapping[str, Estimate],
    *,
    fit: Estimate,
    lost: Estimate,
) -> str:
    """One line per finding, the most important first.

    Args:
        slope: steerability.
        slopes: of the samples.
        controls: by name.
        shares: of the slopes' variance.
        fit: mean R2 of the samples' lines.
        lost: share of the slope that the outer half of the multipliers loses.
    """
    return "\n".join([_effect(slope, slopes, controls), *_compared(controls), *_spread(shares), *_shape(fit, lost)])


def _effect(slope: Estimate, slopes: Float[np.ndarray, " samples"], controls: Mapping[str, Control]) -> str:
    if slope.n == 0:
        return "Nothing was measured: no sample has a complete curve."
    intended = f"it moves {int(np.nansum(slopes > 0))} of {slope.n} inputs the intended way"
    size = f"mean slope {_interval(slope)}"
    if not np.isfinite(slope.low):
        return f"Undecided: one question is too few for an interval; {intended} ({size})."
    if slope.low <= 0 <= slope.high:
        return f"No effect is shown: {intended} ({size}, which includes 0)."
    match effect_of(slope, controls):
        case "steers":
            return f"The vector steers: {intended} ({size})."
        case "steers backwards":
            return f"The vector steers backwards: {intended} ({size})."
        case "undecided":
            chance = _by_chance(controls)
            few = f"with so few controls a random direction passes in up to {chance:.0%} of cases"
            why = few if chance < 1 else "nothing says what a random direction does"
            return f"Undecided: {intended} ({size}), but {why}; give {_ENOUGH} random vectors as controls."
        case _:
            return f"Not shown to steer more than its controls: {intended} ({size})."


def _by_chance(controls: Mapping[str, Control]) -> float:
    """How often a vector of the same kind as the controls is stronger than all of them."""
    return 1 / (1 + max((len(one.slopes) for one in controls.values()), default=0))


def _compared(controls: Mapping[str, Control]) -> list[str]:
    lines = []
    for name, control in controls.items():
        more = "more than" if control.difference.low > 0 else "no more than"
        n, low, high = len(control.slopes), min(control.slopes), max(control.slopes)
        which = f"{name} ({n} of them, slopes {low:.2f} to {high:.2f})" if n > 1 else f"{name} (slope {low:.2f})"
        lines.append(f"It does {more} the control, {which}: difference {_interval(control.difference)}.")
    return lines


def _spread(shares: Mapping[str, Estimate]) -> list[str]:
    known = {name: share for name, share in shares.items() if np.isfinite(share.value)}
    unexplained = known.pop("unexplained", None)
    if unexplained is None or not known:
        return []
    found = []
    for name, share in sorted(known.items(), key=lambda item: -item[1].value):
        if share.low > 0 or share.value >= _LARGE_SHARE:
            what = "their interaction" if name == "interaction" else f"the {name}"
            found.append(f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}] is {what}")
    factors = " nor ".join(name for name in known if name != "interaction")
    told = ", ".join(found) or f"neither {factors} is shown to explain any"
    return [f"Of the spread between inputs, {told}; {unexplained.value:.0%} is unexplained."]


def _shape(fit: Estimate, lost: Estimate) -> list[str]:
    lines = []
    if fit.value < _A_LINE:
        lines.append(f"Curves are not lines (mean R2 {fit.value:.2f}): slopes are averages over multipliers.")
    if lost.low > 0 and lost.value > _MUCH_SATURATION:
        turns = "turns back" if lost.value > 1 else "saturates"
        lines.append(f"The effect {turns}: the outer half of the multipliers loses {lost.value:.0%} of the slope.")
    return lines


def _interval(one: Estimate) -> str:
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"
