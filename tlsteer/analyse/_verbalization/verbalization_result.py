"""What `verbalization_vs_recovery` found: texts, and the rates, tables and tests that are counted from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from tlsteer._results import Result
from tlsteer.analyse._verbalization.dependence import dependence_test, rate_difference
from tlsteer.analyse._verbalization.outcomes import SETTING, STATEMENT, judged
from tlsteer.analyse._verbalization.picked_rows import rows_where
from tlsteer.analyse._verbalization.recovery import RecoveryJudge, judge_name, recovery_judge
from tlsteer.analyse._verbalization.retractions import RETRACTIONS, Retractions, compiled_retractions
from tlsteer.analyse._verbalization.verbalization_verdict import verdict
from tlsteer.errors import DataError
from tlsteer.evaluate._counted_results import load_texts, save_texts
from tlsteer.stats import estimate_columns, estimate_names, grouped_rates

Kind = Literal["unsteered", "steered", "random"]


@dataclass(frozen=True, eq=False, repr=False)
class Verbalization(Result):
    """How often a model says that it said a falsehood, and how often it returns to the truth.

    Tables have a row for each setting: `kind` ("unsteered", "steered", or "random": random vectors of the norm of
    `vector`), `vector`, `layer` and `multiplier`. Each estimate has columns NAME, NAME_low, NAME_high and NAME_n;
    intervals are of 95% and clustered by entity.

    Attributes:
        texts: every answer with its statement and setting, the words of its first `retraction`, and whether it is
            `verbalized`, `recovered`, `fiction`, and what else the judge says. Answers at multiplier 0 are under
            "unsteered", once.
        about: what was run.

    >>> found = verbalization_vs_recovery(model, {"caa": by_layer}, organism.falsehoods(4), max_new_tokens=16)
    >>> print(found.headline)
    """

    texts: pd.DataFrame
    about: dict[str, Any]

    _picture = "plot_rate_by_layer"
    _next = ".verdict says all that was found; .table(vector) has the two-by-two counts, .select(vector) the texts."

    @property
    def headline(self) -> str:
        """The verdict's first line."""
        return self.verdict.partition("\n")[0]

    def to_dataframe(self) -> pd.DataFrame:
        """See `rates`."""
        return self.rates

    @property
    def measures(self) -> list[str]:
        """The outcomes of each text."""
        known = {*SETTING, *STATEMENT, "text", "retraction"}
        return [str(column) for column in self.texts.columns if column not in known]

    @cached_property
    def rates(self) -> pd.DataFrame:
        """After falsehoods: the rate of each outcome, and of recovery among verbalized and among silent answers."""
        return self._rates(true=False)

    @cached_property
    def truths(self) -> pd.DataFrame:
        """The same after true statements, where none should be taken back; empty where none were given."""
        return self._rates(true=True)

    @cached_property
    def changes(self) -> pd.DataFrame:
        """What each vector changes in each outcome's rate, against the model without it and against random vectors.

        Falsehoods are compared each with itself, and n counts the answers of both sides. The column `baseline` is
        "unsteered" or "random".
        """
        groups = dict(self._groups(true=False))
        rows = []
        for setting, own in groups.items():
            for baseline in ("unsteered", "random"):
                base = groups.get(_baseline_of(setting, baseline))
                if setting[0] != "steered" or base is None:
                    continue
                both, is_own = pd.concat([own, base]), np.arange(len(own) + len(base)) < len(own)
                clusters = both["entity"].to_numpy()
                found = {}
                for measure in self.measures:
                    said = both[measure].to_numpy(bool)
                    found[measure] = rate_difference(said, said, clusters, is_own, ~is_own)
                rows.append(_named(setting) | {"baseline": baseline} | estimate_columns(found))
        return _table(rows, ["baseline", *estimate_names(self.measures)])

    @cached_property
    def dependence(self) -> pd.DataFrame:
        """Whether recovery goes with verbalization within a setting.

        `difference` is the rate of recovery among answers that say that it was false, minus that among those that
        do not; `p` is of the test named (see `dependence_test`). NaN where all answers, or none, say so.
        """
        rows = []
        for setting, own in self._groups(true=False):
            said, recovered = own["verbalized"].to_numpy(bool), own["recovered"].to_numpy(bool)
            clusters = own["entity"].to_numpy()
            p, test = dependence_test(recovered, said, clusters)
            difference = rate_difference(recovered, recovered, clusters, said, ~said)
            counts = {"n_verbalized": int(said.sum()), "n_silent": int((~said).sum())}
            rows.append(
                _named(setting) | counts | estimate_columns({"difference": difference}) | {"p": p, "test": test}
            )
        return _table(rows, [])

    @property
    def verdict(self) -> str:
        """What the numbers say, in words with their evidence."""
        n_entities = self.texts.loc[~self.texts["true"], "entity"].nunique()
        return verdict(self.rates, self.changes, self.dependence, n_entities, self.about["model"])

    def select(
        self, vector: str | None = None, layer: int | None = None, multiplier: float | None = None,
        kind: Kind | None = None, true: bool = False,
    ) -> pd.DataFrame:  # fmt: skip
        """The texts of one setting; what all settings share may be left out.

        Asked for nothing, it gives the unsteered ones, which are those of multiplier 0 under every vector.

        Raises:
            DataError: no such setting, or several.

        >>> found = verbalization_vs_recovery(model, {"caa": by_layer}, organism.falsehoods(4), max_new_tokens=16)
        >>> len(found.select("caa", layer=4)[["prefill", "text", "retraction"]])
        4
        """
        if multiplier == 0 or (vector, layer, multiplier, kind) == (None, None, None, None):
            kind, vector, layer, multiplier = "unsteered", None, None, None
        kind = kind or "steered"
        wanted = {"kind": kind, "vector": vector, "layer": layer, "multiplier": multiplier}
        found = rows_where(self.texts, true=true, **wanted)
        settings = found.drop_duplicates(SETTING)[SETTING]
        if len(settings) != 1:
            asked = ", ".join(f"{name}={value!r}" for name, value in wanted.items() if value is not None)
            have = (settings if len(settings) else self.texts.drop_duplicates(SETTING)[SETTING]).to_string(index=False)
            raise DataError(f"{len(settings) or 'no'} settings have {asked}; choose one of\n{have}")
        return found

    def table(
        self, vector: str | None = None, layer: int | None = None, multiplier: float | None = None,
        kind: Kind | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """The counts of verbalized (rows) by recovered (columns) of one setting; as `select` picks it.

        >>> found = verbalization_vs_recovery(model, {"caa": by_layer}, organism.falsehoods(4), max_new_tokens=16)
        >>> found.table("caa", layer=4, multiplier=1)
        """
        texts = self.select(vector, layer, multiplier, kind)
        verbalized = texts["verbalized"].map({True: "says so", False: "silent"})
        recovered = texts["recovered"].map({True: "recovered", False: "not recovered"})
        counts = pd.crosstab(verbalized, recovered)
        return counts.reindex(index=["says so", "silent"], columns=["recovered", "not recovered"], fill_value=0)

    def judged_by(self, judge: RecoveryJudge | str, retractions: Retractions = RETRACTIONS) -> Verbalization:
        """The same answers under another judge and other retractions; no text is generated again."""
        judging, patterns = recovery_judge(judge)(), compiled_retractions(retractions)
        about = self.about | {"judge": judge_name(judging), "retractions": [pattern.pattern for pattern in patterns]}
        kept = self.texts.filter([*SETTING, *STATEMENT, "text"])
        return replace(self, texts=judged(kept, judging, patterns), about=about)

    def pooled(self, names: Mapping[str, str]) -> Verbalization:
        """The same answers with vectors counted together that get one name, such as those of one method.

        Args:
            names: of every vector.

        >>> vectors, told = {"one": vector, "another": control}, organism.falsehoods(4)
        >>> found = verbalization_vs_recovery(model, vectors, told, max_new_tokens=16)
        >>> found.pooled({"one": "both", "another": "both"})
        """
        cells = dict.fromkeys((names[name], layer) for name, layer in self.about["cells"])
        about = self.about | {"cells": [list(cell) for cell in cells]}
        return replace(self, texts=self.texts.assign(vector=self.texts["vector"].replace(dict(names))), about=about)

    def save(self, path: str | Path) -> Path:
        """Writes texts and what was run as one JSON file, whole or not at all; all else is counted from these."""
        return save_texts(path, "verbalization", self.texts, self.about)

    @classmethod
    def load(cls, path: str | Path) -> Verbalization:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is something else.
        """
        return cls(*load_texts(path, "verbalization", "a Verbalization"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.verdict}"

    def _groups(self, true: bool) -> Iterator[tuple[tuple, pd.DataFrame]]:
        """The texts of each setting; those of multiplier 0 once more for every vector that was asked for it."""
        texts = rows_where(self.texts, true=true)
        if texts.empty:
            return
        by_setting = {_key(one): rows for one, rows in texts.groupby(SETTING, sort=False, dropna=False)}
        unsteered = by_setting["unsteered", "unsteered", None, 0.0]
        yield ("unsteered", "unsteered", None, 0.0), unsteered
        for kind in ("steered", "random"):
            for name, layer in self.about["cells"]:
                for multiplier in self.about["multipliers"]:
                    setting = (kind, name, layer, multiplier)
                    if multiplier == 0 and kind == "steered":
                        yield setting, unsteered
                    elif setting in by_setting:
                        yield setting, by_setting[setting]

    def _rates(self, true: bool) -> pd.DataFrame:
        measures = [measure for measure in self.measures if not (true and measure == "fiction")]
        groups = [own.assign(**_named(setting)) for setting, own in self._groups(true)]
        answers = pd.concat(groups) if groups else self.texts.head(0)
        said = answers["verbalized"].astype(bool)
        given = {
            "recovered_given_silent": answers["recovered"].where(~said),
            "recovered_given_verbalized": answers["recovered"].where(said),
        }
        rates = grouped_rates(answers.assign(**given), SETTING, [*measures, *given], clusters="entity")
        return rates.astype({"layer": "Int64"})


def _key(setting: Any) -> tuple:
    kind, vector, layer, multiplier = setting
    return kind, vector, None if pd.isna(layer) else int(layer), float(multiplier)


def _baseline_of(setting: tuple, baseline: str) -> tuple:
    if baseline == "unsteered":
        return "unsteered", "unsteered", None, 0.0
    return "random", *setting[1:]


def _named(setting: tuple) -> dict[str, Any]:
    return dict(zip(SETTING, setting, strict=True))


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    # Without rows, the columns are there all the same.
    return pd.DataFrame(rows, columns=None if rows else [*SETTING, *columns]).astype({"layer": "Int64"})
