"""The report on a vector's reliability: numbers, words, a table and a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from tlsteer._dataset_files import read_dataset, write_dataset
from tlsteer._results import Result
from tlsteer.errors import DataError
from tlsteer.evaluate._verdict import Control, Effect, effect_of, verdict
from tlsteer.stats import Estimate

_MEASURES = ("steerability", "anti_steerable_fraction", "spread", "monotonicity", "fit", "saturation")
_MANY = ("difference from control", "variance_explained", "diagnostics")


@dataclass(frozen=True, eq=False, repr=False)
class ReliabilityReport(Result):
    """What `reliability` found. Slopes are in the curve's units for each unit of multiplier.

    Attributes:
        curve: the propensities, dims sample and multiplier.
        per_sample: the slope of each sample's least-squares line, with the samples' factors.
        steerability: mean slope, which is the slope of the mean curve.
        anti_steerable_fraction: share of samples with a negative slope.
        spread: standard deviation of the slopes over samples.
        variance_explained: share of the slopes' variance by factor, "interaction" and "unexplained".
        monotonicity: mean rank correlation of a sample's propensity with the multiplier.
        fit: mean R2 of the samples' lines.
        saturation: how much of the mean curve's slope its outer half loses (see `stats.saturation`).
        mean_curve: columns curve ("vector", or a control's name), multiplier, value, low, high, n.
        controls: by name.
        diagnostics: of the fit, by name.

    >>> report = reliability(propensity(model, vector, choices, [-1, 0, 1]))
    >>> report.steerability.n, report.verdict
    """

    curve: xr.DataArray
    per_sample: xr.DataArray
    steerability: Estimate
    anti_steerable_fraction: Estimate
    spread: Estimate
    variance_explained: dict[str, Estimate]
    monotonicity: Estimate
    fit: Estimate
    saturation: Estimate
    mean_curve: pd.DataFrame
    controls: dict[str, Control]
    diagnostics: dict[str, Estimate]

    _picture = "plot_propensity"
    _next = ".verdict says all that was found; .per_sample has the slope of each input."

    @property
    def headline(self) -> str:
        """The verdict's first line."""
        return self.verdict.partition("\n")[0]

    @property
    def effect(self) -> Effect:
        """Whether the vector steers beyond its controls: "steers", "steers backwards", "not shown" or "undecided".

        At the 5% level over random vectors, in both directions together, where there are 19 of them or more; with
        fewer controls an effect is "undecided".
        """
        return effect_of(self.steerability, self.controls)

    @property
    def verdict(self) -> str:
        """What the numbers say, in words with their evidence; one line per finding."""
        return verdict(
            self.steerability,
            self.per_sample.values,
            self.controls,
            self.variance_explained,
            fit=self.fit,
            lost=self.saturation,
        )

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each estimate: measure, part, value, low, high, n."""
        rows = [{"measure": measure, "part": part} | asdict(one) for measure, part, one in self._estimates()]
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        attributes, coordinates = self.curve.attrs, self.curve.coords
        about = [f"{name} {attributes[name]}" for name in ("model", "measure") if name in attributes]
        about += [f"{name} {one.item()}" for name, one in sorted(coordinates.items()) if one.ndim == 0]
        n_samples = self.curve.sizes["sample"]
        n_questions = len(set(coordinates["question"].values)) if "question" in coordinates else n_samples
        names = [f"{measure.replace('_', ' ')}{part and f', {part}'}" for measure, part, _ in self._estimates()]
        width = max(map(len, names))
        numbers = [f"{name:<{width}}  {one}" for name, (_, _, one) in zip(names, self._estimates(), strict=True)]
        heading = f"Reliability of a steering vector on {n_samples} samples of {n_questions} questions"
        over = "questions" if "question" in coordinates else "samples"
        slopes = f"slopes in {attributes.get('units', 'units')} per unit of multiplier"
        legend = f"value [interval over {over}, for this vector] (n); {slopes}"
        return "\n".join([heading, ", ".join(about), "", self.verdict, "", *numbers, "", legend])

    __repr__ = __str__

    def save(self, path: str | Path) -> Path:
        """Writes everything as one netCDF file, whole or not at all."""
        parts = {f"{measure}/{part}": asdict(one) for measure, part, one in self._estimates()}
        slopes = {name: control.slopes for name, control in self.controls.items()}
        average = self.mean_curve.to_dict("list")
        about = json.dumps({"estimates": parts, "controls": slopes, "mean_curve": average, "name": self.curve.name})
        data = xr.Dataset({"curve": self.curve, "per_sample": self.per_sample}, attrs={"report": about})
        return write_dataset(data, path)

    @classmethod
    def load(cls, path: str | Path) -> ReliabilityReport:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is not a report.
        """
        data = read_dataset(path, "a report")
        try:
            about = json.loads(data.attrs["report"])
            average = pd.DataFrame(about["mean_curve"])
            curve, slopes = data["curve"].rename(about["name"]), data["per_sample"].rename("slope")
            return cls(curve, slopes, **_fields(about), mean_curve=average)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{str(path)!r} does not hold a report saved by tlsteer ({error})") from None

    def _estimates(self) -> Iterator[tuple[str, str, Estimate]]:
        for measure in _MEASURES:
            yield measure, "", getattr(self, measure)
        for name, control in self.controls.items():
            yield "difference from control", name, control.difference
        for part, share in self.variance_explained.items():
            yield "variance_explained", part, share
        for name, one in self.diagnostics.items():
            yield "diagnostics", name, one


def _fields(about: dict[str, Any]) -> dict[str, Any]:
    """The estimates of a saved report as its fields."""
    found: dict[str, dict[str, Estimate]] = {measure: {} for measure in (*_MEASURES, *_MANY)}
    for name, one in about["estimates"].items():
        measure, _, part = name.partition("/")
        found[measure][part] = Estimate(**one)
    differences = found.pop("difference from control")
    controls = {name: Control(tuple(slopes), differences[name]) for name, slopes in about["controls"].items()}
    return {name: parts[""] if name in _MEASURES else parts for name, parts in found.items()} | {"controls": controls}
