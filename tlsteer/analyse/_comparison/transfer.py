"""Whether a vector made for one task steers others: the transfer matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

from tlsteer._arguments import Count, Seed, Whole, checked
from tlsteer._dataset_files import load_dataset, save_dataset
from tlsteer._model_type import Model
from tlsteer._numbers import Number
from tlsteer._results import Result
from tlsteer.data import Choice
from tlsteer.errors import DataError, VectorError
from tlsteer.evaluate import propensity, reliability_table
from tlsteer.evaluate._propensity import MULTIPLIERS, Measure
from tlsteer.fit._controls import random_controls
from tlsteer.positions import Positions
from tlsteer.vectors import SteeringVector

_KIND = "a transfer matrix"
_COLUMNS = ("steerability", "steerability_low", "steerability_high", "anti_steerable", "n")


@dataclass(frozen=True, eq=False)
class TransferMatrix(Result):
    """What `transfer_matrix` found.

    Attributes:
        data: `steerability`, `steerability_low`, `steerability_high`, `anti_steerable` (share of samples) and `n`;
            dims vector and task; the rows of random vectors come last, marked by the coordinate `random`.

    >>> matrix = transfer_matrix(model, {"caa": vector}, {"power": choices, "risk": others}, [-1, 0, 1], n_random=1)
    >>> matrix.data, matrix.plot()
    """

    data: xr.Dataset

    _picture = "plot_transfer"
    _next = ".relative divides by the steerability of the task's own vector."

    @property
    def steerability(self) -> xr.DataArray:
        """Mean slope of propensity over the multiplier; dims vector and task."""
        return self.data["steerability"]

    @property
    def relative(self) -> xr.DataArray:
        """Steerability over that of the task's own vector; NaN where no vector has the task's name."""
        own = [
            float(self.steerability.sel(vector=task, task=task)) if task in self.data["vector"] else float("nan")
            for task in self.data["task"].values
        ]
        return self.steerability / xr.DataArray(own, {"task": self.data["task"]}, "task")

    def to_dataframe(self) -> pd.DataFrame:
        """A row for each vector and task."""
        return self.data.to_dataframe().reset_index()

    def __repr__(self) -> str:
        counts = "n by task: " + ", ".join(
            f"{task} {int(n)}" for task, n in zip(self.data["task"].values, self.data["n"].values[0], strict=True)
        )
        about = f"TransferMatrix: steerability ({self.data.attrs['units']} per unit of multiplier) [95% interval]"
        ends = [self.data[f"steerability{end}"].values for end in ("", "_low", "_high")]
        cells = [
            [f"{value:+.2f} [{low:+.2f}, {high:+.2f}]" for value, low, high in zip(*row, strict=True)]
            for row in zip(*ends, strict=True)
        ]
        table = pd.DataFrame(cells, self.data["vector"].values, list(self.data["task"].values))
        return "\n".join([about, table.to_string(), counts])

    def save(self, path: str | Path) -> Path:
        """Writes everything as one netCDF file, whole or not at all."""
        return save_dataset(self.data, _KIND, path)

    @classmethod
    def load(cls, path: str | Path) -> TransferMatrix:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is not a transfer matrix.
        """
        return cls(load_dataset(path, _KIND))


@checked
def transfer_matrix(
    model: Model,
    vectors: Mapping[str, SteeringVector],
    choices: Mapping[str, Sequence[Choice]],
    multipliers: Sequence[Number] = MULTIPLIERS,
    *,
    n_random: Whole = 3,
    measure: Measure = "logit_difference",
    positions: Positions = "all",
    batch_size: Count = 32,
    n_resamples: Count = 1000,
    progress: bool = True,
    run_dir: str | Path | None = None,
    seed: Seed = 0,
) -> TransferMatrix:
    """How far each vector steers each task's questions, alongside random vectors of the same norms.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: by the task they were made for.
        choices: questions by task.
        multipliers: of the vectors.
        n_random: random vectors, which take the norms and sites of the vectors in turn.
        measure: see `propensity`.
        positions: where the vectors are applied.
        batch_size: prompts run at once.
        n_resamples: of the intervals, by question.
        progress: show a bar.
        run_dir: a folder to keep what is done; an interrupted call is resumed from there.
        seed: of the random vectors and the intervals.

    Raises:
        DataError: no tasks, or one without choices.
        VectorError: no vectors, vectors of another model, or one named as the random ones are.

    >>> transfer_matrix(model, {"caa": vector}, {"power": choices, "risk": others}, [-1, 0, 1], n_random=1)
    """
    if not choices or not all(choices.values()):
        raise DataError(f"give at least one task, each with choices; got { ({t: len(c) for t, c in choices.items()}) }")
    if not vectors:
        raise VectorError("give at least one vector, by name")
    controls = random_controls(vectors, n_random, seed)
    every, tables, units = {**vectors, **controls}, [], ""
    for asked in choices.values():
        curves = propensity(
            model, every, asked, multipliers, measure=measure, positions=positions, batch_size=batch_size,
            progress=progress, run_dir=run_dir,
        )  # fmt: skip
        units = str(curves.attrs["units"])
        tables.append(reliability_table(curves, n_resamples=n_resamples, seed=seed).set_index("vector"))
    joined = xr.concat([table[list(_COLUMNS)].to_xarray() for table in tables], pd.Index(choices, name="task"))
    random = [int(name in controls) for name in every]
    data = joined.sel(vector=list(every)).transpose("vector", "task").assign_coords(random=("vector", random))
    return TransferMatrix(data.assign_attrs(units=units))
