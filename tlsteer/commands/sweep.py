"""`tlsteer sweep`: a method at every layer, measured on other questions, as a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tlsteer.commands._options import (
    AcceptVersions,
    Device,
    Dtype,
    Measure,
    Model,
    Multipliers,
    NWorkers,
    PositionText,
    Seed,
    Workers,
    layers_of,
    positions_of,
)
from tlsteer.commands._running import Said, on_workers, rows_of, run_in, shows_bars


def sweep(
    data: Annotated[
        str,
        typer.Argument(
            help="A file (.jsonl, .json, .csv, .tsv, .parquet) of questions with a positive and a negative answer; for "
            "the embedded model also the name of a trait, e.g. power."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The run's folder; a run that was stopped is resumed.")],
    method: Annotated[
        Literal["diff_means", "mean_centred", "pca", "logistic", "lat"], typer.Option(help="How vectors are fitted.")
    ] = "diff_means",
    model: Model = "organism",
    layers: Annotated[str | None, typer.Option(help='The layers to sweep, "1:8" or "2,4,6"; all by default.')] = None,
    multiplier: Multipliers = None,
    measure: Measure = "logit_difference",
    positions: PositionText = "all",
    questions: Annotated[
        int | None, typer.Option(min=2, help="At most this many, drawn by the seed; 200 of a trait.")
    ] = None,
    n_random: Annotated[int, typer.Option(min=0, help="Random vectors of equal norm at each layer.")] = 3,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    workers: Workers = None,
    n_workers: NWorkers = None,
    accept_versions: AcceptVersions = False,
) -> Said:
    """Fit vectors at every layer on half of the questions, and measure each at every multiplier on the others.

    The folder gets the sweep (tlsteer.load reads it), the vectors, table.csv and a picture.

    \b
    Example:
      tlsteer sweep power --layers 1:8 --output runs/sweep
      tlsteer sweep questions.jsonl --model google/gemma-2-2b-it --method pca --output runs/gemma
    """
    where, chosen = positions_of(positions), layers_of(layers)

    from tlsteer.commands._sweep_run import sweep_run
    from tlsteer.evaluate._propensity import MULTIPLIERS

    with run_in(output, accept_versions), on_workers(workers, n_workers):
        found = sweep_run(
            data, output, method=method, model=model, layers=chosen, multipliers=multiplier or MULTIPLIERS,
            measure=measure, positions=where, questions=questions, n_random=n_random, seed=seed, device=device,
            dtype=dtype, progress=shows_bars(),
        )  # fmt: skip
    best = found.best("slope")
    text = (
        f"{found.headline}\nSteepest mean slope at {best}.\nWrote {output}: sweep.nc, vectors, table.csv, layers.png."
    )
    return Said(text, {"output": str(output), "table": rows_of(found.table()), "slopes": rows_of(found.table("slope"))})
