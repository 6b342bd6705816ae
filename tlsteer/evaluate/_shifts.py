"""Prompt shifts: does a vector fitted in one prompt setting steer in another (arXiv 2407.12404)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from tlsteer._arguments import Count, Seed, checked
from tlsteer._model_type import Model
from tlsteer._numbers import Number
from tlsteer.data import SETTINGS, Attitudes, Choice, Setting, in_setting
from tlsteer.errors import DataError
from tlsteer.evaluate._propensity import MULTIPLIERS, propensity
from tlsteer.evaluate._reliability import reliability_table
from tlsteer.fit import fit_contrastive
from tlsteer.positions import Positions
from tlsteer.prompts import answer_pairs
from tlsteer.sites import Place
from tlsteer.stats import Estimate, rank_correlation
from tlsteer.vectors import SteeringVector

# The paper's: fitted in the first, tested in the second.
PAIRS: tuple[tuple[Setting, Setting], ...] = (
    *(("BASE", setting) for setting in SETTINGS if setting != "BASE"),
    ("SYS_POS", "USER_NEG"),
    ("SYS_NEG", "USER_POS"),
)


@checked
def shift_vectors(
    model: Model,
    train: Sequence[Choice],
    attitudes: Attitudes,
    site: Place,
    *,
    settings: Sequence[Setting] = SETTINGS,
    batch_size: Count = 32,
) -> dict[str, SteeringVector]:
    """A vector fitted in each setting: the mean difference at the answer, as `answer_pairs` has it.

    All are rescaled to the norm of the first setting's (BASE), so that settings differ by direction alone.

    Args:
        model: a TransformerBridge or HookedTransformer.
        train: choices to fit on.
        attitudes: the sentences of the settings.
        site: where the vectors are fitted.
        settings: which; a model whose chat template refuses system messages has no SYS_POS and SYS_NEG.
        batch_size: texts run at once.

    >>> sorted(shift_vectors(model, choices, attitudes, Site(3), settings=["BASE", "SYS_POS"]))
    ['BASE', 'SYS_POS']
    """
    pairs = {setting: answer_pairs(model, in_setting(train, setting, attitudes)) for setting in settings}
    fitted = {
        setting: fit_contrastive(model, some, site, batch_size=batch_size, progress=False)
        for setting, some in pairs.items()
    }
    norms = [vector.norm for vector in fitted.values()]
    return {setting: vector * (norms[0] / vector.norm) for setting, vector in fitted.items()}


@checked
def shift_curves(
    model: Model,
    train: Sequence[Choice],
    test: Sequence[Choice],
    attitudes: Attitudes,
    site: Place,
    *,
    settings: Sequence[Setting] = SETTINGS,
    multipliers: Sequence[Number] = MULTIPLIERS,
    positions: Positions = "all",
    batch_size: Count = 32,
    progress: bool = True,
    run_dir: str | Path | None = None,
) -> xr.DataArray:
    """The propensity curves of vectors fitted in each setting, tested in each.

    The vectors are those of `shift_vectors`.

    Args:
        model: a TransformerBridge or HookedTransformer.
        train: choices to fit on.
        test: choices to measure on.
        attitudes: the sentences of the settings.
        site: where the vectors are fitted and applied.
        settings: which; a model whose chat template refuses system messages has no SYS_POS and SYS_NEG.
        multipliers: of the vectors.
        positions: where the vectors are applied.
        batch_size: prompts run at once.
        progress: show a bar.
        run_dir: see `propensity`.

    Returns:
        Dims vector (the setting of the fit), setting (of the test), sample and multiplier.

    >>> curves = shift_curves(model, choices, choices, attitudes, Site(3), settings=["BASE", "SYS_POS"])
    >>> shifts(curves, n_resamples=20).shape[0]
    4
    """
    vectors = shift_vectors(model, train, attitudes, site, settings=settings, batch_size=batch_size)
    asked = {setting: in_setting(test, setting, attitudes) for setting in settings}
    return propensity(
        model,
        vectors,
        asked,
        multipliers,
        positions=positions,
        batch_size=batch_size,
        progress=progress,
        run_dir=run_dir,
    )


@checked
def shifts(
    curves: xr.DataArray | Mapping[str, xr.DataArray],
    *,
    min_slope: float = 0.25,
    n_resamples: Count = 1000,
    seed: Seed = 0,
) -> pd.DataFrame:
    """The matrix of steerabilities, a row for each pair of settings.

    Args:
        curves: of `shift_curves`, for one dataset or several by name.
        min_slope: in-distribution steerability that a dataset has to exceed for a ratio; the paper's.
        n_resamples: of the bootstrap by question.
        seed: of the resamples.

    Returns:
        Columns `trained` and `tested` (and `dataset`), those of `reliability_table`, `in_distribution` (the
        steerability of the vector fitted and tested in the first setting, BASE), `relative` (steerability over that;
        NaN where the latter is at most `min_slope`), `baseline_shift` (mean unsteered propensity in the tested setting
        minus that in the trained one) and `baseline_distance` (mean over questions of the size of that difference).

    Raises:
        DataError: curves without the dims vector and setting of the same names, or without multiplier 0.

    >>> curves = shift_curves(model, choices, choices, attitudes, 3, settings=["BASE", "SYS_POS"])
    >>> shifts(curves, n_resamples=20)[["trained", "tested", "steerability"]]
    """
    if isinstance(curves, Mapping):
        if not curves:
            raise DataError("give the curves of at least one dataset")
        settings = {"min_slope": min_slope, "n_resamples": n_resamples, "seed": seed}
        tables = {name: shifts(one, **settings) for name, one in curves.items()}
        return pd.concat(tables, names=["dataset"]).reset_index("dataset").reset_index(drop=True)
    if not {"vector", "setting"} <= set(curves.dims) or list(curves["vector"]) != list(curves["setting"]):
        raise DataError("the curves of shifts have the same names on vector and setting; make them with shift_curves")
    if 0 not in curves["multiplier"]:
        raise DataError("the shift of the baseline needs multiplier 0; add it to the multipliers")
    table = reliability_table(curves, n_resamples=n_resamples, seed=seed)
    table = table.rename(columns={"vector": "trained", "setting": "tested"})
    home = str(curves["setting"].values[0])
    own = table.set_index(["trained", "tested"]).loc[(home, home), "steerability"]
    table["in_distribution"] = own
    table["relative"] = table["steerability"] / own if own > min_slope else np.nan
    unsteered = curves.sel(multiplier=0).isel(vector=0, drop=True)
    apart = [
        unsteered.sel(setting=row["tested"]) - unsteered.sel(setting=row["trained"]) for _, row in table.iterrows()
    ]
    table["baseline_shift"] = [float(one.mean()) for one in apart]
    table["baseline_distance"] = [float(abs(one).mean()) for one in apart]
    return table


@checked
def shift_correlation(table: pd.DataFrame) -> dict[str, Estimate]:
    """Rank correlation over datasets of steerability in distribution with that out of it, by pair of settings.

    In distribution is fitted and tested in BASE. The pairs are the paper's: BASE with each other setting, SYS_POS with
    USER_NEG and SYS_NEG with USER_POS; those that the table has.

    Args:
        table: of `shifts` on several datasets.

    Returns:
        By pair, e.g. "BASE to SYS_POS".

    Raises:
        DataError: a table of one dataset.

    >>> names = ["power", "risk", "greed", "luxury"]
    >>> some = {name: organism.trait_choices(name, 8) for name in names}
    >>> curves = {
    ...     name: shift_curves(model, one, one, attitudes, 3, settings=["BASE", "SYS_POS"], multipliers=[-1, 0, 1])
    ...     for name, one in some.items()
    ... }
    >>> shift_correlation(shifts(curves, n_resamples=20))["BASE to SYS_POS"].n
    4
    """
    if "dataset" not in table:
        raise DataError("a correlation over datasets needs several; give shifts curves by dataset")
    return {
        name: rank_correlation(rows["in_distribution"].to_numpy(float), rows["steerability"].to_numpy(float))
        for name, rows in by_pair(table).items()
    }


def by_pair(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each of the paper's pairs that a table of shifts has."""
    rows = table.groupby(["trained", "tested"], sort=False).groups
    return {
        f"{trained} to {tested}": table.loc[rows[trained, tested]]
        for trained, tested in PAIRS
        if (trained, tested) in rows
    }
