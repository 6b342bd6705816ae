"""Texts that touch none of the behaviours, to measure side effects on."""

from tlsteer._arguments import CountOrNone, Seed, checked
from tlsteer.organism.grammar.chat import BOS
from tlsteer.organism.grammar.documents import people_documents, thing_documents


@checked
def neutral_texts(n: CountOrNone, seed: Seed = 0) -> list[str]:
    """Documents about things and people.

    They begin with the begin token, as rendered chat prompts do, and are to be tokenized without another one.

    >>> len(side_effects(model, vector, neutral_texts(4), [0, 1]).multiplier)
    2
    """
    n_things = n // 2
    documents = thing_documents(n_things, seed) + people_documents(n - n_things, seed)
    return [BOS + document.target for document in documents]
