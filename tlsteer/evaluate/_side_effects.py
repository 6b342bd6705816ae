"""What steering costs elsewhere: on neutral text, in how generations read, on unrelated questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from einops import rearrange, repeat
from typing_extensions import Unpack

from tlsteer._arguments import Count, checked
from tlsteer._dataset_files import load_dataset, save_dataset
from tlsteer._keywords import Estimating, EstimatingSettings, settled
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._store import Store
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.data import Choice
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import DataError
from tlsteer.evaluate._naturalness import repetition
from tlsteer.evaluate._propensity import MULTIPLIERS, propensity
from tlsteer.evaluate._token_estimates import token_estimates
from tlsteer.evaluate._vector_grid import VectorGrid, Vectors
from tlsteer.measure import Divergences, Texts, Written, measured
from tlsteer.positions import Positions
from tlsteer.stats import Estimate, clustered_rate, estimate_columns, mean
from tlsteer.steering import Intervention
from tlsteer.tokens import encode_prompts

_KIND = "side effects"
UNITS = {"kl": "nats per token", "kl_p95": "nats per token", "perplexity": "1", "repetition": "1", "accuracy": "1"}


@checked
def side_effects(
    model: Model,
    vectors: Vectors,
    neutral_texts: Sequence[PromptLike],
    multipliers: Sequence[Number] = MULTIPLIERS,
    *,
    positions: Positions = "all",
    choices: Sequence[Choice] | None = None,
    prompts: Sequence[PromptLike] | None = None,
    max_new_tokens: Count = 40,
    engine: Literal["auto", "plain"] = "auto",
    **estimating: Unpack[EstimatingSettings],
) -> xr.Dataset:
    """What vectors change that they should not, at each multiplier.

    | measure | of | interval by |
    |---|---|---|
    | `kl` | KL(unsteered or steered next-token distribution), mean over the tokens of neutral texts, nats | text |
    | `kl_p95` | the KL that 95% of these tokens do not exceed | text |
    | `perplexity` | the neutral texts under the steered model | text |
    | `repetition` | share of a greedy continuation's 4-grams that occurred in it before (arXiv 1908.04319) | prompt |
    | `accuracy` | share of unrelated choices whose positive answer is the likelier | question |

    The divergence is KL(unsteered || steered): how many more nats per token the steered model is surprised by what the
    unsteered one would have said. It weighs what the model was able to say and is no longer, has the units and the
    sign of the rise in perplexity, and is the direction of arXiv 2406.11717.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one vector; a list, one per layer; or either by name.
        neutral_texts: texts that have nothing to do with the behaviour, best some the model finds likely.
        multipliers: of the vectors; 0, the unsteered model, is always measured too.
        positions: where vectors are applied. A neutral text is one completion to "completion", one prompt to all
            others; its tokens count from the first steered one on, as far as the next token is known.
        choices: questions with their right answer as the positive one, for `accuracy`.
        prompts: texts to continue, for `repetition`.
        max_new_tokens: of the continuations.
        engine: "auto" runs a vector from its own layer on, where the model can be cut; "plain" never does.
        estimating: confidence (0.95), n_resamples (1000) and seed (0) of the intervals, batch_size (32), progress, and
            run_dir, a folder to keep what is done; an interrupted call is resumed from there.

    Returns:
        Dims vector (where given by name), layer (where lists were given) and multiplier. Each measure is an array of
        its name, with its ends and count as `_low`, `_high` and `_n`, so `to_dataframe()` is the table.

    Raises:
        DataError: no texts, multipliers given twice, or a setting that there is not.
        VectorError: vectors of another model, or lists with different layers.
        PositionError: positions that select no token of a text that has another after it.

    >>> cost = side_effects(model, {"caa": vector, "random": control}, neutral, [0, 1, 2, 4])
    >>> cost.kl_p95.sel(vector="caa", multiplier=0).item()
    0.0
    """
    how = settled(Estimating(), estimating, EstimatingSettings)
    surface = Surface(model)
    given = finite_numbers(multipliers, "multipliers")
    if len(set(given)) < len(given):
        raise DataError(f"give each multiplier once, got {given}")
    strengths = sorted({0.0, *given})
    grid = VectorGrid.of(vectors, surface)
    rows = encode_prompts(surface, neutral_texts)
    store = Store(how.run_dir)
    jobs = [(vector, strengths) for vector in grid.flat]
    divergences = Divergences(rows, jobs, positions, how.batch_size, engine=engine)
    effects = measured(surface, divergences, store, progress=how.progress)
    found = [token_estimates(one, **how.intervals) for one in effects]
    if prompts:
        # Every multiplier of every prompt is a row of one run.
        by_row = repeat(np.array(strengths), "multiplier -> (multiplier prompt)", prompt=len(prompts)).tolist()
        ways = [Written([Intervention(vector, by_row, positions)], len(strengths)) for vector in grid.flat]
        # Prompts of ids, so that what is written is ids: the text of half a character would give others.
        texts = Texts(encode_prompts(surface, prompts), ways, max_new_tokens, batch_size=how.batch_size)
        for cell, written in zip(found, measured(surface, texts, store, progress=how.progress), strict=True):
            repeated = np.array([repetition(ids) for ids in written])
            by_multiplier = rearrange(repeated, "(multiplier prompt) -> multiplier prompt", prompt=len(prompts))
            cell["repetition"] = [mean(one, **how.intervals) for one in by_multiplier]
    if choices:
        right = propensity(
            model, vectors, choices, strengths, measure="accuracy", positions=positions,
            batch_size=how.batch_size, progress=how.progress, run_dir=how.run_dir,
        )  # fmt: skip
        table = right.transpose(..., "multiplier", "sample").values
        table = rearrange(table, "... multiplier sample -> (...) multiplier sample")
        questions = right["question"].values
        for cell, curves in zip(found, table, strict=True):
            cell["accuracy"] = [clustered_rate(one > 0.5, questions, how.confidence) for one in curves]
    about = {
        "model": surface.name,
        "fingerprint": surface.fingerprint,
        "positions": repr(positions),
        "divergence": "KL(unsteered || steered)",
        "n_texts": len(rows),
        "confidence": how.confidence,
        "sites": ", ".join(dict.fromkeys(str(vector.site) for vector in grid.flat)),
        "version": __version__,
    }
    return _dataset(found, grid, strengths).assign_attrs(about)


@checked
def save_side_effects(effects: xr.Dataset, path: str | Path) -> Path:
    """Writes what `side_effects` found as netCDF, whole or not at all.

    >>> save_side_effects(side_effects(model, vector, neutral, [0, 1]), "effects.nc").name
    'effects.nc'
    """
    return save_dataset(effects, _KIND, path)


@checked
def load_side_effects(path: str | Path) -> xr.Dataset:
    """Reads what `save_side_effects` wrote.

    Raises:
        DataError: no such file, or one of something else.

    >>> effects = load_side_effects(save_side_effects(side_effects(model, vector, neutral, [0, 1]), "effects.nc"))
    >>> effects.kl_p95.sel(multiplier=0).item()
    0.0
    """
    return load_dataset(path, _KIND)


def _dataset(cells: Sequence[dict[str, list[Estimate]]], grid: VectorGrid, multipliers: Sequence[float]) -> xr.Dataset:
    dims = ("vector", "layer", "multiplier")
    sizes = {"vector": len(grid.rows), "multiplier": len(multipliers)}
    arrays: dict[str, Any] = {}
    for measure in cells[0]:
        columns = pd.DataFrame([estimate_columns({measure: one}) for cell in cells for one in cell[measure]])
        for name, values in columns.items():
            units = {"units": "1" if str(name).endswith("_n") else UNITS[measure]}
            cube = rearrange(values.to_numpy(), "(vector layer multiplier) -> vector layer multiplier", **sizes)
            arrays[str(name)] = (dims, cube, units)
    data = xr.Dataset(arrays, {"multiplier": list(multipliers)})
    for name, axis in (("vector", grid.names), ("layer", grid.layers)):
        data = data.isel({name: 0}) if axis is None else data.assign_coords({name: axis})
    return data
