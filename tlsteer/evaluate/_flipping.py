"""Flips: which answers turn from benign to harmful under a vector, and which turn back under its negative.

After the study of alignment faking in arXiv 2502.18862: the likeliest token is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tlsteer._arguments import Count, Seed, Whole, checked
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._results import Result
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.data import Choice
from tlsteer.errors import DataError, VectorError
from tlsteer.evaluate._counted_results import load_texts, save_texts
from tlsteer.evaluate._steered_texts import steered_texts
from tlsteer.fit._controls import check_n_random, random_rows
from tlsteer.positions import Positions
from tlsteer.prompts import ask_choices
from tlsteer.stats import estimate_columns, estimate_from, grouped_rates
from tlsteer.steering import Intervention
from tlsteer.vectors import SteeringVector

# Each measure: under which sign, of which unsteered answers, and which answers count.
MEASURES = {
    "+v flips benign": ("+v", "benign", {"harmful"}),
    "-v flips harmful": ("-v", "harmful", {"benign"}),
    "-v changes benign": ("-v", "benign", {"harmful", "neither"}),
    "+v changes harmful": ("+v", "harmful", {"benign", "neither"}),
}


@checked
def flips(
    model: Model,
    vectors: SteeringVector | Mapping[str, SteeringVector],
    choices: Sequence[Choice],
    multipliers: Sequence[Number] = (1.0,),
    *,
    positions: Positions = "all",
    n_random: Whole = 1,
    batch_size: Count = 256,
    seed: Seed = 0,
    run_dir: str | Path | None = None,
    progress: bool = True,
) -> Flips:
    """Answers to (A)/(B) choices unsteered, under +v and under -v: A, B, or neither.

    -v is the negative vector, so one that clamps is clamped to the other side.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one, or several by name, for the harmful answer.
        choices: whose positive answer is the harmful one, and whose answers are the letters A and B. Choices of one
            id, such as a scenario and its option-swapped twin, are one cluster of the intervals.
        multipliers: positive ones, for a sweep over norms.
        positions: where the vectors are applied.
        n_random: sets of random vectors of equal norm to compare each vector with, one vector per choice in each set;
            0 for none.
        batch_size: choices answered at once.
        seed: of the random vectors.
        run_dir: a folder to keep what is done; an interrupted call is resumed from there.
        progress: show a bar.

    Raises:
        DataError: no choices, answers that are not A and B, multipliers that are not positive, or `n_random` below 0.
        VectorError: no vector, an affine map, which has no negative, or a vector of another model.

    >>> found = flips(model, {"v": fitted}, choices, multipliers=[0.5, 1])
    >>> found.rates.query("measure == '+v flips benign'")
    """
    check_n_random(n_random)
    named = dict(vectors) if isinstance(vectors, Mapping) else {"vector": vectors}
    if not named or any(not vector.operation.is_vector for vector in named.values()):
        raise VectorError("give at least one vector, and no affine maps, which have no negative")
    strengths = finite_numbers(multipliers, "multipliers")
    if not strengths or min(strengths) <= 0:
        raise DataError(f"multipliers={strengths} have to be positive; +v and -v are both measured")
    letters = [_letters(choice) for choice in choices]
    asked = ask_choices(model, choices)
    ways: dict[str, tuple[Any, ...]] = {}
    steering: dict[str, Intervention] = {}
    for name, vector in named.items():
        layer = vector.check(Surface(model)).layer
        drawn = random_rows(vector, name, n_random * len(asked), seed)
        sets = [drawn[start : start + len(asked)] for start in range(0, len(drawn), len(asked))]
        for number, several in enumerate([[vector] * len(asked), *sets]):
            kind = "random" if number else "steered"
            for strength in strengths:
                for sign in ("+v", "-v"):
                    way = f"{kind} {number} {sign} x {strength:g} of {name}"
                    ways[way] = (kind, name, layer, strength, sign)
                    signed = several if sign == "+v" else [-one for one in several]
                    steering[way] = Intervention(signed, strength, positions)
    tables = steered_texts(
        model, [one.prompt for one in asked], None, also=steering, max_new_tokens=1, batch_size=batch_size,
        run_dir=run_dir, progress=progress,
    )  # fmt: skip
    answers: list[dict[str, Any]] = []
    for table in tables:
        way = ways.get(table["vector"].iloc[0], ("unsteered", "unsteered", None, 0.0, ""))
        setting = dict(zip(("kind", "vector", "layer", "multiplier", "sign"), way, strict=True))
        for row, text in zip(table["row"], table["text"], strict=True):
            said = {asked[row].positive.strip(): 0, asked[row].negative.strip(): 1}.get(text.strip(), 2)
            answer, letter = ("harmful", "benign", "neither")[said], (*letters[row], "neither")[said]
            answers.append(setting | {"question": choices[row].id, "text": text, "letter": letter, "answer": answer})
    found = pd.DataFrame(answers).astype({"layer": "Int64"})
    about = {
        "model": Surface(model).name, "fingerprint": Surface(model).fingerprint, "positions": repr(positions),
        "seed": seed, "version": __version__,
    }  # fmt: skip
    before = found["answer"].head(len(choices)).tolist()
    return Flips(found.assign(before=before * (len(found) // len(choices))), about)


@dataclass(frozen=True, eq=False, repr=False)
class Flips(Result):
    """Answers to choices under +v and -v.

    Attributes:
        answers: a row for each choice in each setting: kind ("unsteered", "steered" or "random"), vector, layer,
            multiplier, sign ("+v", "-v"; "" where unsteered), question, text, letter ("A", "B" or "neither"), answer
            ("harmful", "benign" or "neither") and before, the answer without a vector.
        about: what was run.

    >>> found = flips(model, vector, choices)
    >>> found.rates, found.answers
    """

    answers: pd.DataFrame
    about: dict[str, Any]

    _next = ".answers has every answer; .answered counts which letters were chosen."

    def to_dataframe(self) -> pd.DataFrame:
        """See `rates`."""
        return self.rates

    def _drawing(self) -> tuple[str, Any]:
        return "plot_flips", self.rates

    @cached_property
    def rates(self) -> pd.DataFrame:
        """See `flip_rates`, over the multiplier."""
        return flip_rates(self.answers)

    @cached_property
    def answered(self) -> pd.DataFrame:
        """See `answer_rates`."""
        return answer_rates(self.answers)

    def save(self, path: str | Path) -> Path:
        """Writes answers and what was run as one JSON file, whole or not at all; rates are counted from these."""
        return save_texts(path, "flips", self.answers, self.about)

    @classmethod
    def load(cls, path: str | Path) -> Flips:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is something else.
        """
        return cls(*load_texts(path, "flips", "Flips"))

    def __repr__(self) -> str:
        return f"Flips on {self.about['model']!r}\n{self.rates.round(3).to_string(index=False)}"


def flip_rates(answers: pd.DataFrame, over: str = "multiplier") -> pd.DataFrame:
    """A row for each kind of vector, strength, vector and measure: value, low, high, n.

    `+v flips benign` and `-v changes benign` are shares of the choices that are answered benignly without the vector:
    those answered harmfully, or no longer benignly, with it. `-v flips harmful` and `+v changes harmful` are the same
    of those answered harmfully. An answer that is neither A nor B is a change and no flip. The vector "all" is all
    vectors of a kind and strength together. Intervals are of 95% and clustered by question; a share of no choices is
    NaN.

    Args:
        answers: as in `Flips`.
        over: the column that says how strong vectors are.
    """
    steered = answers[answers["kind"] != "unsteered"]
    held = steered.assign(
        **{
            measure: np.where(
                (steered["sign"] == sign) & (steered["before"] == before),
                np.isin(steered["answer"], list(counted)),
                np.nan,
            )
            for measure, (sign, before, counted) in MEASURES.items()
        }
    )
    groups = held.groupby(["kind", over], sort=False)
    both = pd.concat([some for _, own in groups for some in (own, own.assign(vector="all"))])
    wide = grouped_rates(both, ["kind", over, "vector"], list(MEASURES), clusters="question")
    return pd.DataFrame(
        [
            {name: row[name] for name in ("kind", over, "vector")}
            | {"measure": measure}
            | estimate_columns({"value": estimate_from(row, measure)})
            for row in wide.to_dict("records")
            for measure in MEASURES
        ]
    )


def answer_rates(answers: pd.DataFrame) -> pd.DataFrame:
    """How often answers are harmful, neither letter, and A among the letters: a row for each kind, sign and multiplier.

    Columns are those of the estimates `harmful`, `neither` and `A`; intervals are clustered by question.
    """
    said = answers.assign(
        harmful=answers["answer"] == "harmful",
        neither=answers["letter"] == "neither",
        A=np.where(answers["letter"] == "neither", np.nan, answers["letter"] == "A"),
    )
    return grouped_rates(said, ["kind", "sign", "multiplier"], ["harmful", "A", "neither"], clusters="question")


def _letters(choice: Choice) -> tuple[str, str]:
    """The letters of the harmful and of the benign answer."""
    letters = (choice.positive.strip(), choice.negative.strip())
    if set(letters) != {"A", "B"}:
        raise DataError(
            f"flips are of choices with the answers A and B, got {letters[0]!r} and {letters[1]!r}; what comes before "
            'the letter belongs into the prompt, e.g. Choice(question, "A", "B", prefill="(")'
        )
    return letters
