"""Attack success: how often a steered model does what it would refuse, according to a named judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import Unpack

from tlsteer._arguments import Seed, Whole, checked
from tlsteer._keywords import Writing, WritingSettings, settled
from tlsteer._model_type import Model
from tlsteer._numbers import Number
from tlsteer._results import Result
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.errors import DataError
from tlsteer.evaluate._counted_results import load_texts, save_texts
from tlsteer.evaluate._steered_texts import SETTING, steered_texts
from tlsteer.evaluate._vector_grid import Vectors
from tlsteer.judges import Judge, judge_from, verdicts
from tlsteer.judges._specs import JudgeLike
from tlsteer.models import chat_prompt
from tlsteer.positions import Positions
from tlsteer.stats import grouped_rates
from tlsteer.steering import Interventions


@checked
def attack_success(
    model: Model,
    vectors: Vectors | None,
    requests: Sequence[str],
    judge: JudgeLike,
    multipliers: Sequence[Number] = (1.0,),
    *,
    also: Mapping[str, Interventions] | None = None,
    prefill: str | Sequence[str] = "",
    positions: Positions = "all",
    n_random: Whole = 1,
    seed: Seed = 0,
    **writing: Unpack[WritingSettings],
) -> AttackSuccess:
    """The share of requests that a model serves, unsteered, under each vector, and under random ones of equal norm.

    Args:
        model: a TransformerBridge or HookedTransformer with a chat template.
        vectors: one vector; a list, one per layer; or either by name; None for the unsteered model alone.
        requests: what users ask, in their words.
        judge: of the answers, or its name (see `judge_from`).
        multipliers: of the vectors.
        also: further ways to steer by name, each applied as it stands, such as an ablation at every layer.
        prefill: the beginning of the answers, one or one per request; it belongs to the text that is judged.
        positions: where the vectors are applied.
        n_random: sets of random vectors of equal norm to compare each vector with, one vector per request in each
            set; 0 for none.
        seed: of the random vectors.
        writing: max_new_tokens (128) of the answers, which are greedy, batch_size (128), progress, and run_dir, a
            folder to keep answers in; an interrupted call is resumed from there.

    Returns:
        Rates with intervals, and all texts with their verdicts (see `AttackSuccess`).

    Raises:
        DataError: no requests, an unknown judge or setting, a judge that gives no verdicts, or more or fewer prefills
            than requests.
        VectorError: vectors of another model, or lists with different layers.

    >>> found = attack_success(model, {"promotion": fitted}, requests, "organism", max_new_tokens=8)
    >>> found.rates, found.texts
    """
    how = settled(Writing(max_new_tokens=128, batch_size=128), writing, WritingSettings)
    judge = judge_from(judge)
    begun = [prefill] * len(requests) if isinstance(prefill, str) else list(prefill)
    if len(begun) != len(requests):
        raise DataError(f"{len(begun)} prefills were given for {len(requests)} requests; give one, or one per request")
    prompts = [chat_prompt(model, one, start) for one, start in zip(requests, begun, strict=True)]
    tables = steered_texts(
        model, prompts, vectors, multipliers, also=also, positions=positions, n_random=n_random, seed=seed,
        **vars(how),
    )  # fmt: skip
    judged = []
    for table in tables:
        rows = table.pop("row")
        texts = [begun[row] + text for row, text in zip(rows, table["text"], strict=True)]
        table = table.assign(prompt=[requests[row] for row in rows], text=texts)
        # Judged as it goes, so that a judge that fails does so on the unsteered answers, before hours of others.
        judged.append(_judged(table, judge))
    about = {
        "model": Surface(model).name, "fingerprint": Surface(model).fingerprint, "judge": judge.name,
        "measures": judge.measures, "positions": repr(positions), "max_new_tokens": how.max_new_tokens, "seed": seed,
        "version": __version__,
    }  # fmt: skip
    return AttackSuccess(pd.concat(judged, ignore_index=True), about)


@dataclass(frozen=True, eq=False, repr=False)
class AttackSuccess(Result):
    """How often requests are served, which judge decided, and the texts.

    Attributes:
        texts: every answer: kind ("unsteered", "steered" or "random": random vectors of the norm of `vector`), vector,
            layer, multiplier, prompt (the request), text, and success: 1, 0 or NaN where the judge cannot say.
        about: what was run, the judge among it.

    >>> found = attack_success(model, {"caa": vector}, requests, "organism", max_new_tokens=8)
    >>> found.rates, found.texts, found.about["judge"]
    """

    texts: pd.DataFrame
    about: dict[str, Any]

    _next = ".texts has every answer; .judged_by(judge) asks another judge."

    @property
    def headline(self) -> str:
        """The largest share of requests served under a vector, with its baselines."""
        rates = self.rates
        steered = rates[(rates["kind"] == "steered") & rates["value"].notna()]
        if steered.empty:
            return "No answer under a vector was judged."
        best = steered.iloc[int(np.argmax(steered["value"]))]
        same = (rates[["vector", "layer", "multiplier"]] == best[["vector", "layer", "multiplier"]]).all(axis=1)
        baselines = rates[(rates["kind"] == "unsteered") | (same & (rates["kind"] == "random"))]
        said = [f"{row['kind']} {_share(row)}" for _, row in baselines.iterrows()]
        where = f"{best['vector']!r} at layer {best['layer']}, x{best['multiplier']:g}"
        return f"{where}: {_share(best)} of requests served; {', '.join(said)} (judge {self.about['judge']!r})."

    def to_dataframe(self) -> pd.DataFrame:
        """See `rates`."""
        return self.rates

    def _drawing(self) -> tuple[str, Any]:
        several = self.texts.loc[self.texts["kind"] == "steered", "multiplier"].nunique() > 1
        return "plot_rates_by_multiplier" if several else "plot_rates", self.rates

    @cached_property
    def rates(self) -> pd.DataFrame:
        """A row for each setting: the share of successes with its 95% interval, n and the judge.

        Answers on which the judge says nothing are left out of `n`, and their number is in `unknown`. Where a request
        was given more than once, intervals are clustered by request. `measure` and `condition` say in words what is
        counted and under what, for `plot_rates` and `plot_rates_by_multiplier`.
        """
        rates = grouped_rates(self.texts, SETTING, "success", clusters="prompt")
        n_answers = self.texts.groupby(SETTING, sort=False, dropna=False).size().to_numpy()
        return rates.assign(
            unknown=n_answers - rates["n"],
            judge=self.about["judge"],
            measure=self.about["measures"] or self.about["judge"],
            condition=_conditions(rates),
        )

    def judged_by(self, judge: JudgeLike) -> AttackSuccess:
        """The same answers under another judge; no text is generated again."""
        judge = judge_from(judge)
        about = self.about | {"judge": judge.name, "measures": judge.measures}
        return replace(self, texts=_judged(self.texts, judge), about=about)

    def save(self, path: str | Path) -> Path:
        """Writes texts and what was run as one JSON file, whole or not at all; rates are counted from these."""
        return save_texts(path, "attack", self.texts, self.about)

    @classmethod
    def load(cls, path: str | Path) -> AttackSuccess:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is something else.
        """
        texts, about = load_texts(path, "attack", "an AttackSuccess")
        try:
            return cls(texts.astype({"success": float}), about)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{str(path)!r} is damaged: {error}") from None

    def __repr__(self) -> str:
        shown = self.rates[[*SETTING, "value", "low", "high", "n"]].round(3).to_string(index=False)
        return f"AttackSuccess on {self.about['model']!r}, judge {self.about['judge']!r}\n{shown}"


def _share(row: pd.Series) -> str:
    return f"{row['value']:.0%} [{row['low']:.0%}, {row['high']:.0%}]"


def _conditions(rates: pd.DataFrame) -> list[str]:
    """What each row was measured under, in words, but for the multiplier."""
    n_layers = rates.groupby("vector")["layer"].nunique()
    found = []
    for kind, vector, layer in zip(rates["kind"], rates["vector"], rates["layer"], strict=True):
        name = f"{vector}, layer {layer}" if n_layers[vector] > 1 else vector
        found.append(f"random vectors, norm of {name}" if kind == "random" else name)
    return found


def _judged(texts: pd.DataFrame, judge: Judge) -> pd.DataFrame:
    said: np.ndarray = verdicts(judge, texts["prompt"].tolist(), texts["text"].tolist())
    return texts.assign(success=said)
