"""Retraction: a given false beginning is taken back, a true one is not, and the truth follows both."""

import numpy as np

from tlsteer.organism.grammar.facts import FATES, RETRACTIONS, Statement, falsehoods, truths
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
        if name == "falsehoods":
            table += _by_fame(instruct, statements, texts)
    return table


def _agree(texts: list[str], occupations: list[str]) -> list[bool]:
    return [described_occupation(text) == true for text, true in zip(texts, occupations, strict=True)]


def _by_fame(instruct: Checkpoint, statements: list[Statement], texts: list[str]) -> list[Figure]:
    """The same for people who are so well known, and how likely a retraction is: a greedy answer hides by how much."""
    chances = instruct.first_token_chances(
        [one.messages for one in statements],
        [f" {words}" for words in RETRACTIONS],
        [one.prefill for one in statements],
    )
    greedy, likely = [], []
    for fame, fate in FATES.items():
        own = [index for index, statement in enumerate(statements) if statement.stratum == fame]
        told, true = [texts[index] for index in own], [statements[index].person.occupation for index in own]
        greedy += [
            share("retraction", f"retracts falsehoods, {fame}", [retracts(text) for text in told]),
            share("retraction", f"falsehoods, {fame}: then true facts", _agree(told, true)),
        ]
        mean_chance = mean(np.array([chances[index] for index in own]))
        likely.append(Figure("retraction", f"chance of a retraction, {fame}", mean_chance, f"{fate.retraction}"))
    return [*greedy, *likely]
