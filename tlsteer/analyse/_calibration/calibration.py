"""What a calibration found: every point, and the best within the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tlsteer._json_files import read_json, write_json
from tlsteer._results import Result
from tlsteer.errors import DataError
from tlsteer.stats import Estimate, estimate_from


@dataclass(frozen=True)
class CalibratedPoint:
    """A vector at a layer and multiplier.

    Attributes:
        vector: its name; empty where nothing meets the budget.
        layer: of its site; -1 where nothing meets the budget.
        multiplier: NaN where nothing meets the budget.
        effect: how far it moves the held-out inputs, in the intended direction.
        kl: the KL that 95% of the neutral texts' tokens do not exceed, in nats.

    >>> point = calibrate(model, vector, choices, neutral, max_kl=0.5, n_random=1).best
    >>> point.layer, point.kl.value <= 0.5
    (4, True)
    """

    vector: str
    layer: int
    multiplier: float
    effect: Estimate
    kl: Estimate


@dataclass(frozen=True, eq=False)
class Calibration(Result):
    """The largest effect within a side-effect budget, and the whole curve of effect against side effect.

    Attributes:
        best: the point within the budget with the largest effect on the inputs kept for choosing.
        random: the same among random directions: what the budget buys without any fit. None where none were run.
        difference: the effect of `best` minus that of `random`, input by input. None where there are none.
        curve: a row for each point that was measured: `vector`, `layer`, `multiplier`, `baseline` (a random
            direction), `within` (the budget), `choosing_effect` (mean on the inputs kept for choosing), then
            `effect`, `kl_p95` and `kl` (mean), each with `_low`, `_high`, `_n`. `effect` is on the held-out inputs.
        max_kl: the budget, in nats.
        settings: what was run.

    >>> found = calibrate(model, vector, choices, neutral, n_random=1)
    >>> found.max_kl, found.plot()
    """

    best: CalibratedPoint
    random: CalibratedPoint | None
    difference: Estimate | None
    curve: pd.DataFrame
    max_kl: float
    settings: dict[str, Any]

    _picture = "plot_effect_against_side_effect"
    _next = ".best has the point that was chosen; .best_by('vector') compares vectors at equal side effect."

    @property
    def headline(self) -> str:
        """The point that was chosen, or that there is none."""
        return "; ".join(repr(self).split("\n")[1:3])

    def to_dataframe(self) -> pd.DataFrame:
        """Every point that was measured."""
        return self.curve

    def best_by(self, *axes: str) -> pd.DataFrame:
        """The point within the budget that is chosen for each vector, layer, or pair of both.

        This compares vectors, methods and layers at equal side effect. What has no point within has no row.

        >>> calibrate(model, by_layer, choices, neutral, n_random=0).best_by("layer")
        """
        within = self.curve[self.curve["within"] & self.curve["choosing_effect"].notna()]
        keys = list(axes) or ["vector"]
        if unknown := set(keys) - {"vector", "layer"}:
            raise DataError(f"best_by compares by vector, layer or both, not by {sorted(unknown)}")
        chosen = within.groupby(keys, sort=False)["choosing_effect"].idxmax()
        return within.loc[chosen].reset_index(drop=True)

    def __repr__(self) -> str:
        about = self.settings
        lines = [f"Calibration: the largest effect with 95% of neutral tokens within {self.max_kl:g} nats of KL"]
        if not self.best.vector:
            least = self.curve[~self.curve["baseline"]]["kl_p95"].min()
            return f"{lines[0]}\nNothing meets the budget: the smallest KL found is {least:.3g} nats (95th percentile)."
        lines += [_line("best", self.best, about["units"])]
        if self.best.effect.low <= 0:
            lines += ["It steers backwards." if self.best.effect.high < 0 else "No effect is shown."]
        if self.random is not None and self.difference is not None:
            known = "more than" if self.difference.low > 0 else "no more than"
            lines += [_line("random", self.random, about["units"])]
            lines += [f"It does {known} the random direction: difference {self.difference}."]
        held_out = (
            "inputs that did not choose the point" if about["held_out"] else "the inputs that chose it: optimistic"
        )
        lines += [f"Effects are on {held_out}."]
        if self.curve["vector"].nunique() > 1:
            columns = ["vector", "layer", "multiplier", "effect", "effect_low", "effect_high", "kl_p95"]
            lines += ["", self.best_by("vector")[columns].to_string(index=False, float_format="{:.3g}".format)]  # pyright: ignore
        return "\n".join(lines)

    def save(self, path: str | Path) -> Path:
        """Writes everything as one JSON file, whole or not at all."""
        content = {name: asdict(one) if one else None for name, one in self._parts()}
        content |= {"curve": self.curve.to_dict("list"), "max_kl": self.max_kl, "settings": self.settings}
        return write_json(path, {"calibration": content})

    def _parts(self) -> Sequence[tuple[str, CalibratedPoint | Estimate | None]]:
        return ("best", self.best), ("random", self.random), ("difference", self.difference)

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one of something else.
        """
        saved = read_json(path, "a Calibration saved by tlsteer")
        try:
            content = saved["calibration"]
            best, random, difference = (content.pop(name) for name in ("best", "random", "difference"))
            return cls(
                _point(best),
                random and _point(random),
                difference and Estimate(**difference),
                pd.DataFrame(content.pop("curve")),
                **content,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{str(path)!r} is not a calibration saved by tlsteer ({error})") from None


def _point(saved: dict[str, Any]) -> CalibratedPoint:
    effect, kl = (Estimate(**saved.pop(name)) for name in ("effect", "kl"))
    return CalibratedPoint(**saved, effect=effect, kl=kl)


def point_of(curve: pd.DataFrame, row: int | None) -> CalibratedPoint:
    """A row of a curve as a point; NaN for none."""
    if row is None:
        nothing = Estimate(np.nan, np.nan, np.nan, 0)
        return CalibratedPoint("", -1, np.nan, nothing, nothing)
    one = curve.loc[row]
    effect, kl = (estimate_from(one, name) for name in ("effect", "kl_p95"))
    return CalibratedPoint(str(one["vector"]), int(one["layer"]), float(one["multiplier"]), effect, kl)


def _line(name: str, point: CalibratedPoint, units: str) -> str:
    if not point.vector:
        return f"{name}: nothing meets the budget"
    effect, what = f"effect {_interval(point.effect)} {units}".strip(), f"{point.vector}, layer {point.layer}"
    kl = f"KL {_interval(point.kl)} nats (n={point.kl.n} tokens)"
    return f"{name}: {what}, multiplier {point.multiplier:.3g}: {effect} (n={point.effect.n}), {kl}"


def _interval(one: Estimate) -> str:
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"
