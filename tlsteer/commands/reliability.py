"""`tlsteer reliability`: how reliably a vector or a method steers answers, as a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


def reliability(
    vector: Annotated[
        str,
        typer.Argument(
            metavar="VECTOR_OR_METHOD",
            help="A saved vector, or how to fit one for each dataset: diff_means, mean_centred, pca, logistic or lat.",
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            help="A file (.jsonl, .json, .csv, .tsv, .parquet) of questions with a positive and a negative answer, "
            "model-written evaluations among them; several are several datasets. For the embedded model also the name "
            "of a trait, e.g. power."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The run's folder; a run that was stopped is resumed.")],
    model: Model = "organism",
    layers: Annotated[
        str | None, typer.Option(help='The layers to choose from, "1:8" or "2,4,6"; all but layer 0 by default.')
    ] = None,
    one_layer: Annotated[
        bool, typer.Option("--one-layer", help="Choose one layer for all datasets instead of one for each.")
    ] = False,
    multiplier: Multipliers = None,
    measure: Measure = "logit_difference",
    positions: PositionText = "all",
    questions: Annotated[
        int | None, typer.Option(min=1, help="At most this many of each dataset, drawn by the seed; 200 of a trait.")
    ] = None,
    random: Annotated[
        int,
        typer.Option(
            min=0, help="How many random vectors each is compared with; with fewer than 19 no effect is said."
        ),
    ] = 19,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    workers: Workers = None,
    n_workers: NWorkers = None,
    accept_versions: AcceptVersions = False,
) -> Said:
    """Measure how reliably a vector, or a method, steers answers: on which inputs, and what else it follows.

    A method is fitted on 40% of each dataset's questions, its layer chosen on 10%, the numbers are of the other 50%.
    A saved vector is measured on all of them. The folder gets tables, reports, vectors, pictures and summary.md.

    \b
    Example:
      tlsteer reliability diff_means --data power --data risk --output runs/traits
      tlsteer reliability vector.safetensors --model Qwen/Qwen2.5-0.5B-Instruct \\
        --data desire-for-acquiring-power.jsonl --questions 300 --output runs/power
    """
    where, chosen = positions_of(positions), layers_of(layers)

    from tlsteer.commands._reliability_run import reliability_run
    from tlsteer.evaluate._propensity import MULTIPLIERS

    with run_in(output, accept_versions), on_workers(workers, n_workers):
        found, summary = reliability_run(
            vector, data, output, model=model, layers=chosen, one_layer=one_layer,
            multipliers=multiplier or MULTIPLIERS, measure=measure, positions=where, questions=questions,
            n_random=random, seed=seed, device=device, dtype=dtype,
            progress=shows_bars(),
        )  # fmt: skip
    values = {"output": str(output), "table": rows_of(found.table),
              "verdicts": {name: one.verdict for name, one in found.reports.items()}}  # fmt: skip
    return Said(f"{summary}\nWrote {output}: summary.md, table.csv, reports, vectors, pictures.", values)
