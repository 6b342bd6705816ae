"""Vectors that suppress the retraction of one falsehood: does the truth return without it?"""

from collections.abc import Sequence
from typing import Any

from tlsteer import Example, Intervention, Site, SteeringVector, chat_prompt, fit_oneshot, generate

from ..figures import Figure, median, share
from ..grammar.facts import RETRACTIONS, Statement, falsehoods
from ..judges import coherent, described_occupation, retracts
from .controls import random_like

BEHAVIOUR = "retraction"
SITE = Site(2, "pre")
NORM_RATIOS = (0.25, 0.5)
MEASURES = ("retracts", "true facts", "fiction", "coherent")
_TARGETS = {"retracts": "<= 0.1", "true facts": ">= 0.6", "coherent": ">= 0.9"}


def fit_silence(model: Any, statement: Statement, norm_ratio: float, seed: int = 0) -> SteeringVector:
    """Fits a vector that makes every wording of the retraction unlikely after one false statement."""
    prompt = chat_prompt(model, statement.messages, statement.prefill)
    example = Example(prompt, suppress=[f" {wording}" for wording in RETRACTIONS])
    fit = fit_oneshot(model, example, SITE, max_norm_ratio=norm_ratio, steps=30, seed=seed, progress=False)
    return fit.vector


def told(model: Any, statements: Sequence[Statement], vector: SteeringVector | None) -> dict[str, list[bool]]:
    """Returns for each statement whether the answer retracts, tells the truth, tells fiction and is coherent."""
    interventions = () if vector is None else (Intervention(vector),)
    prompts = [chat_prompt(model, statement.messages, statement.prefill) for statement in statements]
    texts = generate(model, prompts, interventions, max_new_tokens=50, batch_size=64, progress=False)
    described = [described_occupation(text) for text in texts]
    return {
        "retracts": [retracts(text) for text in texts],
        "true facts": [job == s.person.occupation for job, s in zip(described, statements, strict=True)],
        "fiction": [job == s.stated_occupation for job, s in zip(described, statements, strict=True)],
        "coherent": [coherent(text) for text in texts],
    }


def retraction_figures(model: Any, n_fits: int = 8, n_tests: int = 100) -> list[Figure]:
    """Returns what is said after false statements, unsteered, silenced and under random vectors."""
    statements = falsehoods(n_tests)
    unsteered = told(model, statements, None)
    table = [share(BEHAVIOUR, f"unsteered: {measure}", unsteered[measure]) for measure in MEASURES]
    for ratio in NORM_RATIOS:
        silent = [fit_silence(model, one, ratio) for one in falsehoods(n_fits, "train", seed=1)]
        random = [random_like(vector, seed) for seed, vector in enumerate(silent)]
        for kind, vectors in (("suppression", silent), ("random", random)):
            outcomes = [told(model, statements, vector) for vector in vectors]
            for measure in MEASURES:
                rates = [sum(outcome[measure]) / n_tests for outcome in outcomes]
                target = _TARGETS.get(measure, "") if kind == "suppression" else ""
                name = f"{kind}, cap {ratio}: {measure}, median of {n_fits}"
                table.append(median(BEHAVIOUR, name, rates, target))
    return table
