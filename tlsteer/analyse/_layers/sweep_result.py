"""The result of a layer sweep: what was measured at every site, and which site is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from einops import rearrange
from jaxtyping import Bool, Int

from tlsteer._dataset_files import load_dataset, save_dataset
from tlsteer._results import Result
from tlsteer._storage import inside
from tlsteer.errors import DataError
from tlsteer.stats import Estimate, clustered_rate, estimate_columns, fit_lines, mean
from tlsteer.stats._estimates import undefined
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector

Quantity = Literal["value", "slope"]
_KIND = "a layer sweep"
# What means are over: samples, and the same fit made again.
_FITS = ("example", "seed")
_POOLED = (*_FITS, "draw", "sample")


@dataclass(frozen=True)
class Best:
    """The cell of a sweep with the largest (or smallest) mean.

    Attributes:
        at: its labels: layer, stage, multiplier and whatever else the sweep ran over.
        vectors: the vectors there, one for each example and seed.
        estimate: the mean there.
        random: the mean of random vectors of equal norm there; low and high are the lowest and the highest mean of
            one of them, n is how many they are.
        unsteered: the mean of the unsteered model; undefined for a slope.
        n_cells: how many cells it was chosen from.
        held_out: whether it was chosen on half of the questions and the numbers are of the other half. Where not,
            chance flatters the best of many.

    >>> best = sweep_layers(model, pairs, choices, [2, 3], multipliers=[-1, 0, 1]).best()
    >>> best.at["layer"] in (2, 3), best.held_out
    (True, True)
    """

    at: dict[str, Any]
    vectors: list[SteeringVector]
    estimate: Estimate
    random: Estimate
    unsteered: Estimate
    n_cells: int
    held_out: bool

    def __str__(self) -> str:
        text = f"{', '.join(f'{name} {label}' for name, label in self.at.items())}: {self.estimate}"
        if self.unsteered.n:
            text += f", unsteered {self.unsteered}"
        if self.random.n:
            low, high = self.random.low, self.random.high
            text += f", random {self.random.value:.2f} ({low:.2f} to {high:.2f} over {self.random.n} vectors)"
        on = "other questions than it was chosen on" if self.held_out else "what it was chosen on"
        return f"{text}; best of {self.n_cells} cells, measured on {on}"


@dataclass(frozen=True, eq=False, repr=False)
class LayerSweep(Result):
    """A measure at every site, multiplier and sample.

    Attributes:
        data: dims layer, multiplier and sample; before them vector, example and seed, and after layer stage, where
            there are several. NaN is what was not measured or is undefined, as where a fit finds nothing.
        random: the same under random vectors of equal norm, with the dim draw in front.
        unsteered: the measure of each sample without steering.
        vectors: the vector of each site, an array of SteeringVector, None where there is none.

    >>> sweep = sweep_layers(model, pairs, choices, [2, 3], multipliers=[-1, 0, 1])
    >>> sweep.data.sizes["layer"], sweep.unsteered.sizes["sample"]
    (2, 16)
    """

    data: xr.DataArray
    random: xr.DataArray
    unsteered: xr.DataArray
    vectors: xr.DataArray

    _picture = "plot_sweep"
    _next = ".best() has the vectors of the best cell; .table('slope') the steerability of each."

    @property
    def headline(self) -> str:
        """The best cell."""
        return f"Best {self.data.name} at {self.best()}." if self.data.notnull().any() else "Nothing is defined."

    def to_dataframe(self) -> pd.DataFrame:
        """See `table`."""
        return self.table()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {size}" for name, size in self.data.sizes.items())
        best = self.best() if self.data.notnull().any() else "none, for nothing is defined"
        return f"LayerSweep({self.data.name}; {sizes}; best at {best})"

    def table(self, of: Quantity = "value", *, each: bool = False, confidence: float = 0.95) -> pd.DataFrame:
        """A row for each site and multiplier.

        Args:
            of: "value", the mean of the measure; or "slope", of its slope over multipliers (steerability).
            each: a row for every example and seed too, rather than their mean.
            confidence: of the intervals, which are by question: samples of a question, and fits, go together.

        Returns:
            Columns for the axes; value, low, high and n; random, the mean of the random vectors there, random_low and
            random_high, the lowest and highest mean of one of them, and n_random, how many they are.
        """
        data, random = self._quantity(self.data, of), self._quantity(self.random, of)
        axes = [str(name) for name in data.dims if name not in _POOLED or (each and name in _FITS)]
        rows = []
        for labels in pd.MultiIndex.from_product([data[axis].values.tolist() for axis in axes]):
            at = dict(zip(axes, labels, strict=True))
            one, chance = self._mean(data.sel(at), of, confidence), _by_vector(random.sel(at))
            found = estimate_columns({"value": one}) | estimate_columns({"random": chance}, counts=False)
            rows.append(at | found | {"n_random": chance.n})
        return pd.DataFrame(rows)

    @property
    def is_share(self) -> bool:
        """Whether the measure is without a unit and between 0 and 1, as what a judge says or a probability."""
        values = self.data.values[np.isfinite(self.data.values)]
        return self.data.attrs.get("units") == "1" and bool(((values >= 0) & (values <= 1)).all())

    def unsteered_mean(self, confidence: float = 0.95) -> Estimate:
        """The mean of the unsteered model."""
        return self._mean(self.unsteered, "value", confidence)

    def best(self, of: Quantity = "value", *, largest: bool = True, confidence: float = 0.95, seed: int = 0) -> Best:
        """The site and multiplier with the best mean, chosen on half of the questions and measured on the others.

        Args:
            of: see `table`.
            largest: look for the largest mean, or else for the smallest.
            confidence: of the intervals.
            seed: of the halves.

        Raises:
            DataError: nothing in the sweep is defined.
        """
        data, random = self._quantity(self.data, of), self._quantity(self.random, of)
        axes = [str(name) for name in data.dims if name not in _POOLED]
        choose = self._half(seed)
        means = _some(data, choose).mean([name for name in data.dims if name in _POOLED])
        if not means.notnull().any():
            raise DataError(f"no mean of {self.data.name!r} is defined in this sweep, so none is the best")
        place = means.argmax(axes) if largest else means.argmin(axes)
        there = {axis: means[axis][place[axis]].item() for axis in axes}
        report = None if choose is None else ~choose
        vectors = self.vectors.sel({axis: label for axis, label in there.items() if axis != "multiplier"})
        stage = {"stage": data["stage"].item()} if "stage" in data.coords and "stage" not in axes else {}
        return Best(
            at=there | stage,
            vectors=[one for one in vectors.values.ravel() if isinstance(one, SteeringVector)],
            estimate=self._mean(data.sel(there), of, confidence, report),
            random=_by_vector(_some(random.sel(there), report)),
            unsteered=self._mean(self.unsteered, of, confidence, report) if of == "value" else undefined(0),
            n_cells=int(means.notnull().sum()),
            held_out=choose is not None,
        )

    def vector_set(self, vector: str | None = None, example: int | None = None, seed: int | None = None) -> VectorSet:
        """The vectors of all sites as one set.

        Args:
            vector: of which method, where there are several.
            example: likewise.
            seed: likewise.

        Raises:
            DataError: a label that there is not, or several fits at a site and no choice between them.

        >>> sweep = sweep_layers(model, pairs, choices, [2, 3], multipliers=[0, 1])
        >>> with steer(model, sweep.vector_set(), multiplier=0.2) as receipt:
        ...     logits = model("Hello")
        >>> [entry.site.layer for entry in receipt.entries]
        [2, 3]
        """
        given = {"vector": vector, "example": example, "seed": seed}
        labels = {name: label for name, label in given.items() if label is not None}
        for name, label in labels.items():
            known = self.vectors[name].values.tolist() if name in self.vectors.dims else []
            if label not in known:
                raise DataError(f"the sweep has no {name} {label!r}; it has {known or 'no such axis'}")
        chosen = self.vectors.sel(labels)
        if several := [str(name) for name in chosen.dims if name not in ("layer", "stage")]:
            raise DataError(f"there are several fits at a site; say which by {', '.join(several)}")
        return VectorSet(one for one in chosen.values.ravel() if isinstance(one, SteeringVector))

    def renamed(self, dim: str, to: str, labels: Sequence[Any]) -> LayerSweep:
        """The same sweep with an axis under another name and with other labels, added where it was left out."""
        arrays = {}
        for name in ("data", "random", "vectors"):
            array: xr.DataArray = getattr(self, name)
            array = array if dim in array.dims else array.expand_dims(dim)
            arrays[name] = array.drop_vars(dim, errors="ignore").rename({dim: to}).assign_coords({to: list(labels)})
        return replace(self, **arrays)

    def save(self, folder: str | Path) -> Path:
        """Writes sweep.nc and the vectors as safetensors files into a folder."""
        folder = Path(folder)
        for number, vector in enumerate(self.vectors.values.ravel()):
            if isinstance(vector, SteeringVector):
                vector.save(folder / "vectors" / f"{number}.safetensors")
        whole = xr.Dataset({"data": self.data, "random": self.random, "unsteered": self.unsteered})
        # Written last: where it stands, the vectors do.
        save_dataset(whole.assign_attrs(measure=str(self.data.name)), _KIND, folder / "sweep.nc")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> LayerSweep:
        """Reads what `save` wrote.

        Raises:
            DataError: no such folder, or damaged or other files in it.
            VectorError: damaged vectors.
        """
        folder = Path(folder)
        whole = load_dataset(inside(folder, "sweep.nc"), _KIND)
        data, random, unsteered = (whole[one].rename(whole.attrs["measure"]) for one in ("data", "random", "unsteered"))
        sites = data.isel({name: 0 for name in ("multiplier", "sample") if name in data.dims}, drop=True)
        files = [inside(folder, f"vectors/{number}.safetensors") for number in range(sites.size)]
        vectors = np.empty(sites.size, dtype=object)
        vectors[:] = [SteeringVector.load(file) if file.exists() else None for file in files]
        coords = {name: one for name, one in sites.coords.items() if name != "draw"}
        unsteered = unsteered.drop_vars("stage", errors="ignore")  # a label of the others, which a dataset shares
        return cls(data, random, unsteered, xr.DataArray(vectors.reshape(sites.shape), coords, sites.dims))

    def _quantity(self, array: xr.DataArray, of: Quantity) -> xr.DataArray:
        if of == "value":
            return array
        if of != "slope":
            raise DataError(f'of={of!r} is unknown; use "value" or "slope"')
        array = array.transpose(..., "multiplier")
        curves = rearrange(array.values, "... multiplier -> (...) multiplier")
        slopes = fit_lines(array.multiplier.values.astype(float), curves).slope
        return array.isel(multiplier=0, drop=True).copy(data=slopes.reshape(array.shape[:-1]))

    def _questions(self) -> Int[np.ndarray, " samples"]:
        """The number of the question that each sample is about."""
        if "question" not in self.unsteered.coords:
            return np.arange(self.unsteered.size)
        return np.unique(self.unsteered["question"].values, return_inverse=True)[1]

    def _half(self, seed: int) -> Bool[np.ndarray, " samples"] | None:
        """The samples of a random half of the questions; None where they are too few for two halves."""
        questions = self._questions()
        n_questions = questions.max() + 1
        if n_questions < 4:
            return None
        half = np.random.default_rng(seed).permutation(n_questions)[: n_questions // 2]
        return np.isin(questions, half)

    def _mean(self, array: xr.DataArray, of: Quantity, confidence: float, chosen: np.ndarray | None = None) -> Estimate:
        """The mean of a part of the sweep over fits and samples, all of them or those chosen."""
        array = array if "sample" in array.dims else array.expand_dims("sample")
        values = _some(array, chosen).transpose(..., "sample").values
        known = np.isfinite(values)
        questions = self._questions() if chosen is None else self._questions()[chosen]
        clusters = np.broadcast_to(questions, values.shape)[known]
        if of == "value" and self.is_share and np.isin(values[known], (0, 1)).all():
            return clustered_rate(values[known] == 1, clusters, confidence)
        return mean(values[known], clusters, confidence=confidence, n_resamples=1000)


def _some(array: xr.DataArray, chosen: np.ndarray | None) -> xr.DataArray:
    return array if chosen is None else array.isel(sample=np.flatnonzero(chosen))


def _by_vector(random: xr.DataArray) -> Estimate:
    """The mean of random vectors with the range of single ones: chance is between directions, not between samples."""
    means = random.mean("sample") if "sample" in random.dims else random
    known = means.values[np.isfinite(means.values)]
    return Estimate(known.mean(), known.min(), known.max(), known.size) if known.size else undefined(0)
