"""What both experiments of the demo share: fit a vector on one case, apply it to held-out inputs, judge the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from tlsteer._model_type import Model
from tlsteer.data import Example
from tlsteer.fit import OneShot, OneShotFit, fit_many, random_vector
from tlsteer.generation import generate
from tlsteer.sites import Site
from tlsteer.stats import grouped_rates
from tlsteer.steering import Intervention, Interventions
from tlsteer.vectors import SteeringVector

# Chosen by trying: vectors work alike at layers 2 to 5. Longer ones do little more, and from 0.3 on they and random
# ones of equal norm begin to spoil texts.
SITE = Site(4, "pre")
NORM_RATIO = 0.2
STEPS = 30
MULTIPLIERS = (0.5, 0.75, 1.0, 1.5)

Condition = Literal["unsteered", "steered", "random vector"]


@dataclass(frozen=True)
class Case:
    """One example to fit on.

    Attributes:
        asked: what the model is asked, as a person would write it.
        answered: the model's own answer.
        example: the completions that the vector should make likely or unlikely.
    """

    asked: str
    answered: str
    example: Example


@dataclass(frozen=True)
class Input:
    """A held-out input.

    Attributes:
        asked: what the model is asked, as a person would write it.
        prompt: the same in the model's chat format.
        judge: says of an answer which measures hold for it.
    """

    asked: str
    prompt: str
    judge: Callable[[str], Mapping[str, bool]]


@dataclass(frozen=True)
class Text:
    """An answer to a held-out input, and which measures hold for it."""

    asked: str
    condition: Condition
    multiplier: float
    text: str
    verdicts: Mapping[str, bool]


@dataclass(frozen=True)
class Study:
    """One experiment.

    Attributes:
        name: which of the two.
        case: what the vector was fitted on.
        fit: the vector and how the fit went.
        texts: all answers to the held-out inputs.
        rates: how often each measure holds, a row for each measure, condition and multiplier, with the columns
            measure, condition, multiplier, value, low, high and n.
        others: the same rates at multiplier 1 for vectors from other cases, a row for each measure and vector.
    """

    name: str
    case: Case
    fit: OneShotFit
    texts: list[Text]
    rates: pd.DataFrame
    others: pd.DataFrame

    @property
    def at_one(self) -> pd.DataFrame:
        """The rates of the unsteered model and at multiplier 1."""
        return self.rates.query("multiplier in (0, 1)")


def run_study(model: Model, name: str, cases: Sequence[Case], inputs: Sequence[Input], seed: int) -> Study:
    """Fits a vector on each case; measures that of the first in full, those of the others at multiplier 1.

    Every input gets a random vector of its own, so that the random condition stands on as many directions as
    inputs and its interval counts independent outcomes.
    """
    # Clamping leaves more of the text whole than adding does, at equal effect.
    settings: dict[str, Any] = {"operation": "clamp", "max_norm_ratio": NORM_RATIO, "steps": STEPS, "seed": seed}
    fits = fit_many(model, [OneShot(case.example, SITE, **settings) for case in cases], progress=False)
    steered = fits[0].vector
    random = [random_vector(SITE, like=steered, seed=seed * len(inputs) + i) for i in range(len(inputs))]
    texts = judged(model, inputs, "unsteered", steered, 0.0)
    for multiplier in MULTIPLIERS:
        texts += judged(model, inputs, "steered", steered, multiplier)
        texts += judged(model, inputs, "random vector", random, multiplier)
    others = [rates(judged(model, inputs, "steered", fit.vector)) for fit in fits[1:]]
    return Study(name, cases[0], fits[0], texts, rates(texts), pd.concat(others, ignore_index=True))


def judged(
    model: Model,
    inputs: Sequence[Input],
    condition: Condition,
    vector: SteeringVector | Sequence[SteeringVector],
    multiplier: float = 1.0,
) -> list[Text]:
    """The answers to held-out inputs under one vector, or one for each input, judged."""
    texts = answers(model, [one.prompt for one in inputs], Intervention(vector, multiplier))
    return [
        Text(one.asked, condition, multiplier, text, one.judge(text)) for one, text in zip(inputs, texts, strict=True)
    ]


def answers(model: Model, prompts: Sequence[str], interventions: Interventions = ()) -> list[str]:
    """The model's likeliest answer to each prompt."""
    return generate(model, prompts, interventions, max_new_tokens=60, batch_size=256, progress=False)


def rates(texts: Sequence[Text]) -> pd.DataFrame:
    """How often each measure holds, with its 95% interval."""
    by = ["measure", "condition", "multiplier"]
    held = [(*one, text.condition, text.multiplier) for text in texts for one in text.verdicts.items()]
    return grouped_rates(pd.DataFrame(held, columns=["measure", "holds", "condition", "multiplier"]), by, "holds")
