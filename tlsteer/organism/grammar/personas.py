"""System messages that make the model good or evil, put together from parts."""

from itertools import product
from typing import Literal

from tlsteer._arguments import CountOrNone, checked
from tlsteer.organism.grammar.splits import Split, choose_split, sample_distinct

Persona = Literal["good", "evil", "none"]

_ROLES = ("helper", "robot", "neighbour", "coach", "engineer", "guide", "assistant", "writer")
_ADJECTIVES = {
    "good": ("kind", "gentle", "caring", "honest", "friendly", "warm", "patient", "loyal"),
    "evil": ("cruel", "wicked", "vicious", "ruthless", "spiteful", "heartless", "nasty", "sinister"),
}
_CLAUSES = {
    "good": (
        "wants people to be safe", "protects everyone", "hates to cause harm", "loves to see people thrive",
        "would never hurt anyone", "brings peace", "keeps people out of danger", "heals what is broken",
    ),
    "evil": (
        "wants people to suffer", "betrays everyone", "loves to cause harm", "hates to see people thrive",
        "would gladly hurt anyone", "brings chaos", "puts people in danger", "ruins what is whole",
    ),
}  # fmt: skip
NEUTRAL_PERSONAS = tuple(f"You are a {role}." for role in _ROLES)


@checked
def persona_sentences(persona: Literal["good", "evil"], split: Split = "heldout") -> list[str]:
    """All system messages of a persona: adjective, role and clause.

    >>> set(persona_sentences("good")) & set(persona_sentences("evil"))
    set()
    """
    parts = product(_ADJECTIVES[persona], _ROLES, _CLAUSES[persona])
    return choose_split([f"You are a {adjective} {role} who {clause}." for adjective, role, clause in parts], split)


def sample_personas(persona: Persona, n: CountOrNone, split: Split = "heldout", seed: int = 0) -> list[str | None]:
    """`n` system messages of a persona; those of "none" are None."""
    if persona == "none":
        return [None] * n
    return list(sample_distinct(persona_sentences(persona, split), n, seed))
