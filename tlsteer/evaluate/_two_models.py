"""Is steerability a property of the dataset? Agreement of two models over the same datasets (arXiv 2407.12404)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tlsteer._arguments import Share, checked
from tlsteer.errors import DataError
from tlsteer.stats import Estimate, rank_correlation

MEASURES = ("steerability", "spread", "anti_steerable")


@checked
def model_correlation(first: pd.DataFrame, second: pd.DataFrame, *, confidence: Share = 0.95) -> dict[str, Estimate]:
    """Rank correlation between two models, over datasets, of steerability, its spread and the anti-steerable share.

    The datasets are the observations, so n is small and the interval wide; with fewer than four there is none.
    The correlation of spreads is that of variances, since ranks do not see the square.

    Args:
        first: one row per dataset, as `AcrossDatasets.table` or `reliability_table` gives.
        second: the same of the other model; datasets that only one of them has are left out.
        confidence: of the interval.

    Raises:
        DataError: a table without datasets, or with several rows for one, or no dataset in both.

    >>> names = ["power", "risk", "greed", "luxury"]
    >>> some = {name: organism.trait_choices(name, 8) for name in names}
    >>> one = reliability_across(model, some, sites=[3], n_random=1, n_resamples=20)
    >>> another = reliability_across(model, some, sites=[4], n_random=1, n_resamples=20)  # or of another model
    >>> model_correlation(one.table, another.table)["steerability"].n
    4
    """
    one, other = matched_datasets(first, second)
    try:
        numbers = {measure: [np.asarray(table[measure], float) for table in (one, other)] for measure in MEASURES}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a table for two models has numbers in the columns {', '.join(MEASURES)}: {error}") from None
    return {measure: rank_correlation(mine, theirs, confidence) for measure, (mine, theirs) in numbers.items()}


def matched_datasets(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables by dataset, with the datasets that both have, in the first one's order."""
    tables = []
    for table in (first, second):
        if "dataset" not in table or table["dataset"].duplicated().any():
            raise DataError("a table for two models has one row per dataset, named in the column 'dataset'")
        tables.append(table.set_index("dataset"))
    shared = tables[0].index[tables[0].index.isin(tables[1].index)]
    if shared.empty:
        raise DataError("the two tables have no dataset in common; name the datasets alike")
    return tables[0].loc[shared], tables[1].loc[shared]
