"""Rates and estimates in tables: outcomes counted by group, and the columns of an estimate.

An estimate NAME has the columns NAME, NAME_low, NAME_high and NAME_n; one called "value" has value, low, high and n.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from tlsteer._arguments import Share, checked
from tlsteer.errors import DataError
from tlsteer.stats._estimates import Estimate, clustered_rate

_PARTS = tuple(part.name for part in fields(Estimate))


@checked
def grouped_rates(
    table: pd.DataFrame,
    by: Sequence[str],
    outcomes: str | Sequence[str],
    clusters: str | None = None,
    *,
    confidence: Share = 0.95,
) -> pd.DataFrame:
    """How often outcomes hold in each group of rows, with intervals; groups come in the order of their first rows.

    Args:
        table: a row for each observation.
        by: the columns that rows of a group share; missing values are a group too.
        outcomes: columns of truth values, 1 and 0; rows in which one is missing do not count for it.
        clusters: a column that says which observations belong together; every one is its own by default.
        confidence: of the intervals.

    Returns:
        The columns `by`, then those of each outcome's estimate; value, low, high and n where `outcomes` is one name.

    Raises:
        DataError: columns that the table does not have, or no column at all.

    >>> table = pd.DataFrame({"vector": ["v", "v", "w"], "success": [1, 0, 1]})
    >>> grouped_rates(table, ["vector"], "success")["value"].tolist()
    [0.5, 1.0]
    """
    names = {outcomes: "value"} if isinstance(outcomes, str) else {name: name for name in outcomes}
    asked = [*by, *names, *([] if clusters is None else [clusters])]
    if not by or not names or not set(asked) <= set(table):
        raise DataError(f"by={by!r} and outcomes={outcomes!r} name columns; the table has {list(table)}")
    groups = table.groupby(list(by), sort=False, dropna=False).ngroup().to_numpy()
    firsts = np.sort(np.unique(groups, return_index=True)[1])
    pieces = [table.loc[groups == groups[first]] for first in firsts]
    rows = [
        estimate_columns({name: _rate(own, outcome, clusters, confidence) for outcome, name in names.items()})
        for own in pieces
    ]
    keys = table.filter(list(by)).iloc[firsts].reset_index(drop=True)
    return pd.concat([keys, pd.DataFrame(rows, columns=estimate_names(names.values()))], axis=1)


@checked
def estimate_columns(estimates: Mapping[str, Estimate], *, counts: bool = True) -> dict[str, float]:
    """The columns of several estimates in a row of a table.

    Args:
        estimates: by name.
        counts: their counts too, where the row does not say otherwise what they stand on.

    >>> estimate_columns({"kl": Estimate(0.2, 0.1, 0.3, 40)})
    {'kl': 0.2, 'kl_low': 0.1, 'kl_high': 0.3, 'kl_n': 40}
    """
    return {
        column: getattr(one, part)
        for name, one in estimates.items()
        for part, column in zip(_PARTS, estimate_names([name]), strict=True)
        if counts or part != "n"
    }


@checked
def estimate_names(names: Iterable[str]) -> list[str]:
    """The names of the columns of several estimates.

    >>> estimate_names(["kl"])
    ['kl', 'kl_low', 'kl_high', 'kl_n']
    """
    return [
        part if name == "value" else name if part == "value" else f"{name}_{part}" for name in names for part in _PARTS
    ]


@checked
def estimate_from(row: Any, name: str = "value", *, n: str | None = None) -> Estimate:
    """An estimate from its columns in a row.

    Args:
        row: of a table: anything whose columns are read by name.
        name: of the estimate.
        n: the column of its count, where that is another.

    Raises:
        DataError: columns that are missing, or hold no numbers.

    >>> estimate_from({"kl": 0.2, "kl_low": 0.1, "kl_high": 0.3, "kl_n": 40}, "kl")
    """
    value, low, high, count = columns = estimate_names([name])
    try:
        return Estimate(float(row[value]), float(row[low]), float(row[high]), int(row[n or count]))
    except (KeyError, IndexError, TypeError, ValueError):
        raise DataError(f"the row has no numbers under all of {[*columns[:3], n or count]}") from None


def _rate(rows: pd.DataFrame, outcome: str, clusters: str | None, confidence: float) -> Estimate:
    known = rows.dropna(subset=[outcome])
    labels = np.arange(len(known)) if clusters is None else known[clusters].to_numpy()
    return clustered_rate(known[outcome].to_numpy(bool), labels, confidence)
