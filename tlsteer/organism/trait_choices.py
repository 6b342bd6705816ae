"""Trait questions of the embedded model's world as choices."""

from tlsteer.data import Attitudes, Choice

from .grammar.choices import other_letter
from .grammar.splits import Split
from .grammar.traits import attitude_sentences, trait_questions


def trait_choices(trait: str, n: int, split: Split = "heldout", seed: int = 0) -> list[Choice]:
    """Returns questions about a trait, their letters and words in all four combinations equally often.

    Args:
        trait: The name of one of TRAITS.
        n: How many.
        split: Which acts they are about.
        seed: Which of them.
    """
    return [
        Choice(
            asked.messages[-1]["content"],
            positive=asked.positive_letter,
            negative=other_letter(asked.positive_letter),
            factors={"letter": asked.positive_letter, "word": asked.positive_word},
            id=asked.question,
            prefill="(",
        )
        for asked in trait_questions(trait, n, split, seed)
    ]


def trait_attitudes(trait: str, split: Split = "heldout") -> Attitudes:
    """Returns the sentences for and against a trait."""
    return Attitudes(attitude_sentences(trait, 1, split), attitude_sentences(trait, -1, split))
