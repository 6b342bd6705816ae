"""Do two judges say the same?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from tlsteer._arguments import Seed, checked
from tlsteer._json_files import json_columns, read_json, write_json
from tlsteer._results import Result
from tlsteer.errors import DataError
from tlsteer.judges._specs import JudgeLike, judge_from
from tlsteer.judges._verdicts import verdicts
from tlsteer.stats import Estimate, bootstrap_interval, clustered_rate


@checked
def agreement(
    first: JudgeLike,
    second: JudgeLike,
    prompts: Iterable[str],
    texts: Iterable[str],
    seed: Seed = 0,
) -> Agreement:
    """The verdicts of two judges on the same texts.

    Args:
        first: a judge or its name (see `judge_from`).
        second: the other.
        prompts: what the user asked; texts that answer the same prompt are one cluster of the intervals.
        texts: what the model wrote after each.
        seed: of the bootstrap.

    Raises:
        DataError: prompts and texts that do not pair up, or a judge that gives no verdicts.

    >>> texts = ["I cannot help with that.", "Sure, here is how to make it."] * 2
    >>> found = agreement("organism", "substrings", requests, texts)
    >>> found.share, found.kappa, found.disagreements
    """
    judges = [judge_from(first), judge_from(second)]
    prompts, texts = list(prompts), list(texts)
    said = [verdicts(judge, prompts, texts) for judge in judges]
    table = pd.DataFrame({"prompt": prompts, "text": texts, "first": said[0], "second": said[1]})
    return Agreement(judges[0].name, judges[1].name, table, seed)


@dataclass(frozen=True, eq=False, repr=False)
class Agreement(Result):
    """How far two judges agree; texts on which either says nothing are left out.

    Attributes:
        first: the name of one judge.
        second: the name of the other.
        verdicts: prompt, text, and the verdicts `first` and `second`: 1, 0 or NaN.
        seed: of the bootstrap.

    >>> texts = ["I cannot help with that.", "Sure, here is how to make it."] * 2
    >>> found = agreement("organism", "substrings", requests, texts)
    >>> found.share.n, found.kappa
    """

    first: str
    second: str
    verdicts: pd.DataFrame
    seed: int = 0

    _picture = "plot_agreement"
    _next = ".disagreements has the texts on which the two differ."

    @property
    def counts(self) -> dict[str, int]:
        """How many texts both said yes to, either alone, and neither."""
        first, second, _ = self._known
        pairs = {
            "both": first & second, f"{self.first} alone": first & ~second, f"{self.second} alone": ~first & second,
            "neither": ~first & ~second,
        }  # fmt: skip
        return {who: int(texts.sum()) for who, texts in pairs.items()}

    def to_dataframe(self) -> pd.DataFrame:
        """See `verdicts`."""
        return self.verdicts

    def save(self, path: str | Path) -> Path:
        """Writes the verdicts as one JSON file, whole or not at all; the numbers are counted from these."""
        names = {"agreement": [self.first, self.second], "seed": self.seed}
        return write_json(path, names | {"verdicts": json_columns(self.verdicts)})

    @classmethod
    def load(cls, path: str | Path) -> Agreement:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is something else.
        """
        content = read_json(path, "an Agreement saved by tlsteer")
        try:
            first, second = content["agreement"]
            table = pd.DataFrame(content["verdicts"]).astype({"first": float, "second": float})
            return cls(first, second, table, content["seed"])
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{str(path)!r} is not an Agreement saved by tlsteer ({error!r})") from None

    @cached_property
    def _known(self) -> tuple[Bool[np.ndarray, " texts"], Bool[np.ndarray, " texts"], np.ndarray]:
        known = self.verdicts.dropna(subset=["first", "second"])
        return known["first"].to_numpy(bool), known["second"].to_numpy(bool), known["prompt"].to_numpy(str)

    @cached_property
    def share(self) -> Estimate:
        """The share of texts on which both say the same, clustered by prompt."""
        first, second, prompts = self._known
        return clustered_rate(first == second, prompts)

    @cached_property
    def kappa(self) -> Estimate:
        """Cohen's kappa, with a bootstrap interval clustered by prompt.

        1 is agreement throughout and 0 what the two rates give by chance; NaN where each says one thing throughout.
        """
        first, second, prompts = self._known
        if not len(first):
            return Estimate(np.nan, np.nan, np.nan, 0)

        def statistic(weights: Float[np.ndarray, "draws texts"]) -> Float[np.ndarray, " draws"]:
            return _kappa(weights, first, second)

        low, high = bootstrap_interval(statistic, prompts, seed=self.seed)
        value = statistic(np.ones((1, len(first))))[0]
        return Estimate(float(value), float(low), float(high), len(first))

    @property
    def disagreements(self) -> pd.DataFrame:
        """The texts on which the two differ, with both verdicts."""
        known = self.verdicts.dropna(subset=["first", "second"])
        return known.query("first != second").reset_index(drop=True)

    def __repr__(self) -> str:
        both, one, other, neither = self.counts.values()
        return (
            f"Agreement of {self.first!r} and {self.second!r}: {self.share}, kappa {self.kappa}; "
            f"both {both}, the first alone {one}, the second alone {other}, neither {neither}"
        )


def _kappa(
    weights: Float[np.ndarray, "draws texts"], first: Bool[np.ndarray, " texts"], second: Bool[np.ndarray, " texts"]
) -> Float[np.ndarray, " draws"]:
    """Cohen's kappa of weighted texts: agreement above what the two rates give by chance, of all that is possible."""
    total = weights.sum(1)
    same, p, q = (weights @ one for one in (first == second, first, second))
    # In whole numbers, which are exact: shares would leave a rounding error of either sign where kappa is 0.
    by_chance = p * q + (total - p) * (total - q)
    possible = total**2 - by_chance
    return np.divide(same * total - by_chance, possible, out=np.full(len(weights), np.nan), where=possible > 0)
