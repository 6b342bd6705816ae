"""`tlsteer sweep`: a run folder with the sweep, its vectors, its table and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tlsteer._keys import key_of
from tlsteer._storage import write_atomically
from tlsteer.analyse import LayerSweep, sweep_layers
from tlsteer.commands._run_parts import model_of, questions_of
from tlsteer.data import split_choices
from tlsteer.evaluate._many_datasets import check_slope
from tlsteer.plot import plot_sweep
from tlsteer.positions import Positions
from tlsteer.report._pictures import png_of
from tlsteer.runs import RunDirectory

Named = Literal["diff_means", "mean_centred", "pca", "logistic", "lat"]
_HALVES = (0.5, 0.0, 0.5)


def sweep_run(
    data: str,
    output: Path,
    *,
    method: Named,
    model: str,
    layers: Sequence[int] | None,
    multipliers: Sequence[float],
    positions: Positions,
    questions: int | None,
    n_random: int,
    seed: int,
    device: str | None,
    dtype: str,
    progress: bool,
    **measured: Any,
) -> LayerSweep:
    """Runs it, or resumes it.

    Args:
        data: a file of choices, or a trait of the embedded model.
        output: the run's folder.
        method: an estimator's name.
        model: see `load_model`.
        layers: all by default.
        multipliers: of the vectors.
        positions: where the vectors are applied.
        questions: at most this many.
        n_random: see `sweep_layers`.
        seed: of what is drawn.
        device: see `load_model`.
        dtype: see `load_model`.
        progress: show bars.
        measured: the measure.

    Raises:
        DataError: one multiplier, unreadable or too little data, or a folder of another run; before the model is
            loaded.
    """
    check_slope(multipliers)
    ((name, asked),) = questions_of([data], model, questions, seed).items()
    halves = split_choices(asked, seed, _HALVES)
    config = {
        "command": "sweep", "data": {name: {"n": len(asked), "hash": key_of(asked)}}, "method": method, "model": model,
        "layers": None if layers is None else list(layers), "multipliers": list(multipliers), **measured,
        "positions": repr(positions), "n_random": n_random, "seed": seed,
    }  # fmt: skip
    with RunDirectory(output, config) as run:
        loaded, _ = model_of(run, model, device, dtype)
        found = sweep_layers(
            loaded, halves.train, halves.test, "all" if layers is None else layers, multipliers=multipliers,
            fit_settings={"estimator": method}, positions=positions, n_random=n_random, run_dir=run.folder("work"),
            progress=progress, **measured,
        )  # fmt: skip
        found.save(run.path)
        write_atomically(run.path / "table.csv", found.table().to_csv(index=False).encode())
        write_atomically(run.path / "layers.png", png_of(plot_sweep(found, "slope")))
    return found
