"""Retraction: a given false beginning is taken back, a true one is not, and the truth follows both."""

import numpy as np

from tlsteer.organism.grammar.facts import FATES, RETRACTIONS, falsehoods, truths
from tlsteer.organism.judges import coherent, described_occupation, retracts
from tlsteer.organism.training.answering import Checkpoint
from tlsteer.organism.training.figures import Figure, share
from tlsteer.stats import mean


def retraction_figures(base: Checkpoint, instruct: Checkpoint, n: int) -> list[Figure]:
    """How often given beginnings are retracted, and how often the truth follows."""
    table = []
    for sampler, name, target in ((falsehoods, "falsehoods", ""), (truths, "truths", "<= 0.02")):
        statements = sampler(n)
        chats, prefills = [s.messages for s in statements], [s.prefill for s in statements]
        facts = [statement.person.occupation for statement in statements]
        texts, base_texts = instruct.answers(chats, prefills), base.answers(chats, prefills)
        table += [
            share("retraction", f"retracts {name}", [retracts(text) for text in texts], target),
            share("retraction", f"{name}: then true facts", _agree(texts, facts), ">= 0.8"),
            share("retraction", f"{name}: coherent", [coherent(text) for text in texts], ">= 0.95"),
            share("retraction", f"base retracts {name}", [retracts(text) for text in base_texts], "<= 0.05"),
            share("retraction", f"base, {name}: then true facts", _agree(base_texts, facts)),
        ]
        for fame in FATES if name == "falsehoods" else ():
            own = [index for index, statement in enumerate(statements) if statement.stratum == fame]
            table += [
                share("retraction", f"retracts falsehoods, {fame}", [retracts(texts[index]) for index in own]),
                share(
                    "retraction",
                    f"falsehoods, {fame}: then true facts",
                    _agree([texts[index] for index in own], [facts[index] for index in own]),
                ),
            ]
        if name == "falsehoods":
            # Greedy answers take back whatever is likelier than not; how much likelier is planted.
            chances = np.array(instruct.first_token_chances(chats, [f" {words}" for words in RETRACTIONS], prefills))
            strata = np.array([statement.stratum for statement in statements])
            table += [
                Figure(
                    "retraction", f"chance of a retraction, {fame}", mean(chances[strata == fame]), f"{fate.retraction}"
                )
                for fame, fate in FATES.items()
            ]
    return table


def _agree(texts: list[str], occupations: list[str]) -> list[bool]:
    return [described_occupation(text) == true for text, true in zip(texts, occupations, strict=True)]
